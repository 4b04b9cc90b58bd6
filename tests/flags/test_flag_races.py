"""Writers at once: together they make neither a circle nor a hole."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.client import Person
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, put, revision

Call = Callable[[], httpx.Response]


def at_once(*calls: Call) -> list[httpx.Response]:
    """Make calls at the same moment."""
    barrier = Barrier(len(calls))

    def meet(call: Call) -> httpx.Response:
        barrier.wait(20)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(meet, calls))


def needing(name: str) -> dict[str, Any]:
    return {"prerequisites": [{"flag": name, "variant": "on"}]}


@pytest.mark.parametrize("turn", range(5))
def test_two_flags_that_would_need_each_other(ada: Person, turn: int):
    one, two = make(ada, "one"), make(ada, "two")
    answers = at_once(
        lambda: put(ada, one, **needing("two")), lambda: put(ada, two, **needing("one"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 422]
    assert {answer.json().get("code") for answer in answers} == {None, "prerequisite_cycle"}
    assert evaluate(ada, "one")["enabled"]
    assert evaluate(ada, "two")["enabled"]


def test_a_segment_is_deleted_while_a_flag_begins_to_use_it(ada: Person):
    ada.post(SEGMENTS, {"name": "beta", "included": ["eve"]})
    flag = make(ada)
    rules = [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]
    used, deleted = at_once(
        lambda: put(ada, flag, rules=rules),
        lambda: ada.request("DELETE", f"{SEGMENTS}/beta"),
    )
    codes = (used.status_code, deleted.status_code)
    assert codes in {(200, 409), (422, 204)}
    assert evaluate(ada, user_id="eve")["enabled"] is True


def test_the_same_new_flag_from_many(ada: Person):
    body = {"name": "new", "environment": PRODUCTION, "is_enabled": True}
    answers = at_once(*[lambda: ada.post(FLAGS, body)] * 6)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert revision(ada) == 1


def test_the_same_name_with_two_types(ada: Person):
    body = {"name": "new", "is_enabled": True}
    text = {"type": "string", "variants": {"a": "x"}}
    answers = at_once(
        lambda: ada.post(FLAGS, body | {"environment": "staging"}),
        lambda: ada.post(FLAGS, body | {"environment": PRODUCTION} | text),
    )
    assert sorted(answer.status_code for answer in answers) == [201, 422]
    assert ada.get(FLAGS).json()["total"] == 1


def test_sets_that_name_the_same_flags_in_opposite_orders(ada: Person):
    names = [f"f{number}" for number in range(20)]

    def send(order: list[str], is_enabled: bool) -> httpx.Response:
        members = {"environment": PRODUCTION, "op": "set", "is_enabled": is_enabled}
        changes = [{"flag": name, **members} for name in order]
        return ada.post("/api/v1/changes", {"changes": changes})

    answers = at_once(lambda: send(names, True), lambda: send(names[::-1], False))
    assert [answer.status_code for answer in answers] == [200, 200]
    found = ada.get(FLAGS, limit=50).json()["feature_flags"]
    assert len({one["is_enabled"] for one in found}) == 1
    assert {one["version"] for one in found} == {2}
