"""The past of flags: compared, read, gone back to; what each of them says of time."""

from typing import Any

import pytest

from app.core import db
from app.versions import crud
from tests.client import Person, assert_problem, program
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, put, revision


def diff(person: Person, flag: dict[str, Any], old: int, new: int) -> Any:
    return person.request("GET", f"{FLAGS}/{flag['id']}/diff", params={"from": old, "to": new})


def test_two_versions_compared(ada: Person):
    flag = make(ada, owner="ada", rollout_percentage=10)
    put(ada, flag, is_enabled=False, owner=None)
    found = diff(ada, flag, 1, 2).json()
    assert (found["id"], found["from"], found["to"]) == (flag["id"], 1, 2)
    assert found["patch"] == [
        {"op": "replace", "path": "/is_enabled", "value": False},
        {"op": "remove", "path": "/owner"},
    ]
    assert found["summary"] == {"added": 0, "removed": 1, "changed": 1}
    assert "is_enabled" in found["text"]
    assert found["diff"]
    assert diff(ada, flag, 2, 2).json()["patch"] == []


def test_a_deletion_is_compared_as_nothing(ada: Person):
    flag = make(ada)
    ada.request("DELETE", f"{FLAGS}/{flag['id']}")
    found = diff(ada, flag, 1, 2).json()
    assert found["summary"]["added"] == 0
    assert {one["op"] for one in found["patch"]} == {"remove"}


def test_what_cannot_be_compared(ada: Person):
    flag = make(ada, "shop")
    assert_problem(diff(ada, flag, 1, 7), 404, "version_not_found")
    assert_problem(diff(ada, {"id": 10**6}, 1, 1), 404, "flag_not_found")
    assert_problem(diff(ada, flag, 0, 1), 422, "validation_error")
    elsewhere = program(ada, actions=["read"], flags=["other"])
    assert_problem(diff(elsewhere, flag, 1, 1), 404, "flag_not_found")
    assert_problem(diff(program(ada, actions=["write"]), flag, 1, 1), 403, "not_allowed")


@pytest.mark.parametrize("name", ["a/b", "shop/versions", "a/diff", "x/rollback", "v1:a.b-c/2"])
def test_names_with_slashes_are_read(ada: Person, name: str):
    flag = make(ada, name)
    assert ada.get(f"{FLAGS}/{name}", environment=PRODUCTION).json() == flag
    assert evaluate(ada, name)["flag_name"] == name
    body = {"flag_name": name, "environment": PRODUCTION}
    assert ada.post(f"{FLAGS}/{name}/explain", body).status_code == 200


def test_reading_as_of(ada: Person):
    flag = make(ada, rollout_percentage=10, tags=["old"])
    make(ada, "second")
    put(ada, flag, rollout_percentage=90, tags=["new"])
    ada.request("DELETE", f"{FLAGS}/{flag['id']}")
    past = ada.get(f"{FLAGS}/checkout", environment=PRODUCTION, at=1)
    assert past.json() == flag
    assert past.headers["etag"] == f'"d{flag["id"]}-1"'
    assert ada.get(f"{FLAGS}/checkout", environment=PRODUCTION, at=3).json()["version"] == 2
    for at in (0, 4):
        answer = ada.get(f"{FLAGS}/checkout", environment=PRODUCTION, at=at)
        assert_problem(answer, 404, "flag_not_found")
    names = {
        at: [one["name"] for one in ada.get(FLAGS, at=at).json()["feature_flags"]]
        for at in range(5)
    }
    assert names == {
        0: [],
        1: ["checkout"],
        2: ["checkout", "second"],
        3: ["checkout", "second"],
        4: ["second"],
    }
    assert ada.get(FLAGS, at=2, tag="old").json()["total"] == 1
    assert ada.get(FLAGS, at=3, tag="old").json()["total"] == 0
    assert_problem(ada.get(FLAGS, at=5), 422, "at_out_of_range")
    assert_problem(ada.get(FLAGS, at="yesterday"), 422, "validation_error")


def test_a_past_that_is_gone_is_said_to_be(ada: Person):
    flag = make(ada, rollout_percentage=1)
    for percentage in (2, 3, 4):
        put(ada, flag, rollout_percentage=percentage)
    with db.transaction() as session:
        assert crud.prune(session, keep=1, limit=100) == {flag["id"]}
    assert ada.get(f"{FLAGS}/checkout", environment=PRODUCTION, at=4).status_code == 200
    for path, where in ((f"{FLAGS}/checkout", {"environment": PRODUCTION}), (FLAGS, {})):
        assert_problem(ada.get(path, **where, at=2), 410, "history_pruned")
    assert ada.get(FLAGS, environment="staging", at=2).json()["total"] == 0
    asked = {"flag_name": "checkout", "environment": PRODUCTION}
    assert_problem(ada.post(f"{FLAGS}/evaluate?at=2", asked), 410, "history_pruned")
    batch = {"environment": PRODUCTION}
    assert_problem(ada.post(f"{FLAGS}/evaluate/batch?at=2", batch), 410, "history_pruned")


def test_going_back_moves_nobody_unless_accepted(ada: Person):
    def rules(weight: int) -> list[dict[str, Any]]:
        split = [{"variant": "on", "weight": weight}, {"variant": "off", "weight": 100 - weight}]
        return [{"id": "r", "serve": {"split": split}}]

    flag = make(ada, rules=rules(30))
    put(ada, flag, rules=rules(20), accept_rebucketing=True)
    before = revision(ada)
    path = f"{FLAGS}/{flag['id']}/rollback"
    assert_problem(ada.post(path, {"version": 1}), 409, "would_rebucket")
    assert revision(ada) == before
    back = ada.post(path, {"version": 1, "accept_rebucketing": True})
    assert back.json()["rules"][0]["serve"]["split"][0]["weight"] == 30
    assert_problem(ada.post(path, {"version": 9}), 404, "version_not_found")


def test_going_back_to_what_needs_a_segment_that_is_gone(ada: Person):
    ada.post(SEGMENTS, {"name": "beta"})
    flag = make(ada, rules=[{"when": {"segment": "beta"}, "serve": {"variant": "on"}}])
    put(ada, flag, rules=[])
    assert ada.request("DELETE", f"{SEGMENTS}/beta").status_code == 204
    answer = ada.post(f"{FLAGS}/{flag['id']}/rollback", {"version": 1})
    assert_problem(answer, 422, "unknown_segment")


def test_rules_and_the_simple_view_by_turns(ada: Person):
    flag = make(ada, target_users=["eve"], rollout_percentage=25)
    rules = [
        {"id": "de", "when": {"attribute": "c", "op": "exists"}, "serve": {"variant": "on"}},
        *flag["rules"],
    ]
    more = put(ada, flag, rules=rules).json()
    assert (more["is_simple"], more["rollout_percentage"]) == (False, None)
    assert_problem(put(ada, flag, target_users=["bob"]), 422, "invalid_flag")
    assert put(ada, flag, is_enabled=False).json()["rules"] == more["rules"]
    back = put(ada, flag, rules=flag["rules"]).json()
    assert (back["is_simple"], back["rollout_percentage"]) == (True, 25)
    assert put(ada, flag, target_users=["bob"]).json()["target_users"] == ["bob"]


def test_the_order_of_variants_moves_nobody(ada: Person):
    flag = make(ada, type="string", variants={"a": "x", "b": "y"}, target_users=["eve"])
    assert (evaluate(ada)["variant"], flag["off_variant"]) == ("a", "b")
    added = put(ada, flag, variants={"a": "x", "b": "y", "c": "z"}).json()
    assert (added["off_variant"], added["is_simple"]) == ("b", True)
    problem = put(ada, flag, variants={"c": "new", "a": "x", "b": "y"})
    assert_problem(problem, 409, "would_rebucket")
    assert problem.json()["reason"] == "variant_order"
    assert evaluate(ada)["variant"] == "a"
    asked = put(ada, flag, variants={"c": "new", "a": "x", "b": "y"}, accept_rebucketing=True)
    assert asked.status_code == 200
    assert evaluate(ada)["variant"] == "c"
    assert put(ada, flag, off_variant="c").json()["off_variant"] == "c"
    other = put(ada, flag, variants={"d": "x", "e": "y"}, off_variant="e", target_users=[])
    assert other.json()["variants"] == {"d": "x", "e": "y"}


def test_large_numbers_come_back(ada: Person):
    large = {"n": 100_000_000_000_000_000_000}
    rules = [
        {
            "id": "r",
            "when": {"attribute": "n", "op": "gt", "value": 2**70},
            "serve": {"variant": "a"},
        }
    ]
    flag = make(ada, type="object", variants={"a": large, "b": {}}, rules=rules)
    assert flag["variants"]["a"] == large
    assert ada.get(FLAGS).json()["feature_flags"][0]["rules"][0]["when"]["value"] == 2**70
    versions = ada.get(f"{FLAGS}/{flag['id']}/versions").json()["versions"]
    assert versions[0]["definition"]["variants"]["a"] == large
    assert evaluate(ada, context={"n": 2**71})["value"] == large
    when = {"attribute": "n", "op": "lt", "value": 2**70}
    assert ada.post(SEGMENTS, {"name": "small", "when": when}).json()["when"] == when


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z"),
        ("2030-01-31T12:00:00+05:30", "2030-01-31T06:30:00Z"),
        ("2030-01-31T12:00:00+23:59", "2030-01-30T12:01:00Z"),
        ("2001-01-01T00:00:00.000001Z", "2001-01-01T00:00:00.000001Z"),
        (None, None),
    ],
)
def test_an_expiry_is_kept_and_changes_nothing(ada: Person, given: Any, stored: Any):
    flag = make(ada, expires_at=given)
    assert flag["expires_at"] == stored
    assert evaluate(ada)["reason"] == "globally_enabled"


def test_owner_tags_and_expiry_are_cleared_by_null(ada: Person):
    flag = make(ada, owner="ada", tags=["a", "b"], expires_at="2030-01-01T00:00:00Z")
    cleared = put(ada, flag, owner=None, tags=[], expires_at=None).json()
    assert (cleared["owner"], cleared["tags"], cleared["expires_at"]) == (None, [], None)
