"""Streams of servers that are processes: the end, tickets elsewhere, memory, many open files."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client import Person, register
from tests.processes import KEYS, Server, Stage, until
from tests.streams import Lost, Stream

MANY = 500
BEYOND_SELECT = 1100


def person(stack: ExitStack, server: Server) -> Person:
    """Return somebody who calls this server."""
    return register(stack.enter_context(server.client()), "ada")  # type: ignore[arg-type]


def change(who: Person, number: int, size: int = 0) -> int:
    """Change a document; return the revision."""
    answer = who.update("billing", {"n": number}, message="m" * size or None)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-configsync-revision"].rpartition("-")[2])


def memory(pid: int) -> int:
    """Return the bytes that a process holds in memory."""
    [line] = [
        one
        for one in Path(f"/proc/{pid}/status").read_text().splitlines()
        if one.startswith("VmRSS")
    ]
    return int(line.split()[1]) * 1024


def opened(stack: ExitStack, server: Server, who: Person, number: int) -> list[Stream]:
    """Open streams, a few at a time; all have had their first frame."""
    streams: list[Stream] = []
    while len(streams) < number:
        some = [Stream(server.url, who.token) for _ in range(min(20, number - len(streams)))]
        for one in some:
            stack.callback(one.close)
            one.hello()
        streams += some
    return streams


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_signal_ends_all_streams_in_order(stage, database, stack, number):
    server = stage.server(DATABASE_URL=database, **KEYS)
    ada = person(stack, server)
    streams = opened(stack, server, ada, MANY)
    last = change(ada, 1)
    assert streams.pop().change()["revision"] == last
    began = time.monotonic()
    os.kill(server.pid, number)
    hints = set()
    for one in streams:
        assert one.change()["revision"] == last
        found = one.end()
        assert found.data == {"reason": "server_stopping"}
        hints.add(found.retry)
    assert server.wait(20) == 0
    assert time.monotonic() - began < 10  # without streams it takes two seconds, with them no more
    assert len(hints) > MANY / 3


def test_who_does_not_read_does_not_hold_up_the_end(stage, database, stack):
    server = stage.server(DATABASE_URL=database, SHUTDOWN_GRACE_S="60", **KEYS)
    ada = person(stack, server)
    [start] = opened(stack, server, ada, 1)
    lazy = stack.enter_context(Stream(server.url, ada.token, since=start.cursor, buffer=4096))
    for value in range(40):  # more than the sockets' buffers hold
        change_many(ada, value)
    lazy.hello()
    again = stack.enter_context(Stream(server.url, ada.token, since=start.cursor, buffer=4096))
    again.hello()
    began = time.monotonic()
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait(30) == 0
    assert time.monotonic() - began < 15


def test_a_ticket_opens_a_stream_of_another_process(stage, database, stack):
    first = stage.start_server(DATABASE_URL=database, **KEYS)
    second = stage.server(DATABASE_URL=database, **KEYS)
    first.ready()
    ada = person(stack, first)
    ticket = ada.post("/api/v1/stream/tickets").json()["ticket"]
    stream = stack.enter_context(Stream(second.url, ticket=ticket))
    stream.hello()
    revision = change(ada, 1)
    assert stream.change()["revision"] == revision
    assert Stream(first.url, ticket=ticket).problem()["code"] == "invalid_ticket"
    assert ada.post("/auth/logout").is_success
    assert stream.end(5).data == {"reason": "access_lost"}


def change_many(who: Person, value: int) -> None:
    """Change many keys in one commit, which is a frame of 200 KB."""
    one = {"key": "k" * 200, "op": "set", "value": value}
    changes = [{"service": f"s{number}", **one} for number in range(500)]
    assert who.post("/api/v1/changes", {"changes": changes}).status_code == 200


def test_readers_that_never_read_do_not_fill_the_memory(stage, database, stack):
    server = stage.server(DATABASE_URL=database, **KEYS)
    ada = person(stack, server)
    reader = stack.enter_context(Stream(server.url, ada.token))
    reader.hello()
    for value in range(40):  # what the commits themselves take
        change_many(ada, value)
        assert len(reader.change()["changes"]) == 500
    before = memory(server.pid)
    lazy = [stack.enter_context(Stream(server.url, ada.token, buffer=4096)) for _ in range(50)]
    for one in lazy:
        one.hello()
    for value in range(50):  # 10 MB of frames for each of them
        change_many(ada, -value - 1)
        assert len(reader.change()["changes"]) == 500
    grown = memory(server.pid) - before
    assert grown < 100 * 1024**2, f"{grown / 1024**2:.0f} MB"  # all frames for all: 500 MB
    for one in lazy:
        with pytest.raises(Lost):
            list(one.frames())


def test_more_open_files_than_select_knows(stage: Stage, stack):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < 3 * BEYOND_SELECT:
        pytest.skip(f"only {limit} open files here")
    postgres = stage.postgres()
    settings = {"DATABASE_URL": postgres.dsn, **KEYS}
    assert stage.run("migrate", **settings).returncode == 0
    server = stage.server(**settings)
    ada = person(stack, server)
    streams = opened(stack, server, ada, BEYOND_SELECT)
    postgres.stop_immediately()
    postgres.start()

    def written() -> bool:
        return ada.update("billing", {"n": time.monotonic()}).status_code == 200

    until(written, "connections are made again, with large numbers")
    for one in (streams[0], streams[-1]):
        assert one.change()["changes"]
