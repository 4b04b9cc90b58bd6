"""Change sets with flags and segments: one revision with the keys, or nothing at all."""

import json
from typing import Any

import pytest

from tests.client import Person, assert_problem, program
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, revision
from tests.keys.calls import change

KEY = {"service": "billing", "key": "a", "op": "set", "value": 1}


def flag(name: str = "checkout", op: str = "set", **more: Any) -> dict[str, Any]:
    return {"flag": name, "environment": PRODUCTION, "op": op, **more}


def segment(name: str = "beta", op: str = "set", **more: Any) -> dict[str, Any]:
    return {"segment": name, "op": op, **more}


def everything(person: Person) -> tuple[Any, ...]:
    """Return what a refused change set must leave as it was."""
    return (
        revision(person),
        person.get("/config/list").json(),
        person.get(FLAGS).json(),
        person.get(SEGMENTS).json(),
    )


def test_keys_flags_and_segments_in_one_revision(ada: Person):
    old = make(ada, "old")
    answer = change(
        ada,
        flag("next", "create", is_enabled=True, prerequisites=[{"flag": "base", "variant": "on"}]),
        KEY,
        segment(included=["eve"]),
        flag("old", "delete"),
        flag(
            "base",
            is_enabled=True,
            rules=[{"when": {"segment": "beta"}, "serve": {"variant": "on"}}],
        ),
        message="together",
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["revision"] == revision(ada) == 2
    first, key, beta, gone, base = body["changes"]
    assert first == ada.get(f"{FLAGS}/next", environment=PRODUCTION).json()
    assert (key["key"], key["value"], key["revision"]) == ("a", 1, 2)
    assert beta == ada.get(f"{SEGMENTS}/beta").json()
    assert gone == {
        "id": old["id"],
        "name": "old",
        "environment": PRODUCTION,
        "version": 2,
        "revision": 2,
    }
    assert base["revision"] == first["revision"] == beta["revision"] == 2
    assert evaluate(ada, "next", user_id="eve")["enabled"] is True
    assert evaluate(ada, "next", user_id="bob")["reason"] == "prerequisite_failed"
    versions = ada.get(f"{FLAGS}/{base['id']}/versions").json()["versions"]
    assert [one["message"] for one in versions] == ["together"]


def test_set_creates_and_then_changes_what_is_said(ada: Person):
    made = change(ada, flag(is_enabled=True, rollout_percentage=25)).json()["changes"][0]
    assert (made["version"], made["rollout_percentage"], made["type"]) == (1, 25, "boolean")
    changed = change(ada, flag(is_enabled=False)).json()["changes"][0]
    assert (changed["version"], changed["rollout_percentage"]) == (2, 25)
    assert changed["id"] == made["id"]
    deleted = change(ada, flag(op="delete"), segment(included=["eve"])).json()
    assert deleted["changes"][0]["version"] == 3
    assert change(ada, segment(op="delete")).json()["changes"][0] == {
        "name": "beta",
        "version": 2,
        "revision": 4,
    }
    back = change(ada, flag(is_enabled=True)).json()["changes"][0]
    assert (back["id"], back["version"], back["rollout_percentage"]) == (made["id"], 4, None)


def test_nothing_that_differs_takes_no_revision(ada: Person):
    change(ada, flag(is_enabled=True), segment())
    again = change(ada, flag(is_enabled=True), segment())
    assert (again.status_code, again.json()["revision"], revision(ada)) == (200, 1, 1)


def test_a_flag_is_promoted_with_its_type_and_salt(ada: Person):
    made = make(ada, type="string", variants={"a": "x", "b": "y"}, environment="staging")
    answer = change(ada, flag(is_enabled=True, variants={"a": "x", "b": "y"}))
    promoted = answer.json()["changes"][0]
    assert (promoted["type"], promoted["salt"]) == ("string", made["salt"])


SPLIT = [{"variant": "on", "weight": 30}, {"variant": "off", "weight": 70}]
OTHER = [{"variant": "on", "weight": 20}, {"variant": "off", "weight": 80}]


def rule(split: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": "r", "serve": {"split": split}}]


NEEDS_BETA = [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]

FAILURES: dict[str, tuple[dict[str, Any], int, str]] = {
    "there": (flag(op="create", is_enabled=True), 409, "flag_exists"),
    "not there": (flag("none", "update", is_enabled=True), 404, "flag_not_found"),
    "nothing to delete": (flag("none", "delete"), 404, "flag_not_found"),
    "no switch": (flag("none"), 422, "validation_error"),
    "unknown environment": (
        flag("none", is_enabled=True) | {"environment": "nowhere"},
        422,
        "unknown_environment",
    ),
    "other type": (flag(type="string"), 422, "flag_type_differs"),
    "other type of an update": (flag(op="update", type="string"), 422, "flag_type_differs"),
    "version": (flag(is_enabled=False, expected_version=7), 412, "precondition_failed"),
    "must not exist": (flag(is_enabled=False, expected_version=0), 412, "precondition_failed"),
    "would move people": (flag(op="update", rules=rule(OTHER)), 409, "would_rebucket"),
    "bad shares": (flag(rules=rule(SPLIT[:1])), 422, "invalid_shares"),
    "unknown segment": (
        flag(rules=[{"when": {"segment": "none"}, "serve": {"variant": "on"}}]),
        422,
        "unknown_segment",
    ),
    "schema": (flag(variant_schema={"const": True}), 422, "schema_mismatch"),
    "still needed": (segment(op="delete"), 409, "still_needed"),
    "segment cycle": (segment(when={"not": {"segment": "beta"}}), 422, "segment_cycle"),
    "segment there": (segment(op="create"), 409, "segment_exists"),
    "segment not there": (segment("none", "update"), 404, "segment_not_found"),
    "segment version": (segment(expected_version=9), 412, "precondition_failed"),
    "twice": (flag("first", is_enabled=False), 422, "duplicate_change"),
}


def test_nothing_is_written_when_the_last_fails(ada: Person):
    assert ada.post(SEGMENTS, {"name": "beta"}).status_code == 201
    make(ada, rules=rule(SPLIT))
    make(ada, "needing", rules=NEEDS_BETA)
    before = everything(ada)
    for case, (last, status, code) in FAILURES.items():
        answer = change(ada, KEY, flag("first", is_enabled=True), segment("s"), last)
        assert answer.status_code == status, (case, answer.text)
        assert_problem(answer, status, code)
        assert everything(ada) == before, case
    accepted = change(ada, KEY, flag(op="update", rules=rule(OTHER), accept_rebucketing=True))
    assert accepted.status_code == 200, accepted.text


def test_a_circle_of_two_flags_in_one_set(ada: Person):
    needs = [{"flag": "b", "variant": "on"}]
    circle = [
        flag("a", is_enabled=True, prerequisites=needs),
        flag("b", is_enabled=True, prerequisites=[{"flag": "a", "variant": "on"}]),
    ]
    problem = assert_problem(change(ada, KEY, *circle), 422, "prerequisite_cycle")
    assert problem["errors"][0]["loc"][:3] == ["body", "changes", 1]
    assert revision(ada) == 0
    circle = [segment("s", when={"segment": "t"}), segment("t", when={"segment": "s"})]
    assert_problem(change(ada, *circle), 422, "segment_cycle")
    assert revision(ada) == 0


def test_a_set_may_break_what_it_mends(ada: Person):
    make(ada, "base")
    needing = make(ada, "needing", prerequisites=[{"flag": "base", "variant": "on"}])
    assert_problem(change(ada, flag("base", "delete")), 409, "still_needed")
    answer = change(ada, flag("base", "delete"), flag("needing", "update", prerequisites=[]))
    assert answer.status_code == 200, answer.text
    assert answer.json()["changes"][1]["id"] == needing["id"]


def test_errors_say_which_entry_and_which_flag(ada: Person):
    answer = change(ada, KEY, flag(is_enabled=True, rules=[{"serve": {"variant": "none"}}]))
    problem = assert_problem(answer, 422, "unknown_variant")
    path = ["body", "changes", 1, "rules", 0, "serve", "variant"]
    assert problem["errors"][0]["loc"] == path
    assert "flag checkout@production" in problem["detail"]
    answer = change(ada, KEY, flag(is_enabled=True, target_users="eve"))
    problem = assert_problem(answer, 422, "validation_error")
    assert [one["loc"] for one in problem["errors"]] == [["body", "changes", 1, "target_users"]]
    problem = assert_problem(change(ada, {**KEY, "op": "put"}), 422, "validation_error")
    assert [one["loc"] for one in problem["errors"]] == [["body", "changes", 0, "op"]]


@pytest.mark.parametrize(
    "entry",
    [
        flag(is_enabled=None),
        flag(op="delete", is_enabled=True),
        flag(op="unset"),
        flag(value=True, is_enabled=True),
        flag(is_enabled=True, key="a"),
        flag(is_enabled=True, message="per entry"),
        flag("snapshot", is_enabled=True),
        flag("ä", is_enabled=True),
        {"flag": "a", "op": "set", "is_enabled": True},
        segment(op="delete", included=[]),
        segment(environment=PRODUCTION),
        segment(included=[1]),
        {"flag": "a", "segment": "b", "op": "delete"},
    ],
    ids=json.dumps,
)
def test_bad_entries(ada: Person, entry: dict[str, Any]):
    assert_problem(change(ada, KEY, entry), 422, "validation_error")
    assert revision(ada) == 0


def test_protected_environments_take_no_part(ada: Person, bob: Person):
    ada.post("/api/v1/workspaces", {"slug": "team"})
    members = "/api/v1/workspaces/team/members/bob"
    assert ada.request("PUT", members, json={"role": "editor"}).is_success
    protected = {"protected": True}
    assert ada.request("PATCH", "/environments/production?workspace=team", json=protected)
    before = bob.get(FLAGS, workspace="team").headers["x-configsync-revision"]
    body = {"changes": [KEY, flag(is_enabled=True)]}
    answer = bob.post("/api/v1/changes?workspace=team", body)
    assert_problem(answer, 403, "protected_environment")
    assert bob.get(FLAGS, workspace="team").headers["x-configsync-revision"] == before
    staging = {"changes": [KEY, flag(is_enabled=True) | {"environment": "staging"}]}
    assert bob.post("/api/v1/changes?workspace=team", staging).status_code == 200


def test_keys_change_only_what_their_scopes_name(ada: Person):
    make(ada, "shop/new")
    make(ada, "other")
    shop = program(ada, actions=["read", "write"], services=["shop"], flags=["shop/*"])
    fine = change(shop, flag("shop/new", is_enabled=False))
    assert fine.json()["changes"][0]["is_enabled"] is False
    both = [flag("shop/new", is_enabled=True), flag("other", is_enabled=False)]
    assert_problem(change(shop, *both), 403, "outside_scope")
    assert_problem(change(shop, flag("made", is_enabled=True)), 403, "outside_scope")
    assert revision(ada) == 3


def test_who_may_only_write_is_shown_no_definition(ada: Person):
    make(ada, target_users=["eve"])
    ada.post(SEGMENTS, {"name": "beta", "included": ["eve"]})
    blind = program(ada, actions=["write"])
    answer = change(blind, flag(op="update", is_enabled=False), segment(op="set"))
    told = answer.json()["changes"]
    assert [sorted(one) for one in told] == [
        ["environment", "id", "name", "revision", "version"],
        ["name", "revision", "version"],
    ]
    assert told[0]["version"] == 2
