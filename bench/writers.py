"""Writes and diffs at a steady pace beside a measurement, over connections of their own."""

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Self

import orjson

from bench import store
from bench.lines import GENERATOR_CORE, pinned
from bench.sealed import Client

THREADS = 4
NONCES = count(700_000_000)
"""As many digits as `store.NONCE`, and no two the same."""

Act = Callable[[Client], None]


def update(service: str) -> Act:
    """Return an update with a content that never was."""

    def act(client: Client) -> None:
        config = store.document(str(next(NONCES)))
        client.post("/config/update", {"name": service, "config": config})

    return act


def update_everywhere(client: Client) -> None:
    """Change what reaches every service."""
    config = {"release": {"train": str(next(NONCES))}}
    client.post("/config/update", {"name": "_global", "config": config})


def diff(client: Client, service: str) -> Act:
    """Return a diff of the two newest versions that a service has now."""
    status, body = client.send("GET", f"/config/versions?name={service}&limit=2")
    if status != 200:
        raise RuntimeError(f"versions: {status} {body[:300]!r}")
    new, old = (version["id"] for version in orjson.loads(body)["versions"])
    path = f"/config/diff?service={service}&version1_id={old}&version2_id={new}"

    def act(client: Client) -> None:
        status, body = client.send("GET", path)
        if status != 200:
            raise RuntimeError(f"diff: {status} {body[:300]!r}")

    return act


class Paced:
    """Does something so many times a second until the block ends, late or not."""

    def __init__(self, port: int, token: str, act: Act, *, rate: float, threads: int = 1) -> None:
        self._port, self._token, self._act = port, token, act
        self._pause = threads / rate
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number / rate,)) for number in range(threads)
        ]
        self.took: list[float] = []
        self.failures: list[str] = []
        self._began = 0.0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._ended.clear()
        self._began = time.perf_counter()
        with pinned(GENERATOR_CORE):
            for thread in self._threads:
                thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self.seconds += time.perf_counter() - self._began

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds

    def _run(self, offset: float) -> None:
        client = Client(self._port, self._token)
        turn = self._began + offset
        while not self._ended.wait(max(0.0, turn - time.perf_counter())):
            turn += self._pause
            began = time.perf_counter()
            try:
                self._act(client)
            except (RuntimeError, OSError) as error:
                self.failures.append(str(error))
            else:
                self.took.append(time.perf_counter() - began)
