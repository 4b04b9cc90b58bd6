"""Reading, in all the ways there are."""

import sys
import threading
from collections.abc import Iterator

import pytest
from configsync import (
    KeyMissing,
    NotInitialized,
    StaticClient,
    SyncConfigClient,
    TooStale,
    WrongType,
)
from configsync._snapshot import Origin, Snapshot

THREADS, SWAPS = 64, 1000


@pytest.fixture
def static():
    return StaticClient(
        {"n": 5, "f": 5.0, "half": 5.5, "text": "7", "yes": "True", "on": True, "null": None}
        | {"list": [1, [2]], "object": {"a": 1}}
    )


def test_types(static):
    assert [static.get_int(key) for key in ("n", "f", "text")] == [5, 5, 7]
    assert [static.get_bool(key) for key in ("on", "yes")] == [True, True]
    assert static.get_list("list") == (1, (2,))
    assert (static.get("null", 1), static.get_int("none"), static.get_int("none", 3)) == (
        None,
        None,
        3,
    )
    assert static.get_bool("none", default=False) is False
    assert static.get_list("none", default=()) == ()
    assert static.get_all()["object"] == {"a": 1}


@pytest.mark.parametrize(
    ("method", "key", "says"),
    [
        ("get_int", "half", "another value"),
        ("get_int", "on", "another value"),
        ("get_int", "yes", "another text"),
        ("get_int", "null", "null"),
        ("get_bool", "n", "another value"),
        ("get_bool", "text", "another text"),
        ("get_list", "text", "another text"),
        ("get_list", "object", "an object"),
        ("get_int", "list", "an array"),
    ],
)
def test_wrong_types_are_named_and_not_shown(static, method, key, says):
    with pytest.raises(WrongType, match=f"'{key}' is {says}") as caught:
        getattr(static, method)(key)
    assert isinstance(caught.value, TypeError)
    assert "5.5" not in str(caught.value)


def test_what_is_required_and_not_there(static):
    assert static.require("object.a") == 1
    with pytest.raises(KeyMissing) as caught:
        static.require("object.b")
    assert str(caught.value) == "'object.b' is not in the config"
    assert isinstance(caught.value, KeyError)


def test_nothing_is_read_before_it_is_loaded(client):
    one = client()
    for read in (lambda: one.get("n"), one.get_all, one.snapshot, one.start_auto_refresh):
        with pytest.raises(NotInitialized, match="initialize"):
            read()
    assert (one.source, one.revision, one.version) == ("none", 0, "")


@pytest.mark.parametrize("missing", ["app_id", "base_url"])
def test_what_is_needed(missing, monkeypatch):
    for name in ("URL", "APP_ID", "ENVIRONMENT", "API_KEY"):
        monkeypatch.delenv(f"CONFIGSYNC_{name}", raising=False)
    options = {"app_id": "a", "base_url": "http://localhost"}
    del options[missing]
    with pytest.raises(ValueError, match=missing):
        SyncConfigClient(**options)
    for url in ("localhost", "ftp://localhost", "http://a:b@localhost", "http://x/?y"):
        with pytest.raises(ValueError, match="base_url"):
            SyncConfigClient(app_id="a", base_url=url)


def test_the_environment_says_what_arguments_do_not(desk, monkeypatch):
    desk.write(n=1)
    monkeypatch.setenv("CONFIGSYNC_URL", desk.url + "/")
    monkeypatch.setenv("CONFIGSYNC_API_KEY", desk.options["api_key"])
    monkeypatch.setenv("CONFIGSYNC_APP_ID", desk.service)
    monkeypatch.setenv("CONFIGSYNC_ENVIRONMENT", "development")
    with SyncConfigClient() as one:
        assert one.get("n") == 1


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let threads take turns in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_many_threads_read_during_many_swaps(client, quick_switches):
    one = client()
    one._publish(Snapshot({"a": 0, "b": {"c": 0}}, Origin("static")))
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        last = 0
        while not stop.is_set():
            with one.snapshot() as moment:
                seen = moment.get("a")
                if not (moment.get("b.c") == moment.get_all()["b"]["c"] == seen >= last):
                    wrong.append(seen)
            last = seen
            if one.get("a") < last:
                wrong.append(last)

    threads = [threading.Thread(target=read) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for number in range(1, SWAPS + 1):
        one._publish(Snapshot({"a": number, "b": {"c": number}}, Origin("static")))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert one.get("a") == SWAPS


def test_max_stale(desk, client):
    desk.write(n=1)
    one = client(max_stale=1000)
    one.initialize()
    moment = one.snapshot()
    assert (one.get("n"), one.get_int("n"), one.staleness < 1000) == (1, 1, True)
    with pytest.raises(ValueError, match="interval"):
        one.start_auto_refresh(1000)
    one._state.confirmed -= 1001
    for read in (lambda: one.get("n"), one.get_all, one.snapshot, lambda: one.require("n")):
        with pytest.raises(TooStale, match="max_stale is 1000 s"):
            read()
    assert moment.get("n") == 1
    one.refresh()
    assert one.get("n") == 1
