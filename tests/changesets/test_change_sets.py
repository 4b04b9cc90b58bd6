"""Change sets: many keys, one revision, or nothing at all."""

from typing import Any

import pytest

from tests.client import Person, assert_problem
from tests.conftest import QueryRecorder
from tests.keys.calls import CHANGES, change, document, fetch, head, item, key_of, kinds, make

Entry = dict[str, Any]


def entry(key: str, value: Any = 1, **more: Any) -> Entry:
    return {"service": "billing", "key": key, "op": "set", "value": value, **more}


def removal(key: str, op: str = "delete", **more: Any) -> Entry:
    return {"service": "billing", "key": key, "op": op, **more}


def everything(person: Person) -> tuple[int, Any, Any, Any]:
    """Return what a refused change set must leave as it was."""
    return (
        head(person),
        person.get("/api/v1/configs", limit=500).json(),
        person.get("/config/list").json(),
        person.get("/api/v1/workspaces/ada/services").json(),
    )


def test_many_levels_in_one_revision(ada: Person):
    old = make(ada, "old", 1)
    answer = change(
        ada,
        {"key": "a", "op": "set", "value": 1},
        {"key": "a", "op": "set", "value": 2, "environment": "staging"},
        entry("a", 3),
        entry("a", {"x": 4}, environment="production"),
        entry("b", 5, service="shop"),
        removal("old"),
        message="winter sale",
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["revision"] == head(ada) == 2
    told = [(one["app_id"], one["environment"], one["value"]) for one in body["changes"]]
    assert told == [
        (None, None, 1),
        (None, "staging", 2),
        ("billing", None, 3),
        ("billing", "production", {"x": 4}),
        ("shop", None, 5),
        ("billing", None, None),
    ]
    assert {one["revision"] for one in body["changes"]} == {2}
    assert [one["version"] for one in body["changes"]] == [1, 1, 1, 1, 1, 2]
    assert body["changes"][-1]["id"] == old["id"]
    assert body["changes"][4] == key_of(ada, "b", "shop")
    assert (document(ada), document(ada, "shop")) == ({"a": 3}, {"b": 5})
    newest = ada.get("/config/versions", name="billing").json()["versions"][0]
    assert (newest["message"], newest["version"]) == ("winter sale", 2)


def test_several_keys_of_one_document_are_one_version_of_it(ada: Person):
    make(ada, "a", 1)
    change(ada, entry("a", 2), entry("b", 2), entry("c", 2))
    assert ada.get("/config/get", service="billing").json()["version"] == 2
    assert document(ada) == {"a": 2, "b": 2, "c": 2}


FAILURES: dict[str, tuple[Entry, int, str]] = {
    "unknown environment": (entry("z", environment="nowhere"), 422, "unknown_environment"),
    "missing key": (removal("missing"), 404, "key_not_found"),
    "missing document": (removal("a", service="nobody"), 404, "key_not_found"),
    "wrong version": (entry("a", 2, expected_version=7), 412, "precondition_failed"),
    "there": (entry("a", 2, expected_version=0), 412, "precondition_failed"),
    "not there": (entry("z", 2, expected_version=1), 412, "precondition_failed"),
    "secret": (entry("z", {"$secret": 5}), 422, "invalid_secret"),
    "too large": (entry("z", "x" * 2000, service="big"), 422, "document_too_large"),
    "too many": (entry("m", service="full"), 422, "too_many_keys"),
    "twice": (entry("first", 3, service="new"), 422, "duplicate_change"),
}


@pytest.mark.parametrize(
    "variables", [{"MAX_DOCUMENT_BYTES": "1024", "MAX_KEYS_PER_DOCUMENT": "5"}]
)
def test_nothing_is_written_when_the_last_fails(ada: Person):
    make(ada, "a", 1)
    ada.update("full", {f"k{number}": 1 for number in range(5)})
    before = everything(ada)
    for case, (last, status, code) in FAILURES.items():
        answer = change(
            ada,
            entry("b", 5),
            entry("first", service="new"),
            entry("x", environment="staging"),
            last,
        )
        assert answer.status_code == status, (case, answer.text)
        assert_problem(answer, status, code)
        assert everything(ada) == before, case


def test_a_refusal_names_the_current_state(ada: Person):
    made = make(ada, "a", 1)
    answer = change(ada, entry("a", 2, expected_version=7))
    problem = assert_problem(answer, 412, "precondition_failed")
    assert (problem["current"]["id"], problem["current"]["version"]) == (made["id"], 1)


def test_the_same_key_twice(ada: Person):
    for one, two in (
        (entry("a"), entry("a", 2)),
        (entry("a"), removal("a")),
        ({"key": "a", "op": "set", "value": 1}, entry("a", service="_global")),
        (entry("a", environment=None), entry("a")),
    ):
        assert_problem(change(ada, one, two), 422, "duplicate_change")
    assert head(ada) == 0
    fine = change(ada, entry("a"), entry("A"), entry("a", environment="staging"))
    assert fine.status_code == 200


def test_how_many(ada: Person):
    assert_problem(change(ada), 422, "validation_error")
    many = [removal(f"k{number}") for number in range(10_001)]
    answer = change(ada, *many)
    assert_problem(answer, 422, "validation_error")
    assert len(answer.text) < 3000
    assert head(ada) == 0


def test_bad_entries(ada: Person):
    without = {"service": "billing", "key": "a", "op": "set"}
    for bad in (
        without,
        removal("a", value=1),
        removal("a", value=None),
        removal("a", "unset", value=1),
        {**entry("a"), "op": "put"},
        {**entry("a"), "id": 1},
        {**entry("a"), "value_type": "number"},
        entry("a", service="list"),
        entry("a", environment=""),
        entry("a", expected_version=-1),
        entry("a", expected_version="1"),
        {"op": "set", "value": 1},
        "a",
    ):
        assert_problem(ada.post(CHANGES, {"changes": [bad]}), 422, "validation_error")
    for body in ({}, {"changes": {}}, {"changes": [entry("a")], "x": 1}, []):
        assert_problem(ada.post(CHANGES, body), 422, "validation_error")
    assert head(ada) == 0


def test_null_is_a_value(ada: Person):
    assert change(ada, entry("a", None)).json()["changes"][0]["value"] is None
    assert document(ada) == {"a": None}


def test_unset_takes_an_inherited_key_away(ada: Person):
    change(ada, {"key": "a", "op": "set", "value": 1}, entry("b"))
    answer = change(ada, removal("a", "unset"))
    assert answer.json()["changes"][0]["value"] == {"$unset": True}
    assert fetch(ada).json()["configs"] == {"b": 1}
    assert_problem(item(ada, "a"), 404, "key_not_found")
    assert item(ada, "a", service_name="other").json()["value"] == 1
    change(ada, removal("a"))
    assert fetch(ada).json()["configs"] == {"a": 1, "b": 1}


def test_expected_version_is_the_one_of_the_key(ada: Person):
    first = change(ada, entry("a", 1, expected_version=0), entry("b", 1))
    assert first.status_code == 200
    change(ada, entry("b", 2))
    answer = change(ada, entry("a", 2, expected_version=1), removal("b", expected_version=2))
    assert answer.status_code == 200, answer.text
    assert [one["version"] for one in answer.json()["changes"]] == [2, 3]
    revived = change(ada, entry("b", 3, expected_version=0)).json()["changes"][0]
    assert revived["version"] == 4


def test_a_set_that_changes_nothing_takes_no_revision(ada: Person):
    change(ada, entry("a", 1), entry("b", 1))
    answer = change(ada, entry("a", 1), entry("b", 1))
    assert (answer.json()["revision"], head(ada)) == (1, 1)
    part = change(ada, entry("a", 1), entry("b", 2)).json()
    assert [(one["version"], one["revision"]) for one in part["changes"]] == [(1, 1), (2, 2)]


def test_one_event_for_each_key(ada: Person):
    make(ada, "old", 1)
    answer = change(ada, entry("a"), entry("b", service="shop"), removal("old"), message="m")
    ids = {str(one["id"]) for one in answer.json()["changes"]}
    logs = ada.get("/api/v1/audit", entity_type="key").json()["logs"]
    told = [log for log in logs if log["action"] != "read"][:3]
    assert {log["entity_id"] for log in told} == ids
    assert sorted(log["action"] for log in told) == ["create", "create", "delete"]
    assert {log["app_id"] for log in told} == {"billing", "shop"}
    for action in ("create", "update"):
        found = ada.get("/api/v1/audit", entity_type="configuration", action=action).json()
        assert found["logs"] == []


def test_500_keys_take_as_many_statements_as_5(ada: Person, query_recorder: QueryRecorder):
    services = ("billing", "shop")
    change(ada, *(entry("first", service=service) for service in services))
    counts = []
    for size in (5, 500):
        many = [entry(f"k{size}.{n}", n, service=services[n % 2]) for n in range(size)]
        with query_recorder() as queries:
            answer = change(ada, *many)
        assert len(answer.json()["changes"]) == size
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert head(ada) == 3
    assert document(ada, "shop")["k500.499"] == 499


def test_sent_twice_it_happens_once(ada: Person):
    headers = {"Idempotency-Key": "once"}
    body = {"changes": [entry("a"), entry("b", service="shop")]}
    first = ada.post(CHANGES, body, headers=headers)
    again = ada.post(CHANGES, body, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert kinds(ada, first.json()["changes"][0]["id"]) == ["created"]
    other = {"changes": [entry("a", 2)]}
    assert_problem(ada.post(CHANGES, other, headers=headers), 422, "idempotency_key_reused")
    assert head(ada) == 1


def test_setting_an_inactive_key_is_seen(ada: Person):
    made = make(ada, "a", 1)
    path = f"/api/v1/configs/{made['id']}"
    ada.request("PUT", path, json={"is_active": False})
    told = change(ada, entry("a", 2)).json()["changes"][0]
    assert (told["id"], told["value"]) == (made["id"], 2)
    assert ada.get(path).json() == told
