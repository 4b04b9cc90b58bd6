"""PATCH and merge: changes on top of what is stored."""

import json
from typing import Any

import pytest

from tests.client import Person, assert_problem, program

MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"
DOCUMENT = {"database": {"host": "db", "timeout": 30}, "tags": ["a", "b"], "old": 1}


def head(person: Person) -> str:
    return person.get("/config/list").headers["x-configsync-revision"]


def send(
    person: Person,
    content: bytes,
    content_type: str | None,
    *,
    name: str = "billing",
    headers: dict[str, str] | None = None,
    **params: Any,
) -> Any:
    kind = {"Content-Type": content_type} if content_type else {}
    return person.request(
        "PATCH",
        f"/config/{name}",
        content=content,
        headers={**kind, **(headers or {})},
        params=params,
    )


def merge_patch(person: Person, body: Any, **more: Any) -> Any:
    return send(person, json.dumps(body).encode(), MERGE, **more)


def json_patch(person: Person, body: Any, **more: Any) -> Any:
    return send(person, json.dumps(body).encode(), PATCH, **more)


def stored(person: Person, **params: Any) -> Any:
    return person.get("/config/get", service="billing", **params).json()


def merge(person: Person, base: int, config: Any, **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"base_version": base, "config": config, **more}
    return person.post("/config/billing/merge", body, headers=headers)


@pytest.mark.parametrize("kind", [MERGE, "application/json", f"{MERGE}; charset=utf-8"])
def test_a_merge_patch_changes_what_it_names(ada: Person, kind: str):
    ada.update("billing", DOCUMENT)
    body = {"database": {"timeout": 60, "tls": True}, "old": None, "tags": ["c"], "none": None}
    answer = send(ada, json.dumps(body).encode(), kind)
    assert answer.status_code == 200
    config = {"database": {"host": "db", "timeout": 60, "tls": True}, "tags": ["c"]}
    assert (answer.json()["config"], answer.json()["version"]) == (config, 2)
    assert list(answer.json()["config"]) == ["database", "tags"]
    assert stored(ada) == answer.json()
    got = ada.get("/config/get", service="billing")
    assert answer.headers["etag"] == got.headers["etag"]


def test_a_json_patch_applies_all_its_operations(ada: Person):
    ada.update("billing", DOCUMENT)
    operations = [
        {"op": "test", "path": "/database/timeout", "value": 30},
        {"op": "replace", "path": "/database/timeout", "value": 60},
        {"op": "add", "path": "/tags/-", "value": "c"},
        {"op": "remove", "path": "/old"},
        {"op": "move", "from": "/database/host", "path": "/host"},
        {"op": "copy", "from": "/tags", "path": "/labels"},
    ]
    answer = json_patch(ada, operations)
    assert answer.status_code == 200
    assert answer.json()["config"] == {
        "database": {"timeout": 60},
        "tags": ["a", "b", "c"],
        "host": "db",
        "labels": ["a", "b", "c"],
    }
    assert answer.json()["version"] == 2


@pytest.mark.parametrize("kind", ["text/plain", "application/yaml", None, "application/xml"])
def test_another_content_type_is_refused(ada: Person, kind: str | None):
    ada.update("billing", DOCUMENT)
    answer = send(ada, b'{"a": 1}', kind)
    problem = assert_problem(answer, 415, "unsupported_media_type")
    assert MERGE in problem["detail"]
    assert PATCH in problem["detail"]
    assert stored(ada)["version"] == 1


@pytest.mark.parametrize("where", [{}, {"environment": "production"}])
def test_what_is_not_there_cannot_be_patched(ada: Person, where: dict):
    before = head(ada)
    assert_problem(merge_patch(ada, {"a": 1}, **where), 404, "config_not_found")
    assert_problem(json_patch(ada, [], **where), 404, "config_not_found")
    assert head(ada) == before
    ada.update("billing", DOCUMENT, **where)
    ada.request("DELETE", "/config/delete", params={"service": "billing", **where})
    assert_problem(merge_patch(ada, {"a": 1}, **where), 404, "config_not_found")


def test_a_patch_works_on_one_level_and_not_on_what_it_inherits(ada: Person):
    ada.update("_global", {"a": 1, "b": 1})
    ada.update("billing", {"c": 1}, environment="production")
    ada.update("billing", {"c": 2})
    answer = merge_patch(ada, {"a": 2}, environment="production")
    assert answer.json()["config"] == {"c": 1, "a": 2}
    inherited = [{"op": "replace", "path": "/b", "value": 2}]
    assert_problem(json_patch(ada, inherited, environment="production"), 409, "patch_failed")
    assert stored(ada)["config"] == {"c": 2}
    changed = merge_patch(ada, {"b": 7}, name="_global").json()
    assert (changed["service"], changed["config"]) == ("_global", {"a": 1, "b": 7})


def test_an_unset_marker_can_be_patched_in(ada: Person):
    ada.update("_global", {"a": 1, "b": 1})
    ada.update("billing", {"c": 1})
    merge_patch(ada, {"a": {"$unset": True}})
    assert ada.get("/config/billing").json()["config"] == {"b": 1, "c": 1}


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "test", "path": "/old", "value": 2}], "patch_test_failed"),
        ([{"op": "test", "path": "/tags", "value": ["b", "a"]}], "patch_test_failed"),
        ([{"op": "test", "path": "/old", "value": True}], "patch_test_failed"),
        ([{"op": "remove", "path": "/none"}], "patch_failed"),
        ([{"op": "replace", "path": "/none", "value": 1}], "patch_failed"),
        ([{"op": "add", "path": "/none/deeper", "value": 1}], "patch_failed"),
        ([{"op": "add", "path": "/tags/9", "value": 1}], "patch_failed"),
        ([{"op": "remove", "path": "/tags/01"}], "patch_failed"),
        ([{"op": "copy", "from": "/none", "path": "/x"}], "patch_failed"),
        ([{"op": "test", "path": "/none", "value": None}], "patch_failed"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(ada: Person, operations: list, code: str):
    ada.update("billing", DOCUMENT)
    before = head(ada)
    first = {"op": "add", "path": "/first", "value": 1}
    problem = assert_problem(json_patch(ada, [first, *operations]), 409, code)
    assert "Operation 1" in problem["detail"]
    assert stored(ada)["config"] == DOCUMENT
    assert head(ada) == before


@pytest.mark.parametrize(
    "body",
    [
        {"op": "add", "path": "/a", "value": 1},
        "text",
        None,
        [1],
        [{"op": "add", "path": "/a"}],
        [{"op": "set", "path": "/a", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a~2", "value": 1}],
        [{"op": "copy", "path": "/a"}],
        [{"op": "remove", "path": ""}],
        [{"op": "move", "from": "/database", "path": "/database/x"}],
        [{"op": "replace", "path": "", "value": [1]}],
        [{"op": "replace", "path": "", "value": None}],
        [{"op": "copy", "from": "/old", "path": ""}],
        [{"op": "test", "path": "/old", "value": 1}] * 10_001,
    ],
)
def test_a_wrong_json_patch_is_refused(ada: Person, body: Any):
    ada.update("billing", DOCUMENT)
    before = head(ada)
    assert_problem(json_patch(ada, body), 422, "invalid_patch")
    assert (stored(ada)["config"], head(ada)) == (DOCUMENT, before)


@pytest.mark.parametrize("body", [[], [{"op": "remove", "path": "/old"}], 1, "text", None])
@pytest.mark.parametrize("kind", [MERGE, "application/json"])
def test_a_merge_patch_is_an_object(ada: Person, body: Any, kind: str):
    ada.update("billing", DOCUMENT)
    answer = send(ada, json.dumps(body).encode(), kind)
    assert_problem(answer, 422, "invalid_patch")
    assert stored(ada)["config"] == DOCUMENT


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\\u0000"}',
        b'{"a":"\xff"}',
    ],
)
@pytest.mark.parametrize("kind", [MERGE, PATCH, "application/json"])
def test_json_is_read_strictly(ada: Person, content: bytes, kind: str):
    ada.update("billing", DOCUMENT)
    assert_problem(send(ada, content, kind), 422, "invalid_json")
    nested = b'{"a":' * 65 + b"1" + b"}" * 65
    assert_problem(send(ada, nested, kind), 422, "invalid_json")
    assert stored(ada)["config"] == DOCUMENT


def test_a_duplicate_member_in_an_operation_is_refused(ada: Person):
    ada.update("billing", DOCUMENT)
    twice = b'[{"op":"remove","path":"/old","path":"/tags"}]'
    assert_problem(send(ada, twice, PATCH), 422, "invalid_json")


def test_a_copy_bomb_is_refused_and_the_server_lives(ada: Person):
    ada.update("billing", {"a": ["x" * 100] * 10})
    bomb = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 60
    assert_problem(json_patch(ada, bomb), 422, "invalid_patch")
    assert merge_patch(ada, {"b": 1}).json()["version"] == 2


@pytest.mark.parametrize("variables", [{"MAX_DOCUMENT_BYTES": "2000"}])
def test_a_patch_does_not_outgrow_the_limit_of_documents(ada: Person):
    ada.update("billing", {"a": "x" * 900})
    operations = [{"op": "copy", "from": "/a", "path": f"/{name}"} for name in "bc"]
    assert_problem(json_patch(ada, operations), 422, "document_too_large")
    assert_problem(merge_patch(ada, {"b": "x" * 1500}), 422, "document_too_large")
    assert stored(ada)["version"] == 1


def test_a_patch_does_not_nest_deeper_than_a_document_may(ada: Person):
    deep: Any = 1
    for _ in range(60):
        deep = {"d": deep}
    ada.update("billing", {"deep": deep})
    operations = [{"op": "copy", "from": "/deep", "path": "/deep" + "/d" * 30}]
    assert_problem(json_patch(ada, operations), 422, "invalid_patch")
    assert stored(ada)["version"] == 1


def test_a_patch_that_changes_nothing_makes_no_version(ada: Person):
    made = ada.update("billing", DOCUMENT)
    before = head(ada)
    for answer in (
        merge_patch(ada, {}),
        merge_patch(ada, {"database": {"timeout": 30}, "none": None}),
        json_patch(ada, []),
        json_patch(ada, [{"op": "test", "path": "/old", "value": 1}]),
        json_patch(
            ada,
            [
                {"op": "add", "path": "/x", "value": 1},
                {"op": "remove", "path": "/x"},
            ],
        ),
    ):
        assert answer.json() == made.json()
        assert answer.headers["etag"] == made.headers["etag"]
    assert head(ada) == before


def test_a_patch_keeps_what_it_does_not_touch_as_it_was_written(ada: Person):
    body = b'{"config":{"z":1e2,"a":{"n":-0.0,"m":1.50},"k":1}}'
    kind = {"Content-Type": "application/json"}
    ada.request("POST", "/config/billing", content=body, headers=kind)
    answer = send(ada, b'{"k":2E1}', MERGE)
    assert '"config":{"z":1e2,"a":{"n":-0.0,"m":1.50},"k":2E1}' in answer.text
    patched = send(ada, b'[{"op":"move","from":"/a/m","path":"/m"}]', PATCH)
    assert '"config":{"z":1e2,"a":{"n":-0.0},"k":2E1,"m":1.50}' in patched.text


def test_the_message_of_a_patch_is_in_the_history(ada: Person):
    ada.update("billing", DOCUMENT)
    merge_patch(ada, {"a": 1}, message="because — of this")
    newest = ada.get("/config/billing/history").json()["versions"][0]
    assert (newest["message"], newest["action"]) == ("because — of this", "update")
    too_long = merge_patch(ada, {"a": 2}, message="x" * 10_000)
    assert_problem(too_long, 422, "validation_error")


def test_a_patch_can_expect_a_version(ada: Person):
    ada.update("billing", DOCUMENT)
    assert merge_patch(ada, {"a": 1}, expected_version=1).status_code == 200
    stale = merge_patch(ada, {"a": 2}, expected_version=1)
    assert assert_problem(stale, 412, "precondition_failed")["current"]["version"] == 2
    assert_problem(merge_patch(ada, {"a": 2}, expected_version=0), 412, "precondition_failed")
    assert_problem(merge_patch(ada, {"a": 2}, expected_version=-1), 422, "validation_error")
    assert stored(ada)["config"]["a"] == 1


def test_a_patch_can_match_a_tag(ada: Person):
    old = ada.update("billing", DOCUMENT).headers["etag"]
    fresh = merge_patch(ada, {"a": 1}, headers={"If-Match": old})
    assert fresh.status_code == 200
    stale = json_patch(ada, [], headers={"If-Match": old})
    assert (
        assert_problem(stale, 412, "precondition_failed")["current"]["etag"]
        == (fresh.headers["etag"])
    )
    effective = ada.get("/config/billing").headers["etag"]
    answer = merge_patch(ada, {"a": 2}, headers={"If-Match": effective})
    assert_problem(answer, 412, "etag_of_effective")
    absent = merge_patch(ada, {"a": 2}, headers={"If-None-Match": "*"})
    assert_problem(absent, 412, "precondition_failed")


def test_patching_and_merging_need_the_right_to_read(ada: Person):
    ada.update("billing", DOCUMENT)
    blind = program(ada, actions=["write"])
    for answer in (
        merge_patch(blind, {"a": 1}),
        json_patch(blind, [{"op": "test", "path": "/old", "value": 1}]),
        merge(blind, 1, {}),
    ):
        assert_problem(answer, 403, "not_allowed")
    seeing = program(ada, actions=["read"])
    assert_problem(merge_patch(seeing, {"a": 1}), 403, "not_allowed")
    assert_problem(merge(seeing, 1, {}), 403, "not_allowed")
    both = program(ada, actions=["read", "write"], services=["shop"])
    assert_problem(merge_patch(both, {"a": 1}), 403, "outside_scope")
    assert_problem(merge(both, 1, {}), 403, "outside_scope")
    assert stored(ada)["version"] == 1


def test_another_workspace_is_not_patched(ada: Person, bob: Person):
    ada.update("billing", DOCUMENT)
    assert_problem(merge_patch(bob, {"a": 1}, workspace="ada"), 404, "workspace_not_found")
    assert_problem(merge_patch(bob, {"a": 1}, target_user_id=ada.id), 403, "foreign_user")
    assert_problem(merge_patch(bob, {"a": 1}), 404, "config_not_found")


def test_a_patch_changes_only_the_keys_it_touches(ada: Person):
    ada.update("billing", {"a": 1, "b": 1, "c": {"d": 1}})
    merge_patch(ada, {"b": 2, "c": {"e": 1}})
    keys = ada.get("/api/v1/configs", app_id="billing").json()["configs"]
    assert {key["key"]: key["version"] for key in keys} == {"a": 1, "b": 2, "c": 2}


def test_a_merge_brings_both_sides_together(ada: Person):
    ada.update("billing", DOCUMENT)
    theirs = {"database": {"host": "db2", "timeout": 30}, "tags": ["a", "b"], "theirs": 1}
    ada.update("billing", theirs)
    ours = {"database": {"host": "db", "timeout": 60}, "tags": ["a", "b"], "old": 1, "ours": 1}
    answer = merge(ada, 1, ours, message="both")
    assert answer.status_code == 200
    assert answer.json()["config"] == {
        "database": {"host": "db2", "timeout": 60},
        "tags": ["a", "b"],
        "theirs": 1,
        "ours": 1,
    }
    assert answer.json()["version"] == 3
    assert stored(ada) == answer.json()
    newest = ada.get("/config/billing/history").json()["versions"][0]
    assert (newest["message"], newest["action"]) == ("both", "update")
    assert answer.headers["etag"] == ada.get("/config/get", service="billing").headers["etag"]


def test_a_merge_onto_its_base_is_a_replacement(ada: Person):
    ada.update("billing", DOCUMENT)
    assert merge(ada, 1, {"new": 1}).json()["config"] == {"new": 1}


def test_a_merge_without_changes_makes_no_version(ada: Person):
    ada.update("billing", DOCUMENT)
    made = ada.update("billing", {**DOCUMENT, "more": 1})
    before = head(ada)
    assert merge(ada, 1, DOCUMENT).json() == made.json()
    assert merge(ada, 1, {**DOCUMENT, "more": 1}).json() == made.json()
    assert head(ada) == before


def test_conflicts_are_named_by_path_and_nothing_is_written(ada: Person):
    ada.update("billing", {"a": 1, "b": {"c": 1, "d/~": 1}, "e": 1, "f": [1], "same": 1})
    ada.update("billing", {"a": 2, "b": {"c": 2}, "f": [2], "new": 2, "same": 2})
    before = head(ada)
    ours = {"a": 3, "b": {"d/~": 3}, "e": 3, "f": [3], "new": {"x": 3}, "same": 2, "fine": 1}
    problem = assert_problem(merge(ada, 1, ours), 409, "merge_conflict")
    conflicts = {one["path"]: one for one in problem["conflicts"]}
    assert conflicts == {
        "/a": {"path": "/a", "base": 1, "ours": 3, "theirs": 2},
        "/b/c": {"path": "/b/c", "base": 1, "theirs": 2},
        "/b/d~1~0": {"path": "/b/d~1~0", "base": 1, "ours": 3},
        "/e": {"path": "/e", "base": 1, "ours": 3},
        "/f": {"path": "/f", "base": [1], "ours": [3], "theirs": [2]},
        "/new": {"path": "/new", "ours": {"x": 3}, "theirs": 2},
    }
    assert head(ada) == before
    assert stored(ada)["version"] == 2


def test_null_in_a_conflict_is_a_value_and_not_an_absent_side(ada: Person):
    ada.update("billing", {"a": None})
    ada.update("billing", {"a": 1})
    (conflict,) = merge(ada, 1, {}).json()["conflicts"]
    assert conflict == {"path": "/a", "base": None, "theirs": 1}


@pytest.mark.parametrize("base", [2, 99, 2**53 - 1])
def test_an_unknown_base_is_not_found(ada: Person, base: int):
    ada.update("billing", {"a": 1})
    ada.update("other", {"a": 1})
    ada.update("other", {"a": 2})
    ada.update("billing", {"a": 1}, environment="staging")
    ada.update("billing", {"a": 2}, environment="staging")
    assert_problem(merge(ada, base, {"a": 3}), 404, "version_not_found")
    assert stored(ada)["version"] == 1


@pytest.mark.parametrize("base", [0, -1, "1", 1.0, None, True])
def test_a_base_is_a_number_from_one_on(ada: Person, base: Any):
    ada.update("billing", {"a": 1})
    assert_problem(merge(ada, base, {"a": 3}), 422, "validation_error")


def test_a_deletion_is_no_base(ada: Person):
    ada.update("billing", {"a": 1})
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    gone = merge(ada, 1, {"a": 2})
    assert_problem(gone, 404, "config_not_found")
    ada.update("billing", {"a": 1, "b": 1})
    assert_problem(merge(ada, 2, {"a": 2}), 409, "version_empty")
    assert merge(ada, 1, {"a": 2}).json()["config"] == {"a": 2, "b": 1}


def test_an_unknown_config_cannot_be_merged_into(ada: Person, bob: Person):
    bob.update("billing", {"a": 1})
    assert_problem(merge(ada, 1, {"a": 2}), 404, "config_not_found")
    assert_problem(merge(ada, 1, {}, environment="production"), 404, "config_not_found")


def test_levels_merge_apart(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("billing", {"a": 1, "b": 1}, environment="production")
    ada.update("billing", {"a": 1, "b": 2}, environment="production")
    answer = merge(ada, 1, {"a": 2, "b": 1}, environment="production")
    assert answer.json()["config"] == {"a": 2, "b": 2}
    assert answer.json()["environment"] == "production"
    assert stored(ada)["config"] == {"a": 1}


def test_a_merge_can_match_a_tag(ada: Person):
    old = ada.update("billing", {"a": 1}).headers["etag"]
    new = ada.update("billing", {"a": 1, "b": 1}).headers["etag"]
    stale = merge(ada, 1, {"a": 2}, headers={"If-Match": old})
    assert_problem(stale, 412, "precondition_failed")
    assert merge(ada, 1, {"a": 2}, headers={"If-Match": new}).status_code == 200


def test_a_merge_sent_twice_is_done_once(ada: Person):
    ada.update("billing", {"a": 1})
    key = {"Idempotency-Key": "merge-1"}
    first = merge(ada, 1, {"a": 2}, headers=key)
    again = merge(ada, 1, {"a": 2}, headers=key)
    assert again.text == first.text
    assert again.headers["idempotency-replayed"] == "true"
    assert stored(ada)["version"] == 2
