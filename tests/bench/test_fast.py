"""The benchmarks of the fast and the live path notice what they promise to notice."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench import bare_asgi, client, generator, inside, live, wire
from bench.generator import Target
from bench.lines import Table
from bench.store import Server

KEY = "cs_known"
BODY = b'{"config":{}}'
FRAME = b'id: 5f3a-41\nevent: change\ndata: {"revision":41,"at":"2026-01-31T12:00:00Z"}\n\n'
LISTENERS = 20


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    got = wire.Got(200, [("content-length", str(len(BODY))), ("x-more", "1")], BODY)
    answer = bare_asgi.keep(got, KEY, Path(tmp_path_factory.mktemp("bench"), "answer.json"))
    with bare_asgi.serve("hot", BENCH_ANSWER=str(answer)) as server:
        yield server


@pytest.fixture
def target(bare: Server) -> Target:
    return Target(bare, ["/a", "/b"], {"X-API-Key": KEY})


def test_the_yardstick_answers_what_the_server_did(target: Target):
    with wire.Wire(target.server.port) as one:
        got = one.exchange(wire.get("/a", target.headers))
        assert (got.body, got.header("x-more")) == (BODY, "1")
        assert one.exchange(wire.get("/a", {"X-API-Key": "other"}), 401).body == b""


@pytest.mark.parametrize("own", [False, True], ids=["wrk", "own"])
def test_load_is_counted_with_what_it_cost(
    target: Target, own: bool, monkeypatch: pytest.MonkeyPatch
):
    if not own and generator.wrk() is None:
        pytest.skip("no wrk here")
    if own:
        monkeypatch.setattr(generator, "wrk", lambda: None)
    run = generator.run(target, 1, connections=2)
    assert run.requests > 0
    assert 0 < run.p50 <= run.p99 <= run.longest
    assert run.server_cpu > 0
    with pytest.raises(RuntimeError, match="401"):
        generator.run(replace(target, headers={}), 1)


def test_a_missed_promise_is_shown(capsys: pytest.CaptureFixture[str]):
    table = Table("title")
    table.at_least("enough", "8/s", "10/s", ratio=0.8, promised=0.8)
    table.below("soon", 5.0, "ms", 1.0)
    assert table.good
    table.below("late", 6.0, "ms", promised=5.0)
    table.below("in time", 4.0, "ms", promised=5.0)
    assert (table.good, table.missed) == (False, ["late"])
    shown = capsys.readouterr().out
    assert shown.count("NOT KEPT") == 1
    assert shown.count("kept\n") == 2


def test_answers_are_put_together_from_pieces():
    answers = wire.Answers()
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\n\r\nab", b"cd"]
    *missing, got = [answers.feed(piece) for piece in pieces]
    assert missing == [None, None]
    assert got is not None
    assert (got.status, got.body) == (200, b"abcd")
    with pytest.raises(ConnectionError):
        answers.feed(b"")


def test_every_listener_is_waited_for():
    with bare_asgi.serve("Stream") as server, ExitStack() as stack:
        listeners = live.Listeners(server, "/", {})
        stack.callback(listeners.close)
        listeners.open(LISTENERS)
        told = listeners.post(live.bare_post(FRAME))
        assert told.sent < told.answered
        assert told.sent < told.last
        assert live.frame_of(told) == FRAME
        assert told.at == 1769860800.0
        listeners.open(1)
        assert len(listeners) == LISTENERS + 1
        live.frame_of(listeners.post(live.bare_post(FRAME)))


def test_only_what_counts_for_the_metrics_is_taken_out():
    dispatcher, removed = inside.uncounted()
    assert {line.partition(" ")[0] for line in removed} == {
        "self._hits.count",
        "counts",
        "seconds",
        "counts.count",
        "counts.seconds",
        "counts.buckets[bisect_left(BOUNDS,",
    }
    assert {"_try", "_send"} <= vars(dispatcher).keys()


def test_the_library_is_measured_as_it_is(capsys: pytest.CaptureFixture[str]):
    table = Table("title")
    client.swapping(table)
    assert f"{client.KEYS:,} keys taken, frozen, swapped" in capsys.readouterr().out
