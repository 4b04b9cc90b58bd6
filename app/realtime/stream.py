"""Server-sent events, as raw ASGI: one task a stream, nothing else that grows with them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson
from starlette.types import Receive, Send

from app.core import metrics
from app.feed.commits import Commit
from app.realtime.hub import GONE, SLOW, Listener
from app.realtime.service import Opening

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
HEARTBEAT = b": still here\n\n"
RETRY_MS = (1000, 5000)
"""When clients come again: somewhere in between, so that they do not all come at once."""

Join = Callable[[Opening, Listener], Awaitable[None]]


def write(epoch: str | None, commit: Commit, chosen: tuple[int, ...]) -> bytes:
    """Return the frame of a commit."""
    return b"id: %b-%d\nevent: change\ndata: %b\n\n" % (
        (epoch or "").encode(),
        commit.revision,
        commit.text(chosen),
    )


def hello(epoch: str, head: int, since: int) -> bytes:
    """Return the first frame. Its id is where the stream begins, so that nothing can be missed."""
    data = orjson.dumps({"epoch": epoch, "revision": head})
    retry = random.randint(*RETRY_MS)  # noqa: S311  (spreads load)
    return b"retry: %d\nid: %b-%d\nevent: hello\ndata: %b\n\n" % (
        retry,
        epoch.encode(),
        since,
        data,
    )


def goodbye(reason: str) -> bytes:
    """Return the last frame, which says why; it has no id, so that the cursor stays."""
    retry = random.randint(*RETRY_MS)  # noqa: S311  (spreads load)
    return b"retry: %d\nevent: end\ndata: %b\n\n" % (retry, orjson.dumps({"reason": reason}))


async def run(
    receive: Receive, send: Send, listener: Listener, headers: list[tuple[bytes, bytes]]
) -> None:
    """Send a listener's frames, under some more headers, until it ends or the client is gone."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:  # uvicorn's: closing would wait for a reader that never reads
        listener.abort = transport.abort
    watch = asyncio.create_task(_disconnected(receive))
    watch.add_done_callback(lambda _: listener.end(GONE))
    sent = metrics.frames_sent["sse"]
    try:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*HEADERS, *headers],
            }
        )
        while listener.ended is None:
            sent.count += len(listener.frames)
            await send({"type": "http.response.body", "body": listener.take(), "more_body": True})
            await listener.wait()
        if listener.ended not in {GONE, SLOW}:
            last = listener.take() + goodbye(listener.ended)
            await send({"type": "http.response.body", "body": last, "more_body": False})
    except OSError:
        pass
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await watch


async def _disconnected(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
