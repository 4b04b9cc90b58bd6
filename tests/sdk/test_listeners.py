"""Listeners: who is called, and that nobody is in anybody's way."""

import asyncio
import logging
import threading

import pytest
from configsync import StaticClient
from configsync._listeners import differs

from tests.processes import until
from tests.sdk.test_client import eventually


def test_keys_and_prefixes():
    client = StaticClient({"a": {"b": 1, "c": 1}, "ab": 1, "a.d": 1})
    heard: list[str] = []
    client.on_change(lambda _: heard.append("any"))
    client.on_change(lambda _: heard.append("a.b"), key="a.b")
    client.on_change(lambda _: heard.append("under a"), prefix="a.")
    remove = client.on_change(lambda _: heard.append("ab"), prefix="ab")
    for values, expected in (
        ({"a.b": 2}, {"any", "a.b", "under a"}),
        ({"a.b": 2}, set()),
        ({"a.c": 2}, {"any", "under a"}),
        ({"a.d": 2}, {"any", "under a"}),
        ({"ab": True}, {"any", "ab"}),
        ({"ab": 1}, {"any", "ab"}),
    ):
        client.set(values)
        until(lambda wanted=expected: set(heard) == wanted, f"{values} is heard by {expected}")
        heard.clear()
    remove()
    remove()
    client.set({"ab": 3})
    until(lambda: heard == ["any"], "the others are called")
    with pytest.raises(ValueError, match="not both"):
        client.on_change(print, key="a", prefix="b")


@pytest.mark.parametrize(
    ("one", "other", "is_other"),
    [(1, True, True), (1, 1.0, True), ({"a": (1, 2)}, {"a": (1, 2)}, False), (None, 0, True)],
)
def test_what_differs(one, other, is_other):
    assert differs(one, other) is is_other


def test_one_that_raises_and_one_that_blocks(desk, client, caplog):
    desk.write(n=0)
    one = client()
    one.initialize()
    blocked, heard, late = threading.Event(), [], []

    def block(config) -> None:
        late.append(config["n"])
        assert blocked.wait(60)

    def fail(_) -> None:
        raise RuntimeError("this one fails")

    one.on_change(block)
    one.on_change(fail)
    one.on_change(lambda config: heard.append(config["n"]))
    one.start_auto_refresh()
    until(lambda: one.status.push == "stream", "events come through")
    for number in (1, 2, 3):
        desk.write(n=number)
        until(lambda wanted=number: heard[-1:] == [wanted], "the third listener is called")
        assert one.get("n") == number
    assert late == [1]
    blocked.set()
    until(lambda: late == [1, 3], "the slow one is called once more, with the newest")
    assert "this one fails" in caplog.text


def test_in_a_loop_too(desk, aclient, caplog):
    desk.write(n=0)

    async def main() -> None:
        async with aclient() as one:
            blocked, heard, late = asyncio.Event(), [], []

            async def block(config) -> None:
                late.append(config["n"])
                await blocked.wait()

            async def fail(_) -> None:
                raise RuntimeError("this one fails")

            one.on_change(block)
            one.on_change(fail)
            one.on_change(lambda config: heard.append(config["n"]))
            await one.start_auto_refresh()
            await eventually(lambda: one.status.push == "stream")
            for number in (1, 2, 3):
                await asyncio.to_thread(desk.write, n=number)
                await eventually(lambda wanted=number: heard[-1:] == [wanted])
            assert late == [1]
            blocked.set()
            await eventually(lambda: late == [1, 3])

    asyncio.run(main())
    assert "this one fails" in caplog.text


def test_closing_does_not_wait_for_who_blocks(desk, client):
    desk.write(n=0)
    one = client()
    one.initialize()
    blocked, entered = threading.Event(), threading.Event()

    def block(_) -> None:
        entered.set()
        blocked.wait(60)

    one.on_change(block)
    one.start_auto_refresh()
    desk.write(n=1)
    assert entered.wait(60)
    one.close()
    assert not [one for one in threading.enumerate() if one.name == "configsync"]
    blocked.set()


def test_a_listener_may_close_its_client(desk, client, caplog):
    desk.write(n=0)
    one = client()
    one.initialize()
    done = threading.Event()

    def close(_) -> None:
        one.close()
        done.set()

    one.on_change(close)
    one.start_auto_refresh()
    desk.write(n=1)
    assert done.wait(60)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
