"""What strangers send: a status, a code and nothing changed; evaluated: always an answer."""

import json
from typing import Any

import pytest

from tests.client import Person, assert_problem, program
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, put, revision

ON = {"variant": "on"}
HALVES = [{"variant": "off", "weight": 50}, {"variant": "on", "weight": 50}]


def rule(**more: Any) -> dict[str, Any]:
    return {"serve": ON, **more}


def when(**condition: Any) -> dict[str, Any]:
    return {"rules": [rule(when=condition)]}


def split(*weights: Any, **more: Any) -> dict[str, Any]:
    entries = [
        {"variant": name, "weight": weight}
        for name, weight in zip(("on", "off"), weights, strict=False)
    ]
    return {"rules": [{"serve": {"split": entries}, **more}]}


def nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"attribute": "a", "op": "exists"}
    for _ in range(depth):
        condition = {"not": condition}
    return condition


TEXT = {"attribute": "a", "op": "matches"}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "99": (split(99), "invalid_shares"),
    "101": (split(60, 41), "invalid_shares"),
    "a negative share": (split(-1, 101), "invalid_shares"),
    "a share as a text": (split("50", 50), "invalid_shares"),
    "a share that is true": (split(True, 99), "invalid_shares"),
    "finer than 0.001": (split(33.3335, 66.6665), "invalid_shares"),
    "a percentage finer than 0.001": ({"rollout_percentage": 33.3335}, "invalid_shares"),
    "no shares": ({"rules": [{"serve": {"split": []}}]}, "invalid_shares"),
    "a percentage above 100": ({"rollout_percentage": 100.001}, "validation_error"),
    "a percentage below 0": ({"rollout_percentage": -0.001}, "validation_error"),
    "a percentage as a text": ({"rollout_percentage": "ten"}, "validation_error"),
    "unknown variant": ({"rules": [{"serve": {"variant": "none"}}]}, "unknown_variant"),
    "unknown off variant": ({"off_variant": "none"}, "unknown_variant"),
    "unknown default": ({"default_variant": "none"}, "unknown_variant"),
    "unknown segment": (when(segment="none"), "unknown_segment"),
    "unknown prerequisite": (
        {"prerequisites": [{"flag": "none", **ON}]},
        "unknown_prerequisite",
    ),
    "itself": ({"prerequisites": [{"flag": "bad", **ON}]}, "prerequisite_cycle"),
    "unknown operator": (when(attribute="a", op="like", value="x"), "unknown_operator"),
    "wrong operand": (when(attribute="a", op="lt", value="x"), "wrong_operand"),
    "look-ahead": (when(**TEXT, value="(?=a)"), "invalid_regex"),
    "back reference": (when(**TEXT, value=r"(a)\1"), "invalid_regex"),
    "a long regex": (when(**TEXT, value="a" * 10_000), "invalid_regex"),
    "a large regex": (when(**TEXT, value="((a{100}){100}){100}"), "invalid_regex"),
    "a bad network": (when(attribute="a", op="cidr", value="10.0.0.0/99"), "wrong_operand"),
    "a bad version": (when(attribute="a", op="semver_lt", value="x"), "wrong_operand"),
    "a bad time": (when(attribute="a", op="before", value="soon"), "wrong_operand"),
    "too deep": (when(**nested(17)), "too_deep"),
    "deeper than Python": (when(**nested(60)), "too_deep"),
    "condition and more": (when(all=[], any=[]), "invalid_condition"),
    "no condition": (when(), "invalid_condition"),
    "a rule that is a text": ({"rules": ["x"]}, "validation_error"),
    "a rule without serve": ({"rules": [{}]}, "invalid_rule"),
    "a rule with more": ({"rules": [rule(priority=1)]}, "invalid_rule"),
    "an id that is a number": ({"rules": [rule(id=5)]}, "invalid_rule"),
    "the same id twice": ({"rules": [rule(id="a"), rule(id="a")]}, "invalid_rule"),
    "rules and a percentage": ({"rules": [], "rollout_percentage": 5}, "validation_error"),
    "rules that are null": ({"rules": None}, "validation_error"),
    "no variants": ({"variants": {}}, "invalid_flag"),
    "variants of another type": ({"variants": {"on": 1}}, "wrong_type"),
    "a number that is a text": ({"type": "number", "variants": {"a": "5"}}, "wrong_type"),
    "a number that is true": ({"type": "number", "variants": {"a": True}}, "wrong_type"),
    "an object that is null": ({"type": "object", "variants": {"a": None}}, "wrong_type"),
    "a nameless variant": ({"variants": {"": True}}, "invalid_flag"),
    "a type that is none": ({"type": "json"}, "validation_error"),
    "no variants of a text": ({"type": "string"}, "invalid_flag"),
    "another hash": ({"hash_version": 2}, "validation_error"),
    "bucketing by nothing": ({"bucket_by": ""}, "invalid_flag"),
    "a salt of one's own": ({"salt": "x"}, "validation_error"),
    "the same tag twice": ({"tags": ["a", "a"]}, "validation_error"),
    "an empty tag": ({"tags": [""]}, "validation_error"),
    "a long owner": ({"owner": "x" * 256}, "validation_error"),
    "an expiry without an offset": ({"expires_at": "2030-01-01T00:00:00"}, "validation_error"),
    "an expiry too far away": ({"expires_at": "0001-01-01T00:00:00+10:00"}, "validation_error"),
    "a user that is a number": ({"target_users": [5]}, "validation_error"),
    "an empty user": ({"target_users": [""]}, "validation_error"),
    "half a character": ({"description": "\ud800"}, "invalid_json"),
    "a name that is too long": ({"name": "x" * 256}, "validation_error"),
    "a name of other letters": ({"name": "größe"}, "validation_error"),
    "a name of dots": ({"name": ".."}, "validation_error"),
    "a reserved name": ({"name": "snapshot"}, "validation_error"),
    "no such environment": ({"environment": "nowhere"}, "unknown_environment"),
}


def test_bad_flags_are_refused_and_change_nothing(ada: Person):
    make(ada, "good", type="string", variants={"a": "x"})
    before = revision(ada)
    for case, (members, code) in BAD.items():
        body = {"name": "bad", "environment": PRODUCTION, "is_enabled": True, **members}
        text = json.dumps(body)
        answer = ada.request(
            "POST", FLAGS, content=text, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, code), (case, answer.text)
    assert revision(ada) == before
    assert [one["name"] for one in ada.get(FLAGS).json()["feature_flags"]] == ["good"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1" * 400])
def test_numbers_that_are_none(ada: Person, number: str):
    for members in (
        f'"type": "number", "variants": {{"a": {number}}}',
        f'"rollout_percentage": {number}',
        f'"rules": [{{"serve": {{"split": [{{"variant": "on", "weight": {number}}}]}}}}]',
    ):
        text = f'{{"name": "n", "environment": "production", "is_enabled": true, {members}}}'
        headers = {"Content-Type": "application/json"}
        answer = ada.request("POST", FLAGS, content=text, headers=headers)
        assert_problem(answer, 422, "invalid_json")
    assert revision(ada) == 0


def test_updates_that_are_refused(ada: Person):
    flag = make(ada, target_users=["eve"], rollout_percentage=25)
    for case, (members, code) in BAD.items():
        if {"name", "environment", "type"} & members.keys():
            continue
        body = json.dumps(members)
        answer = ada.request(
            "PUT",
            f"{FLAGS}/{flag['id']}",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        wanted = "unknown_prerequisite" if case == "itself" else code
        assert (answer.status_code, answer.json()["code"]) == (422, wanted), (case, answer.text)
    for name in ("name", "environment", "type", "salt"):
        assert_problem(put(ada, flag, **{name: "x"}), 422, "validation_error")
    assert ada.get(f"{FLAGS}/checkout", environment=PRODUCTION).json() == flag


def test_what_null_means_in_an_update(ada: Person):
    flag = make(
        ada,
        target_users=["eve"],
        rollout_percentage=25,
        owner="ada",
        bucket_by="company",
        default_variant="off",
    )
    for name in ("description", "is_enabled", "rules", "prerequisites", "tags"):
        assert_problem(put(ada, flag, **{name: None}), 422, "validation_error")
    accepted = {"accept_rebucketing": True}
    assert put(ada, flag, bucket_by=None, **accepted).json()["bucket_by"] == "targetingKey"
    for name in ("owner", "default_variant", "rollout_percentage"):
        assert put(ada, flag, **{name: None}).json()[name] is None
    assert put(ada, flag, target_users=None).json()["target_users"] == []


def test_bad_segments(ada: Person):
    before = revision(ada)
    for members, code in (
        ({"when": {"segment": "none"}}, "unknown_segment"),
        ({"when": {"segment": "bad"}}, "segment_cycle"),
        ({"when": nested(20)}, "too_deep"),
        ({"when": {**TEXT, "value": "(?=a)"}}, "invalid_regex"),
        ({"when": []}, "validation_error"),
        ({"included": "eve"}, "validation_error"),
        ({"included": [5]}, "validation_error"),
        ({"included": {"salt": "x", "hashed": []}}, "validation_error"),
        ({"name": "a b"}, "validation_error"),
    ):
        assert_problem(ada.post(SEGMENTS, {"name": "bad", **members}), 422, code)
    assert revision(ada) == before


def test_circles_through_segments_in_the_middle(ada: Person):
    ada.post(SEGMENTS, {"name": "a"})
    ada.post(SEGMENTS, {"name": "b", "when": {"all": [{"segment": "a"}]}})
    ada.post(SEGMENTS, {"name": "c", "when": {"not": {"segment": "b"}}})
    before = revision(ada)
    answer = ada.request("PUT", f"{SEGMENTS}/a", json={"when": {"any": [{"segment": "c"}]}})
    assert_problem(answer, 422, "segment_cycle")
    assert revision(ada) == before


def test_a_circle_is_the_fault_of_who_closes_it(ada: Person):
    flags = {name: make(ada, name) for name in ("a", "b", "z")}
    for one, other in (("a", "b"), ("b", "z")):
        needs = [{"flag": other, **ON}]
        assert put(ada, flags[one], prerequisites=needs).status_code == 200
    problem = put(ada, flags["z"], prerequisites=[{"flag": "a", **ON}])
    assert_problem(problem, 422, "prerequisite_cycle")


def test_a_type_is_one_in_all_environments_and_stays(ada: Person):
    flag = make(ada, environment="staging", type="number", variants={"a": 1})
    body = {"name": "checkout", "environment": PRODUCTION, "is_enabled": True}
    assert_problem(ada.post(FLAGS, body), 422, "flag_type_differs")
    ada.request("DELETE", f"{FLAGS}/{flag['id']}")
    assert_problem(ada.post(FLAGS, body), 422, "flag_type_differs")
    assert_problem(put(ada, flag, variants={"a": "x"}), 404, "flag_not_found")


def test_preconditions(ada: Person):
    flag = make(ada)
    path = f"{FLAGS}/{flag['id']}"
    put(ada, flag, is_enabled=False)
    before = revision(ada)
    for headers in ({"If-Match": f'"d{flag["id"]}-1"'}, {"If-None-Match": "*"}):
        body = {"is_enabled": True}
        answer = ada.request("PUT", path, json=body, headers=headers)
        problem = assert_problem(answer, 412, "precondition_failed")
        assert problem["current"]["version"] == 2
        answer = ada.request("DELETE", path, headers=headers)
        assert_problem(answer, 412, "precondition_failed")
    assert_problem(put(ada, flag, is_enabled=True, expected_version=0), 412, "precondition_failed")
    assert revision(ada) == before
    segment = ada.post(SEGMENTS, {"name": "beta"}).json()
    answer = ada.request("PUT", f"{SEGMENTS}/beta", json={"expected_version": 7})
    assert_problem(answer, 412, "precondition_failed")
    assert ada.get(f"{SEGMENTS}/beta").json() == segment


def test_what_is_needed_is_not_deleted(ada: Person):
    base = make(ada, "base")
    ada.post(SEGMENTS, {"name": "inner"})
    ada.post(SEGMENTS, {"name": "outer", "when": {"segment": "inner"}})
    make(ada, prerequisites=[{"flag": "base", **ON}], **when(segment="outer"))
    before = revision(ada)
    problem = assert_problem(ada.request("DELETE", f"{FLAGS}/{base['id']}"), 409, "still_needed")
    assert problem["needed_by"] == {
        "kind": "flag",
        "name": "checkout",
        "code": "unknown_prerequisite",
    }
    problem = assert_problem(ada.request("DELETE", f"{SEGMENTS}/inner"), 409, "still_needed")
    assert problem["needed_by"]["name"] == "outer"
    assert_problem(ada.request("DELETE", f"{SEGMENTS}/outer"), 409, "still_needed")
    problem = put(ada, base, variants={"yes": True, "no": False})
    assert_problem(problem, 409, "still_needed")
    assert revision(ada) == before


def test_a_protected_environment(ada: Person, bob: Person):
    ada.post("/api/v1/workspaces", {"slug": "team"})
    path = "/api/v1/workspaces/team/members/bob"
    ada.request("PUT", path, json={"role": "editor"})
    made = ada.post(
        f"{FLAGS}?workspace=team",
        {"name": "checkout", "environment": PRODUCTION, "is_enabled": True},
    ).json()
    ada.request("PATCH", "/environments/production?workspace=team", json={"protected": True})
    body = {"name": "second", "environment": PRODUCTION, "is_enabled": True}
    assert_problem(bob.post(f"{FLAGS}?workspace=team", body), 403, "protected_environment")
    flag = f"{FLAGS}/{made['id']}?workspace=team"
    answer = bob.request("PUT", flag, json={"is_enabled": False})
    assert_problem(answer, 403, "protected_environment")
    assert_problem(bob.request("DELETE", flag), 403, "protected_environment")
    answer = bob.post(f"{FLAGS}/{made['id']}/rollback?workspace=team", {"version": 1})
    assert_problem(answer, 403, "protected_environment")
    ada.request("PUT", path, json={"role": "viewer"})
    answer = bob.request("PUT", flag, json={"is_enabled": False})
    assert_problem(answer, 403, "not_allowed")
    ada.request("DELETE", path)
    answer = bob.get(f"{FLAGS}/checkout", environment=PRODUCTION, workspace="team")
    assert_problem(answer, 404, "workspace_not_found")


def test_a_revoked_key(ada: Person):
    flag = make(ada)
    writer = program(ada, actions=["read", "write"])
    assert put(writer, flag, is_enabled=False).status_code == 200
    assert ada.request("DELETE", f"/api/v1/api-keys/{writer.id}").status_code == 204
    assert_problem(put(writer, flag, is_enabled=True), 401, "invalid_api_key")
    asked = {"flag_name": "checkout", "environment": PRODUCTION}
    assert_problem(writer.post(f"{FLAGS}/evaluate", asked), 401, "invalid_api_key")


def ask(person: Person, text: str) -> Any:
    return person.request(
        "POST",
        f"{FLAGS}/evaluate",
        content=f'{{"flag_name": "checkout", "environment": "production", {text}}}',
        headers={"Content-Type": "application/json"},
    )


def test_contexts_that_are_refused(ada: Person):
    make(ada, rollout_percentage=50)
    deep = "[" * 70 + "]" * 70
    for text, status, code in (
        ('"context": {"a": NaN}', 422, "invalid_json"),
        ('"context": {"a": 1e999}', 422, "invalid_json"),
        (f'"context": {{"a": {deep}}}', 422, "invalid_json"),
        ('"context": {"a": "\\ud800"}', 422, "invalid_json"),
        ('"context": {"a": 1, "a": 2}', 422, "invalid_json"),
        ('"context": {"a": "' + "x" * (1 << 20) + '"}', 413, "body_too_large"),
        ('"context": [1]', 422, "validation_error"),
        ('"user_id": ["eve"]', 422, "validation_error"),
    ):
        assert_problem(ask(ada, text), status, code)


def test_contexts_that_are_odd_have_an_answer(ada: Person):
    regex = when(attribute="text", op="matches", value="(a+)+$")["rules"]
    make(ada, rules=[*regex, *split(50, 50)["rules"]])
    for text, reason in (
        ('"context": {}', "targeting_key_missing"),
        ('"context": {"targetingKey": ["eve"]}', "targeting_key_missing"),
        ('"context": {"targetingKey": {"a": 1}}', "targeting_key_missing"),
        ('"context": {"targetingKey": 1.5}', "targeting_key_missing"),
        ('"context": {"targetingKey": true}', "targeting_key_missing"),
        ('"context": {"targetingKey": null}', "targeting_key_missing"),
        ('"user_id": 5', "rollout_percentage"),
        ('"user_id": ""', "rollout_percentage"),
        ('"user_id": "😀"', "rollout_percentage"),
        ('"user_id": "eve", "unknown": 1', "rollout_percentage"),
        ('"context": {"text": "' + "a" * 9_999 + '"}', "rule_match"),
        ('"context": {"targetingKey": "e", "text": "' + "a" * 100_000 + '"}', "rollout_percentage"),
        (
            '"context": {"targetingKey": "e", "text": ' + "[" * 60 + "]" * 60 + "}",
            "rollout_percentage",
        ),
    ):
        answer = ask(ada, text)
        assert answer.status_code == 200, (text[:60], answer.text)
        assert answer.json()["reason"] == reason, text[:60]
    missing = ask(ada, '"context": {}').json()
    assert (missing["enabled"], missing["variant"]) == (False, "off")


def test_many_target_users(ada: Person):
    users = [f"u{number}" for number in range(60_000)]
    flag = make(ada, target_users=users, rollout_percentage=0)
    assert len(flag["target_users"]) == 60_000
    assert evaluate(ada, user_id="u59999")["reason"] == "user_targeted"
    assert evaluate(ada, user_id="u60000")["enabled"] is False
    body = {"included": [f"{number:x}" for number in range(100_001)]}
    answer = ada.post(SEGMENTS, {"name": "many", **body})
    assert_problem(answer, 422, "validation_error")


def test_many_rules(ada: Person):
    rules = [rule(when={"attribute": "n", "op": "eq", "value": n}) for n in range(1_001)]
    body = {"name": "many", "environment": PRODUCTION, "is_enabled": True}
    assert_problem(ada.post(FLAGS, body | {"rules": rules}), 422, "too_large")
    flag = make(ada, "many", rules=rules[:1_000])
    assert len({one["id"] for one in flag["rules"]}) == 1_000
    assert evaluate(ada, "many", context={"n": 999})["rule_id"] == flag["rules"][999]["id"]


def test_letters_of_all_kinds(ada: Person):
    name = {"attribute": "ø.größe", "op": "equals", "value": "STRASSE 😀", "ignore_case": True}
    flag = make(
        ada,
        type="string",
        variants={"größe": "ß", "\u202e": "x"},
        off_variant="\u202e",
        rules=[{"id": "日本", "when": name, "serve": {"variant": "größe"}}],
    )
    assert flag["variants"] == {"größe": "ß", "\u202e": "x"}
    found = evaluate(ada, context={"ø": {"größe": "straße 😀"}})
    assert (found["value"], found["rule_id"]) == ("ß", "日本")
    found = evaluate(ada, context={"ø": {"GRÖSSE": "straße 😀"}})
    assert found["variant"] == "\u202e"


@pytest.mark.parametrize("serve", ["on", 1, True, [], None, {"split": "on"}, {"split": [1]}])
def test_a_rule_that_serves_nothing(ada: Person, serve: Any):
    flag = make(ada, rules=[{"id": "r", "serve": {"split": HALVES}}])
    before = revision(ada)
    for rule_id in ({"id": "r"}, {}):
        rules = [{**rule_id, "serve": serve}]
        assert put(ada, flag, rules=rules).status_code == 422
        entry = {"flag": "checkout", "environment": PRODUCTION, "op": "update", "rules": rules}
        assert ada.post("/api/v1/changes", {"changes": [entry]}).status_code == 422
    assert revision(ada) == before


def test_what_would_move_people_in_disguise(ada: Person):
    half = make(ada, "half", rollout_percentage=50)
    swapped = [
        {"variant": "on", "weight": 50, "ranges": [[50_000, 100_000]]},
        {"variant": "off", "weight": 50, "ranges": [[50_000, 0]]},
    ]
    own = [{"id": "rollout", "serve": {"split": swapped}}]
    assert_problem(put(ada, half, rules=own), 409, "would_rebucket")
    assert put(ada, half, rollout_percentage=75).status_code == 200
    plain = make(ada, rules=[{"serve": {"split": HALVES}}])
    again = put(ada, plain, rules=[{"serve": {"split": HALVES}}])
    assert (again.json()["version"], again.json()["rules"]) == (1, plain["rules"])
    for other in ([*reversed(HALVES)], [{**HALVES[0], "weight": 20}, {**HALVES[1], "weight": 80}]):
        assert_problem(put(ada, plain, rules=[{"serve": {"split": other}}]), 409, "would_rebucket")
    german = {"attribute": "country", "op": "equals", "value": "DE"}
    more = [{"when": german, "serve": ON}, {"serve": {"split": HALVES}}]
    rules = put(ada, plain, rules=more).json()["rules"]
    assert rules[1]["id"] == plain["rules"][0]["id"] != rules[0]["id"]


@pytest.mark.parametrize("name", ["a/", "/", "12/versions", "7/diff", "0/rollback"])
def test_a_name_that_no_path_can_have(ada: Person, name: str):
    body = {"name": name, "environment": PRODUCTION, "is_enabled": True}
    assert_problem(ada.post(FLAGS, body), 422, "validation_error")


@pytest.mark.parametrize(
    "members",
    [
        {"rollout_percentage": True},
        {"rollout_percentage": "25"},
        {"is_enabled": "off"},
        {"is_enabled": 1},
        {"accept_rebucketing": "on"},
        {"hash_version": True},
    ],
)
def test_nothing_is_taken_for_something_else(ada: Person, members: dict[str, Any]):
    flag = make(ada)
    assert_problem(put(ada, flag, **members), 422, "validation_error")


def test_comparisons_of_what_is_needed_count(ada: Person):
    many = [{"attribute": "a", "op": "equals", "value": "x"}] * 1_900
    for number in range(5):
        make(ada, f"part{number}", rules=[rule(when={"any": many})])
    needs = [{"flag": f"part{number}", "variant": "on"} for number in range(5)]
    make(ada, "fits", prerequisites=needs)
    body = {"name": "much", "environment": PRODUCTION, "is_enabled": True}
    problem = ada.post(FLAGS, {**body, "prerequisites": needs, "rules": [rule(when={"any": many})]})
    assert_problem(problem, 422, "too_large")
