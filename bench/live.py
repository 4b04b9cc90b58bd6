"""`python -m bench live`: how soon a change is known, each figure beside its yardstick."""

import gc
import os
import resource
import select
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import orjson

from bench import bare_asgi, load, store, wire
from bench.lines import (
    GENERATOR_CORE,
    SERVER_CORE,
    Table,
    percentile,
    pinned,
    placed,
    resident_kib,
)
from bench.sealed import READ, Client, connected
from bench.store import SERVICE, Person, Server

LISTENERS, FEWER = 2_000, 500
WARM = 50  # listeners before memory counts
TOGETHER = 8  # listeners that are opened at a time
COMMITS, BRIEF = 60, 20
PAUSE = 0.1  # seconds from one commit to the next
CHANGES, BRIEF_CHANGES = 120, 30
TOLD_MS, MEMORY_KIB, CROSSED_MS = 120.0, 22.0, 250.0
PATIENCE = 20.0
CHANGE = b"event: change"
NONCES = count(800_000_000)


@dataclass(frozen=True, slots=True)
class Told:
    """When a commit was sent, answered, and known to the last listener (`time.time()`)."""

    sent: float
    answered: float
    last: float
    frame: bytes = field(repr=False)

    @property
    def at(self) -> float:
        """Return when it was committed, by the server's own word."""
        data = self.frame.partition(b"\ndata: ")[2].partition(b"\n")[0]
        return datetime.fromisoformat(orjson.loads(data)["at"]).timestamp()


class Listeners:
    """Many streams of one server, read by one thread."""

    def __init__(self, server: Server, path: str, headers: wire.Headers) -> None:
        self.server = server
        self._request = wire.get(path, headers)
        self._streams: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}
        self._epoll = select.epoll()

    def __len__(self) -> int:
        return len(self._streams)

    def close(self) -> None:
        self._epoll.close()
        for stream in self._streams.values():
            stream.close()

    def open(self, number: int) -> None:
        """Open more streams, some at a time, until each has been greeted."""
        for begin in range(0, number, TOGETHER):
            some = load.connect(self.server.port, min(TOGETHER, number - begin))
            for stream in some:
                stream.sendall(self._request)
            for stream in some:
                greeting = b""
                while b"event: hello" not in greeting:
                    data = stream.recv(65536)
                    if not data or (greeting and b" 200 " not in greeting[:20]):
                        raise ConnectionError(f"no stream: {greeting[:500]!r}")
                    greeting += data
                stream.setblocking(False)
                self._streams[stream.fileno()] = stream
                self._epoll.register(stream, select.EPOLLIN)

    def post(self, request: bytes) -> Told:
        """Send a request and wait until everybody has one frame more."""
        with wire.Wire(self.server.port) as poster:  # idle ones are closed by servers
            self._epoll.register(poster.socket, select.EPOLLIN)
            told = self._post(poster, request)
            self._epoll.unregister(poster.socket)
        return told

    def _post(self, poster: wire.Wire, request: bytes) -> Told:
        own = poster.socket.fileno()
        left, answered, frame = len(self._streams), 0.0, b""
        sent = time.time()
        poster.send(request)
        end = sent + PATIENCE
        while left > 0 or not answered:
            events = self._epoll.poll(1.0, 32)
            if time.time() > end:
                raise TimeoutError(f"{left} listeners were not told")
            for number, _ in events:
                if number == own:
                    got = poster.receive()
                    if got is not None:
                        answered = time.time()
                        if got.status != 200:
                            raise RuntimeError(f"{got.status} {got.body[:300]!r}")
                elif frames := self._frames(number):
                    left -= frames.count(CHANGE)
                    frame = frame or (frames if CHANGE in frames else b"")
        return Told(sent, answered, time.time(), frame)

    def _frames(self, number: int) -> bytes:
        """Return the whole frames that have arrived at a stream."""
        data = self._streams[number].recv(65536)
        if not data:
            raise ConnectionError("the server ended a stream")
        whole, end, rest = (self._rest.pop(number, b"") + data).rpartition(b"\n\n")
        if len(rest) > 2:  # more than the end of a chunk
            self._rest[number] = rest
        return whole + end


@dataclass(slots=True)
class Memory:
    """What a server holds as listeners come."""

    before: int = 0
    after: int = 0
    listeners: int = 0

    @property
    def each(self) -> float:
        return (self.after - self.before) / self.listeners


def update(token: str) -> bytes:
    return load.post("/config/update", token, store.body(str(next(NONCES))))


def bare_post(frame: bytes) -> bytes:
    head = f"POST /all HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(frame)}\r\n\r\n"
    return head.encode() + frame


def frame_of(told: Told) -> bytes:
    """Return the one frame in what a listener got, without the transport's chunks."""
    begin = told.frame.index(b"id: ")
    return told.frame[begin : told.frame.index(b"\n\n", begin) + 2]


def streams(table: Table, person: Person, *, brief: bool) -> None:
    """Measure commits to listeners beside a bare stream, in turns, and the memory of both."""
    number, commits = (FEWER, BRIEF) if brief else (LISTENERS, COMMITS)
    with (
        placed(SERVER_CORE, bare_asgi.serve("Stream")) as bare,
        placed(SERVER_CORE, store.configsync(1)) as server,
        ExitStack() as stack,
    ):
        key = Client(server.port, person.token).new_key(READ)
        stack.enter_context(pinned(GENERATOR_CORE))
        ours = Listeners(server, "/api/v1/stream", {"X-API-Key": key})
        plain = Listeners(bare, "/", {})
        for one in (ours, plain):
            stack.callback(one.close)
            one.open(WARM)
        told = ours.post(update(person.token))
        plain.post(bare_post(frame_of(told)))
        gc.collect()
        gc.freeze()  # the pauses of this process are not the server's
        memory = {one: Memory(before=resident_kib(one.server.pid)) for one in (ours, plain)}
        took = {}
        for one in (ours, plain):
            began = time.monotonic()
            one.open(number - WARM)
            took[one] = time.monotonic() - began
        found: list[Told] = []
        beside: list[Told] = []
        for _ in range(commits):
            time.sleep(PAUSE)
            told = ours.post(update(person.token))
            time.sleep(PAUSE)
            found.append(told)
            beside.append(plain.post(bare_post(frame_of(told))))
        for one, held in memory.items():
            held.after, held.listeners = resident_kib(one.server.pid), number - WARM
        report(table, found, beside, number)
        table.below(
            "  memory a listener (RSS)",
            memory[ours].each,
            "KiB",
            memory[plain].each,
            promised=MEMORY_KIB,
        )
        table.note(
            f"opened {TOGETHER} at a time: {number / took[ours]:,.0f}/s, bare "
            f"{number / took[plain]:,.0f}/s"
        )


def report(table: Table, found: list[Told], beside: list[Told], number: int) -> None:
    def of(some: list[float]) -> tuple[float, float]:
        return percentile(some, 50) * 1000, percentile(some, 99) * 1000

    bare50, bare99 = of([told.last - told.sent for told in beside])
    for what, ours, promised in (
        ("the frame's `at`", [told.last - told.at for told in found], TOLD_MS),
        ("its answer", [told.last - told.answered for told in found], TOLD_MS),
        ("sending it", [told.last - told.sent for told in found], None),
    ):
        p50, p99 = of(ours)
        table.below(
            f"commit -> last of {number:,} listeners, from {what}: p99",
            p99,
            "ms",
            bare99,
            promised=promised,
        )
        table.note(f"p50 {p50:.1f} ms, bare {bare50:.1f} ms; {len(found)} commits")


def notified(dsn: str, times: int) -> list[float]:
    """Return how long PostgreSQL takes from NOTIFY to another connection, again and again."""
    took = []
    with connected(dsn) as one, connected(dsn) as other:
        one.autocommit = other.autocommit = True
        with one.cursor() as says, other.cursor() as hears:
            hears.execute("LISTEN bench")
            for _ in range(times):
                began = time.perf_counter()
                says.execute("NOTIFY bench")
                while not other.notifies:
                    select.select([other], [], [], 1)
                    other.poll()
                other.notifies.clear()
                took.append(time.perf_counter() - began)
                time.sleep(0.002)
    return took


def cross(writer: wire.Wire, reader: wire.Wire, token: str, key: str) -> tuple[float, float]:
    """Change something in one process; return when another has it, from the answer and before.

    The reader asks again and again all the while, one request at a time.
    """
    nonce = str(next(NONCES))
    request = load.post("/config/update", token, store.body(nonce))
    read = wire.get(f"/config/{SERVICE}", {"X-API-Key": key})
    answered = seen = 0.0
    sent = time.perf_counter()
    writer.send(request)
    reader.send(read)
    while not answered or not seen:
        ready, _, _ = select.select([writer.socket, reader.socket], [], [], PATIENCE)
        if not ready:
            raise TimeoutError("the change did not arrive")
        if writer.socket in ready and (got := writer.receive()) is not None:
            answered = time.perf_counter()
            assert got.status == 200, got
        if reader.socket in ready and (got := reader.receive()) is not None:
            assert got.status == 200, got
            if nonce.encode() in got.body:
                seen = time.perf_counter()
            else:
                reader.send(read)
    return max(0.0, seen - answered), seen - sent


def across(table: Table, person: Person, dsn: str, *, brief: bool) -> None:
    """Measure a change in one process that is read in another, beside NOTIFY."""
    times = BRIEF_CHANGES if brief else CHANGES
    with store.configsync(1) as first, store.configsync(1) as second:
        key = Client(first.port, person.token).new_key(READ)
        with wire.Wire(first.port) as writer, wire.Wire(second.port) as reader:
            cross(writer, reader, person.token, key)  # the first one loads
            plain = notified(dsn, times // 2)
            found = []
            for _ in range(times):
                found.append(cross(writer, reader, person.token, key))
                time.sleep(0.02)
            plain += notified(dsn, times // 2)
    beside = percentile(plain, 99) * 1000
    from_answer, from_start = ([one[place] * 1000 for one in found] for place in (0, 1))
    table.below(
        "change in process A -> read in process B: p99",
        percentile(from_answer, 99),
        "ms",
        beside,
        promised=CROSSED_MS,
    )
    table.below("  from before it was sent: p99", percentile(from_start, 99), "ms", beside)
    table.note(
        f"p50 {percentile(from_answer, 50):.1f} and {percentile(from_start, 50):.1f} ms; {times} "
        f"changes, one reader that asks all the time; beside: NOTIFY to another connection, p50 "
        f"{percentile(plain, 50) * 1000:.2f} ms"
    )


def run(person: Person, dsn: str, *, seconds: float, brief: bool) -> bool:
    """Print the figures of live changes; say whether all promises are kept."""
    del seconds  # what is counted here is changes
    with suppress(ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4 * LISTENERS if hard == resource.RLIM_INFINITY else min(hard, 4 * LISTENERS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    table = Table(
        "Live changes: one server process; yardsticks: a bare ASGI stream, NOTIFY; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    streams(table, person, brief=brief)
    across(table, person, dsn, brief=brief)
    return table.good
