"""Flags and segments go back with the workspace: all of them, in one revision."""

from typing import Any

from tests.client import Person, assert_problem
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, put, revision


def restore(person: Person, at: int, **more: Any) -> Any:
    return person.post("/api/v1/workspaces/ada/restore", {"at": at, **more})


def state(person: Person) -> dict[str, Any]:
    """Return what flags and segments say, apart from versions, revisions and times."""
    changing = ("version", "revision", "updated_at")
    flags = person.get(FLAGS, limit=500).json()["feature_flags"]
    segments = person.get(SEGMENTS).json()["segments"]
    return {
        one.get("environment", "") + "/" + one["name"]: {
            name: value for name, value in one.items() if name not in changing
        }
        for one in (*flags, *segments)
    }


def delete(person: Person, flag: dict[str, Any]) -> None:
    assert person.request("DELETE", f"{FLAGS}/{flag['id']}").status_code == 204


def split(weight: float) -> list[dict[str, Any]]:
    parts = [{"variant": "on", "weight": weight}, {"variant": "off", "weight": 100 - weight}]
    return [{"id": "r", "serve": {"split": parts}}]


BETA = [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]


def test_created_changed_and_deleted_ones_go_back(ada: Person):
    ada.post(SEGMENTS, {"name": "beta", "included": ["eve"]})
    changed = make(ada, "changed", rules=BETA)
    gone = make(ada, "gone", target_users=["eve"])
    at, then = revision(ada), state(ada)
    put(ada, changed, rules=[], prerequisites=[])
    delete(ada, gone)
    ada.request("DELETE", f"{SEGMENTS}/beta")
    made = make(ada, "made")
    ada.post(SEGMENTS, {"name": "new"})
    listed = restore(ada, at, dry_run=True).json()
    before = revision(ada)
    answer = restore(ada, at)
    assert answer.status_code == 200, answer.text
    told = {(one["resource_type"], one["name"], one["action"]) for one in answer.json()["changes"]}
    assert told == {
        ("segment", "beta", "create"),
        ("segment", "new", "delete"),
        ("feature_flag", "changed", "update"),
        ("feature_flag", "gone", "create"),
        ("feature_flag", "made", "delete"),
    }
    assert listed["changes"] == answer.json()["changes"]
    assert answer.json()["revision"] == revision(ada) == before + 1
    assert state(ada) == then
    assert evaluate(ada, "changed", user_id="eve")["reason"] == "rule_match"
    assert_problem(ada.get(f"{FLAGS}/made", environment=PRODUCTION), 404, "flag_not_found")
    versions = ada.get(f"{FLAGS}/{made['id']}/versions").json()["versions"]
    assert [one["action"] for one in versions] == ["restore", "create"]


def test_going_back_undoes_going_back(ada: Person):
    flag = make(ada, rollout_percentage=10)
    put(ada, flag, rollout_percentage=90)
    late, then = revision(ada), state(ada)
    assert restore(ada, 1).json()["revision"] == 3
    assert ada.get(f"{FLAGS}/checkout", environment=PRODUCTION).json()["rollout_percentage"] == 10
    assert restore(ada, late).json()["revision"] == 4
    assert state(ada) == then


def test_people_are_moved_because_that_is_what_was_asked(ada: Person):
    flag = make(ada, rules=split(30))
    served = [evaluate(ada, user_id=f"u{n}")["variant"] for n in range(40)]
    put(ada, flag, rules=split(70), bucket_by="targetingKey", accept_rebucketing=True)
    assert [evaluate(ada, user_id=f"u{n}")["variant"] for n in range(40)] != served
    assert restore(ada, 1).status_code == 200
    assert [evaluate(ada, user_id=f"u{n}")["variant"] for n in range(40)] == served


def test_needs_that_turned_round_are_turned_back_together(ada: Person):
    one, two = make(ada, "one"), make(ada, "two")
    put(ada, one, prerequisites=[{"flag": "two", "variant": "on"}])
    at, then = revision(ada), state(ada)
    put(ada, one, prerequisites=[])
    put(ada, two, prerequisites=[{"flag": "one", "variant": "on"}])
    answer = restore(ada, at)
    assert answer.status_code == 200, answer.text
    assert state(ada) == then


def test_a_part_that_would_close_a_circle_is_refused(ada: Person):
    one, two = make(ada, "one", prerequisites=[]), make(ada, "two")
    put(ada, one, prerequisites=[{"flag": "two", "variant": "on"}])
    put(ada, one, prerequisites=[])
    put(ada, two, prerequisites=[{"flag": "one", "variant": "on"}])
    before = revision(ada)
    answer = ada.post(f"{FLAGS}/{one['id']}/rollback", {"version": 2})
    assert_problem(answer, 422, "prerequisite_cycle")
    assert revision(ada) == before


def test_flags_of_a_renamed_environment(ada: Person):
    ada.post("/environments", {"name": "qa"})
    flag = make(ada, environment="qa", target_users=["eve"])
    at, then = revision(ada), state(ada)
    ada.request("PATCH", "/environments/qa", json={"name": "testing"})
    put(ada, flag, target_users=["bob"])
    assert [*state(ada)] == ["testing/checkout"]
    assert restore(ada, at).status_code == 200
    assert state(ada) == then


def test_flags_of_an_environment_that_was_deleted(ada: Person):
    ada.post("/environments", {"name": "qa"})
    flag = make(ada, environment="qa")
    at, then = revision(ada), state(ada)
    delete(ada, flag)
    assert ada.request("DELETE", "/environments/qa").status_code == 204
    assert restore(ada, at).status_code == 200
    assert state(ada) == then
    assert restore(ada, 1).status_code == 200
    assert state(ada) == {}
    assert restore(ada, 0).status_code == 200
    names = {one["name"] for one in ada.get("/environments").json()["environments"]}
    assert "qa" not in names


def test_flags_and_documents_go_back_in_one_revision(ada: Person):
    ada.update("billing", {"a": 1})
    flag = make(ada)
    at = revision(ada)
    ada.update("billing", {"a": 2})
    put(ada, flag, is_enabled=False)
    answer = restore(ada, at).json()
    assert {one["resource_type"] for one in answer["changes"]} == {"configuration", "feature_flag"}
    assert answer["revision"] == at + 3
    found = ada.get(f"{FLAGS}/checkout", environment=PRODUCTION).json()
    assert (found["revision"], found["is_enabled"]) == (at + 3, True)
