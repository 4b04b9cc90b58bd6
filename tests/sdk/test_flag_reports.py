"""What a program evaluated itself is reported: exactly, later if need be, and in nobody's way."""

import asyncio
import threading
from collections import Counter

import pytest
from configsync import ConfigClient, SyncConfigClient
from configsync._usage import MOST_UNKNOWN, Usage

from tests.processes import until
from tests.sdk.desk import ENVIRONMENT
from tests.sdk.impostor import Impostor

HALF = [{"variant": "on", "weight": 50}, {"variant": "off", "weight": 50}]
FLAGS = {"plain": {}, "half": {"salt": "s", "rules": [{"id": "r", "serve": {"split": HALF}}]}}


@pytest.fixture
def counting():
    server = Impostor(n=1)
    server.flags = FLAGS
    return server


def options(url):
    return {"base_url": url, "app_id": "app", "environment": "e"}


def reported(server):
    """Return the sums of what was reported."""
    sums: Counter = Counter()
    for body in server.usage:
        assert body["environment"] == "e"
        for one in body["counts"]:
            sums[one["flag"], one["variant"], one["rule_id"]] += one["count"]
        for one in body["unknown"]:
            sums[one["flag"]] += one["count"]
    return sums


def test_everything_is_reported_at_the_end(counting, wrong):
    with SyncConfigClient(**options(wrong(counting))) as one:
        for _ in range(3):
            one.flag("plain", "eve")
        one.flag_details("plain")
        one.flag("none")
        one.flag("not a name \n")
        served = Counter(one.flag_details("half", f"u{number}").variant for number in range(100))
        with one.snapshot() as moment:
            moment.flag("plain")
    assert reported(counting) == {
        ("plain", "on", None): 5,
        ("half", "on", "r"): served["on"],
        ("half", "off", "r"): served["off"],
        "none": 1,
    }
    one.close()
    assert len(counting.usage) == 1


def test_threads_lose_nothing(counting, wrong):
    with SyncConfigClient(**options(wrong(counting))) as one:

        def ask() -> None:
            for number in range(20_000):
                one.flag("half", f"u{number}")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            asyncio.run(one._engine.last_words())
        for thread in threads:
            thread.join()
    assert reported(counting).total() == 80_000


def test_from_time_to_time_and_again_when_it_failed(counting, wrong, monkeypatch):
    monkeypatch.setattr("configsync._reporting.USAGE_SECONDS", 0.02)
    counting.usage_refused = (503, "unavailable")
    with SyncConfigClient(**options(wrong(counting))) as one:
        one.start_auto_refresh()
        one.flag("plain")
        path = "/api/v1/feature-flags/usage"
        until(lambda: counting.asked.count(path) > 2, "reports fail")
        one.flag("plain")
        counting.usage_refused = None
        until(lambda: reported(counting) == {("plain", "on", None): 2}, "both are told")
        one.flag("plain")
        until(lambda: reported(counting) == {("plain", "on", None): 3}, "one more is told")


def test_in_a_loop_too(counting, wrong):
    async def main() -> None:
        async with ConfigClient(**options(wrong(counting))) as one:
            await one.start_auto_refresh()
            one.flag("plain")

    asyncio.run(main())
    assert reported(counting) == {("plain", "on", None): 1}


def test_a_server_that_takes_none(counting, wrong):
    counting.usage_refused = (404, "not_found")
    with SyncConfigClient(**options(wrong(counting))) as one:
        one.flag("plain")
    assert counting.usage == []


def test_closing_does_not_wait_for_a_server_that_hangs(counting, wrong):
    hanging = threading.Event()

    def answer(handler) -> None:
        if "usage" in handler.path:
            hanging.wait(60)
        counting(handler)

    one = SyncConfigClient(**options(wrong(answer)))
    one.initialize()
    one.flag("plain")
    one.close()
    assert not hanging.is_set()
    hanging.set()


def test_names_that_do_not_exist_are_bounded():
    usage = Usage()
    for number in range(2 * MOST_UNKNOWN):
        usage.missed(f"name-{number}")
    report = usage.report()
    assert report is not None
    assert len(report.unknown) == MOST_UNKNOWN
    assert report.is_full
    report.settle()
    assert usage.report() is None
    usage.missed("another")
    again = usage.report()
    assert again is not None
    assert again.unknown == [{"flag": "another", "count": 1}]


def test_a_real_server_has_the_counts(desk, client):
    desk.write(n=1)
    name = desk.name("checkout")
    desk.flag(name, target_users=["eve"], rollout_percentage=0)
    with client() as one:
        assert [one.flag(name, who) for who in ("eve", "eve", "bob")] == [True, True, False]
        one.flag(desk.name("none"))

    def told():
        answer = desk.http.get(
            "/api/v1/feature-flags/usage", params={"environment": ENVIRONMENT, "flag": name}
        )
        assert answer.status_code == 200, answer.text
        return {
            (count["variant"], count["rule_id"]): count["count"]
            for flag in answer.json()["flags"]
            for count in flag["counts"]
        }

    until(lambda: told() == {("on", "target_users"): 2, ("off", "rollout"): 1}, "they are there")
