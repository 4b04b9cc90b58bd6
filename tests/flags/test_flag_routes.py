"""Flags: created, changed, deleted, rolled back, read as of, restored, like configs."""

import pytest

from tests.client import Person, assert_problem
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, put, revision


def test_a_new_flag_says_everything(ada: Person):
    flag = make(ada, target_users=["eve"], rollout_percentage=25, tags=["shop"], owner="ada")
    assert flag["type"] == "boolean"
    assert flag["variants"] == {"on": True, "off": False}
    assert (flag["target_users"], flag["rollout_percentage"]) == (["eve"], 25)
    assert flag["is_simple"]
    assert [rule["id"] for rule in flag["rules"]] == ["target_users", "rollout"]
    assert (flag["version"], flag["revision"]) == (1, 1)
    assert (flag["tags"], flag["owner"]) == (["shop"], "ada")
    found = ada.get(f"{FLAGS}/checkout", environment=PRODUCTION)
    assert found.json() == flag
    assert found.headers["etag"] == f'"d{flag["id"]}-1"'


def test_the_same_name_has_one_type_and_salt(ada: Person):
    first = make(ada)
    second = make(ada, environment="staging")
    assert first["salt"] == second["salt"]
    assert first["id"] != second["id"]
    body = {"name": "checkout", "environment": "development", "is_enabled": True, "type": "string"}
    answer = ada.post(FLAGS, body | {"variants": {"a": "x"}})
    assert_problem(answer, 422, "flag_type_differs")
    assert_problem(ada.post(FLAGS, body | {"environment": PRODUCTION}), 422, "flag_type_differs")
    del body["type"]
    assert_problem(ada.post(FLAGS, body | {"environment": PRODUCTION}), 409, "flag_exists")
    assert_problem(ada.post(FLAGS, body | {"environment": "nowhere"}), 422, "unknown_environment")


def test_what_is_left_out_stays(ada: Person):
    flag = make(ada, target_users=["eve"], rollout_percentage=25, description="d")
    changed = put(ada, flag, is_enabled=False).json()
    assert changed == flag | {
        "is_enabled": False,
        "version": 2,
        "revision": 2,
        "updated_at": changed["updated_at"],
    }
    assert put(ada, flag, rollout_percentage=None).json()["rollout_percentage"] is None
    assert put(ada, flag, target_users=[]).json()["target_users"] == []
    same = put(ada, flag, target_users=[])
    assert same.json()["version"] == 4


def test_expected_versions(ada: Person):
    flag = make(ada)
    assert put(ada, flag, is_enabled=False, expected_version=1).status_code == 200
    problem = put(ada, flag, is_enabled=True, expected_version=1)
    assert_problem(problem, 412, "precondition_failed")


def test_rules_that_say_more_make_the_view_read_only(ada: Person):
    rules = [
        {"when": {"attribute": "country", "op": "in", "values": ["DE"]}, "serve": {"variant": "on"}}
    ]
    flag = make(ada, rules=rules)
    assert (flag["target_users"], flag["rollout_percentage"], flag["is_simple"]) == (
        None,
        None,
        False,
    )
    assert flag["rules"][0]["id"]
    problem = put(ada, flag, rollout_percentage=5)
    assert_problem(problem, 422, "invalid_flag")
    assert "read-only" in problem.json()["detail"]
    assert evaluate(ada, context={"country": "DE"})["reason"] == "rule_match"
    assert evaluate(ada, context={"country": "FR"})["enabled"] is False


def test_reasons(ada: Person):
    flag = make(ada, target_users=["eve"], rollout_percentage=0)
    assert evaluate(ada, user_id="eve")["reason"] == "user_targeted"
    out = evaluate(ada, user_id="bob")
    assert (out["enabled"], out["reason"], out["rule_id"]) == (
        False,
        "rollout_percentage",
        "rollout",
    )
    put(ada, flag, is_enabled=False)
    assert evaluate(ada, user_id="eve")["reason"] == "globally_disabled"
    make(ada, "plain")
    assert evaluate(ada, "plain")["reason"] == "globally_enabled"
    answer = ada.post(f"{FLAGS}/evaluate", {"flag_name": "none", "environment": PRODUCTION})
    assert_problem(answer, 404, "flag_not_found")


def test_history_rollback_and_the_past(ada: Person):
    flag = make(ada, rollout_percentage=10)
    put(ada, flag, rollout_percentage=90)
    before = revision(ada)
    assert ada.request("DELETE", f"{FLAGS}/{flag['id']}").status_code == 204
    assert_problem(ada.get(f"{FLAGS}/checkout", environment=PRODUCTION), 404, "flag_not_found")
    answer = ada.request(
        "POST",
        f"{FLAGS}/evaluate?at={before}",
        json={"flag_name": "checkout", "environment": PRODUCTION, "user_id": "eve"},
    )
    assert answer.status_code == 200, answer.text
    versions = ada.get(f"{FLAGS}/{flag['id']}/versions").json()["versions"]
    assert [one["action"] for one in versions] == ["delete", "update", "create"]
    back = ada.post(f"{FLAGS}/{flag['id']}/rollback", {"version": 1})
    assert (back.json()["rollout_percentage"], back.json()["version"]) == (10, 4)
    restored = ada.post("/api/v1/workspaces/ada/restore", {"at": before})
    assert restored.status_code == 200, restored.text
    assert [one["resource_type"] for one in restored.json()["changes"]] == ["feature_flag"]
    now = ada.get(f"{FLAGS}/checkout", environment=PRODUCTION).json()
    assert now["rollout_percentage"] == 90


def test_what_would_move_people_is_refused(ada: Person):
    split = [{"variant": "on", "weight": 30}, {"variant": "off", "weight": 70}]
    flag = make(ada, rules=[{"id": "r", "serve": {"split": split}}])
    other = [
        {
            "id": "r",
            "serve": {"split": [{"variant": "on", "weight": 20}, split[1] | {"weight": 80}]},
        }
    ]
    problem = put(ada, flag, rules=other)
    assert_problem(problem, 409, "would_rebucket")
    assert problem.json()["reason"] == "proportions"
    assert put(ada, flag, rules=other, accept_rebucketing=True).status_code == 200
    assert_problem(put(ada, flag, bucket_by="company"), 409, "would_rebucket")
    assert put(ada, flag, is_enabled=False).status_code == 200


def test_prerequisites_and_segments_hold_together(ada: Person):
    base = make(ada, "base")
    needing = make(ada, prerequisites=[{"flag": "base", "variant": "on"}])
    assert_problem(ada.request("DELETE", f"{FLAGS}/{base['id']}"), 409, "still_needed")
    problem = put(ada, base, prerequisites=[{"flag": "checkout", "variant": "on"}])
    assert_problem(problem, 422, "prerequisite_cycle")
    put(ada, base, is_enabled=False)
    assert evaluate(ada)["reason"] == "prerequisite_failed"
    beta = {"name": "beta", "included": ["eve"]}
    assert ada.post(SEGMENTS, beta).status_code == 201
    rules = [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]
    assert put(ada, needing, prerequisites=[], rules=rules).status_code == 200
    assert evaluate(ada, user_id="eve")["enabled"] is True
    assert_problem(ada.request("DELETE", f"{SEGMENTS}/beta"), 409, "still_needed")
    assert ada.request("PUT", f"{SEGMENTS}/beta", json={"included": ["bob"]}).status_code == 200
    assert evaluate(ada, user_id="eve")["enabled"] is False
    answer = ada.request("PUT", f"{SEGMENTS}/beta", json={"when": {"segment": "beta"}})
    assert_problem(answer, 422, "segment_cycle")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"rules": [{"serve": {"split": [{"variant": "on", "weight": 99}]}}]}, "invalid_shares"),
        ({"rules": [{"serve": {"variant": "none"}}]}, "unknown_variant"),
        ({"rules": [{"when": {"segment": "none"}, "serve": {"variant": "on"}}]}, "unknown_segment"),
        ({"prerequisites": [{"flag": "none", "variant": "on"}]}, "unknown_prerequisite"),
        (
            {
                "rules": [
                    {
                        "when": {"attribute": "a", "op": "matches", "value": "(?=x)"},
                        "serve": {"variant": "on"},
                    }
                ]
            },
            "invalid_regex",
        ),
        ({"type": "number", "variants": {"a": "x"}}, "wrong_type"),
        ({"rollout_percentage": 101}, "validation_error"),
        ({"rollout_percentage": 5, "rules": []}, "validation_error"),
    ],
)
def test_bad_flags_change_nothing(ada: Person, members, code):
    body = {"name": "bad", "environment": PRODUCTION, "is_enabled": True, **members}
    before = revision(ada)
    assert_problem(ada.post(FLAGS, body), 422, code)
    assert revision(ada) == before
    assert ada.get(FLAGS).json()["total"] == 0


def test_batch_and_explain(ada: Person):
    make(ada, "a")
    make(ada, "b/c", target_users=["eve"], rollout_percentage=0)
    body = {"environment": PRODUCTION, "user_id": "eve"}
    found = ada.post(f"{FLAGS}/evaluate/batch", body).json()
    assert {name: one["enabled"] for name, one in found["evaluations"].items()} == {
        "a": True,
        "b/c": True,
    }
    assert found["revision"] == 2
    some = ada.post(f"{FLAGS}/evaluate/batch", body | {"flags": ["a", "none"]}).json()
    assert [*some["evaluations"]] == ["a"]
    steps = ada.post(f"{FLAGS}/b/c/explain", body | {"flag_name": "b/c"}).json()
    assert steps["result"]["rule_id"] == "target_users"
    assert [rule["matched"] for rule in steps["rules"]] == [True, True]


def test_an_environment_with_flags_is_not_deleted(ada: Person):
    ada.post("/environments", {"name": "qa"})
    flag = make(ada, environment="qa")
    assert_problem(ada.request("DELETE", "/environments/qa"), 409, "environment_in_use")
    ada.request("DELETE", f"{FLAGS}/{flag['id']}")
    assert ada.request("DELETE", "/environments/qa").status_code == 204
