"""The yardsticks as bare ASGI: an answer behind a key, and a stream that tells everybody at once.

The answer comes from the file that BENCH_ANSWER names: our server's own, byte by byte.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from bench import store, wire
from bench.store import Server

ANSWER = "BENCH_ANSWER"
HELLO = b"event: hello\ndata: {}\n\n"
STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]

Pairs = list[tuple[bytes, bytes]]


class Hot:
    """One answer for who shows a known key."""

    def __init__(self, known: dict[str, Any]) -> None:
        self._keys = {sha256(known["key"].encode()).digest(): True}
        self._body = known["body"].encode()
        self._headers: Pairs = [
            (name.encode(), value.encode())
            for name, value in known["headers"]
            if name != "date"  # uvicorn's own
        ]

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        key = b""
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                key = value
        good = sha256(key).digest() in self._keys
        headers = self._headers if good else [(b"content-length", b"0")]
        await send(
            {"type": "http.response.start", "status": 200 if good else 401, "headers": headers}
        )
        await send({"type": "http.response.body", "body": self._body if good else b""})


class Stream:
    """GET listens; POST sends its body to everybody who does."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            frame = (await receive())["body"]
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                future.set_result(frame)
            length = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": STREAM})
        frame = HELLO
        loop = asyncio.get_running_loop()
        while True:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            future = loop.create_future()
            self._waiting.append(future)
            frame = await future


def hot() -> Hot:
    """Return the yardstick of a hot read."""
    return Hot(orjson.loads(Path(os.environ[ANSWER]).read_bytes()))


@contextmanager
def serve(factory: str, *, workers: int = 1, **variables: str) -> Iterator[Server]:
    """Run an application of this module the way ConfigSync runs itself."""
    port = store.free_port()
    code = (
        f"import uvicorn; uvicorn.run('bench.bare_asgi:{factory}', factory=True, lifespan='off', "
        f"host='127.0.0.1', port={port}, workers={workers}, log_config=None, access_log=False, "
        "server_header=False, timeout_graceful_shutdown=1)"
    )
    with store.process([sys.executable, "-c", code], port, **variables) as server:
        yield server


def keep(got: wire.Got, key: str, file: Path) -> Path:
    """Write an answer down for `Hot`."""
    file.write_bytes(orjson.dumps({"key": key, "body": got.body.decode(), "headers": got.headers}))
    return file
