"""The way of one read and of one change through the system, with the time at each station."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from app.changes import service as changes
from app.changes import writing
from app.core import db
from app.core.protocol import Protocol
from app.feed import crud as feed_crud
from app.feed.channel import Channel
from app.main import create_server
from app.realtime.hub import Hub, Listener
from app.serving.dispatcher import Dispatcher
from app.serving.service import Serving
from bench import store

TIMES = 200
READ = "a read from memory"
COLD = "the first read after a change"
CHANGE = "a change, until the reader's socket has the frame"


class Stations:
    """Notes when something began or ended, while it is switched on."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, float]] = []
        self.is_on = False

    def note(self, name: str) -> None:
        if self.is_on:
            self.noted.append((name, time.perf_counter()))

    def wrap(self, owner: Any, name: str, before: str | None, after: str | None) -> None:
        """Note a function's beginning and end."""
        whole = getattr(owner, name)

        def noting(*args: Any, **more: Any) -> Any:
            if before:
                self.note(before)
            result = whole(*args, **more)
            if after:
                self.note(after)
            return result

        setattr(owner, name, noting)

    def wrap_async(self, owner: Any, name: str, before: str, after: str) -> None:
        """Note a coroutine function's beginning and end."""
        whole = getattr(owner, name)

        async def noting(*args: Any, **more: Any) -> Any:
            self.note(before)
            result = await whole(*args, **more)
            self.note(after)
            return result

        setattr(owner, name, noting)


def instrument(stations: Stations) -> None:
    """Put the stations into the running program."""
    stations.wrap_async(Dispatcher, "__call__", "request parsed by the server", "answer written")
    stations.wrap(changes, "apply", "authorized, body read: the write pipeline begins", None)
    stations.wrap(writing, "write", "locked, checked, edited", "revision taken, all rows written")
    stations.wrap(db, "finish", None, "committed, the feed is told")
    stations.wrap(feed_crud, "list_heads", "the feed's thread is awake", "heads read")
    stations.wrap(feed_crud, "list_commits", None, "the commit's changes read")
    stations.wrap(Channel, "advance", "in the event loop", "snapshots dropped, frames queued")
    stations.wrap(Hub, "on_commits", "snapshots that it reaches dropped", None)
    stations.wrap(Listener, "take", None, "frames handed to the socket")
    stations.wrap_async(Serving, "snapshot", "who asks is known", "documents loaded, merged")
    stations.wrap_async(Serving, "answer", "may read", "answer rendered")


@contextmanager
def serving() -> Iterator[int]:
    """Run the server in a thread of this process."""
    port = store.free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            create_server,
            factory=True,
            http=Protocol,
            port=port,
            log_config=None,
            access_log=False,
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


def repeat(stations: Stations, act: Callable[[int], None]) -> list[list[tuple[str, float]]]:
    """Do something many times; return what was noted of each."""
    ways = []
    for number in range(TIMES):
        stations.noted = []
        stations.is_on = True
        stations.note("sent by the client")
        act(number)
        stations.note("read by the client")
        stations.is_on = False
        ways.append(stations.noted)
        time.sleep(0.005)
    return ways


def show(title: str, ways: list[list[tuple[str, float]]], say: Callable[[str], None]) -> None:
    """Print the median time of each station, in the order of their medians."""
    times: dict[str, list[float]] = {}
    for way in ways:
        begin = way[0][1]
        seen: set[str] = set()
        for name, at in way:
            if name not in seen:
                seen.add(name)
                times.setdefault(name, []).append((at - begin) * 1000)
    most = max(map(len, times.values()))
    rows = sorted(
        (statistics.median(found), name) for name, found in times.items() if len(found) > most / 2
    )
    say(f"\n{title} (median of {len(ways)}, ms since it was sent)")
    last = 0.0
    for at, name in rows:
        say(f"  {at:8.3f}  {at - last:+8.3f}  {name}")
        last = at


def run(person: store.Person, say: Callable[[str], None]) -> None:
    """Measure and print the three ways."""
    stations = Stations()
    instrument(stations)
    with serving() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        client.headers["Authorization"] = f"Bearer {person.token}"
        made = client.post(
            "/api/v1/api-keys", json={"name": "way", "scopes": {"actions": ["read"]}}
        )
        reader = httpx.Client(base_url=client.base_url, headers={"X-API-Key": made.json()["key"]})
        client.post("/config/billing", json={"config": store.document()}).raise_for_status()
        url = "/config/billing"

        def change(number: int) -> None:
            document = store.document(str(200000000 + number))
            client.post(url, json={"config": document}).raise_for_status()

        reader.get(url)

        def read(_number: int) -> None:
            reader.get(url).raise_for_status()

        show(READ, repeat(stations, read), say)

        def write_and_read(number: int) -> None:
            stations.is_on = False
            change(number)
            time.sleep(0.02)
            stations.noted, stations.is_on = [], True
            stations.note("sent by the client")
            reader.get(url)

        show(COLD, repeat(stations, write_and_read), say)
        with reader.stream("GET", "/api/v1/stream?services=billing", timeout=60) as frames:
            lines = frames.iter_lines()
            next(line for line in lines if line.startswith("event: hello"))

            def change_and_listen(number: int) -> None:
                writing_it = threading.Thread(target=change, args=(1000 + number,))
                writing_it.start()
                next(line for line in lines if line.startswith("event: change"))
                stations.note("the listener has the frame")
                writing_it.join()

            show(CHANGE, repeat(stations, change_and_listen), say)
        reader.close()
