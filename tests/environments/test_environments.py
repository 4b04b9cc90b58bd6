"""Environments: listed, made, renamed, protected, deleted, revived."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.client import Person, assert_problem, create_key, program

FIRST = ["development", "staging", "production"]
TEAM = {"workspace": "team"}


def names(person: Person, **params: Any) -> list[str]:
    answer = person.get("/environments", **params)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["environments"]]


def get(person: Person, name: str, **params: Any) -> dict[str, Any]:
    listed = person.get("/environments", **params).json()["environments"]
    return next(one for one in listed if one["name"] == name)


def change(person: Person, name: str, body: dict[str, Any], **params: Any) -> Any:
    return person.request("PATCH", f"/environments/{name}", json=body, params=params)


def delete(person: Person, name: str, **params: Any) -> Any:
    return person.request("DELETE", f"/environments/{name}", params=params)


def delete_config(person: Person, service: str, environment: str) -> None:
    where = {"service": service, "environment": environment}
    assert person.request("DELETE", "/config/delete", params=where).status_code == 200


def head(person: Person, **params: Any) -> int:
    revision = person.get("/config/list", **params).headers["x-configsync-revision"]
    return int(revision.rpartition("-")[2])


def events(person: Person, **params: Any) -> list[dict[str, Any]]:
    logs = person.get("/api/v1/audit", entity_type="environment", **params).json()["logs"]
    return [log for log in reversed(logs) if log["action"] != "refused"]


@pytest.fixture
def team(ada: Person, bob: Person) -> Person:
    """Return an editor of ada's workspace `team`, where she is the owner."""
    assert ada.post("/api/v1/workspaces", {"slug": "team"}).status_code == 201
    member = ada.request("PUT", "/api/v1/workspaces/team/members/bob", json={"role": "editor"})
    assert member.status_code == 200
    return bob


def test_a_workspace_begins_with_three(ada: Person):
    listed = ada.get("/environments").json()
    assert [one["name"] for one in listed["environments"]] == FIRST
    assert listed["next_cursor"] is None
    for one in listed["environments"]:
        assert one.keys() == {"name", "description", "protected", "created_at"}
        assert (one["description"], one["protected"]) == ("", False)


def test_pages_give_every_environment_once(ada: Person):
    for number in range(4):
        ada.post("/environments", {"name": f"e{number}"})
    found, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = ada.get("/environments", limit=2, **more).json()
        found += [one["name"] for one in page["environments"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == [*FIRST, "e0", "e1", "e2", "e3"]


def test_a_new_environment_is_there_for_documents(ada: Person):
    refused = ada.update("billing", {"a": 1}, environment="qa")
    assert_problem(refused, 422, "unknown_environment")
    made = ada.post("/environments", {"name": "qa", "description": "tests", "protected": True})
    assert made.status_code == 201
    assert (made.json()["name"], made.json()["description"]) == ("qa", "tests")
    assert made.json()["protected"] is True
    assert get(ada, "qa") == made.json()
    assert ada.update("billing", {"a": 1}, environment="qa").status_code == 200
    assert names(ada) == [*FIRST, "qa"]


@pytest.mark.parametrize("name", ["production", "qa"])
def test_an_environment_exists_once(ada: Person, name: str):
    ada.post("/environments", {"name": "qa"})
    before = head(ada)
    again = ada.post("/environments", {"name": name, "description": "again"})
    assert_problem(again, 409, "environment_exists")
    assert (head(ada), get(ada, name)["description"]) == (before, "")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "_global"},
        {"name": "_qa"},
        {"name": "..."},
        {"name": "a b"},
        {"name": "a/b"},
        {"name": "a" * 101},
        {"name": "ä"},
        {"name": None},
        {"name": 1},
        {"name": "qa", "description": None},
        {"name": "qa", "description": "x" * 2001},
        {"name": "qa", "protected": "maybe"},
        {"name": "qa", "more": 1},
    ],
)
def test_wrong_environments_are_refused(ada: Person, body: dict):
    assert_problem(ada.post("/environments", body), 422, "validation_error")
    assert names(ada) == FIRST


@pytest.mark.parametrize("name", ["a" * 100, "A.z_0:-", "list", "1"])
def test_names_at_their_limits(ada: Person, name: str):
    assert ada.post("/environments", {"name": name}).status_code == 201
    assert ada.update("billing", {"a": 1}, environment=name).status_code == 200
    assert ada.get("/config/billing", environment=name).json()["config"] == {"a": 1}
    assert change(ada, name, {"description": "x"}).json()["description"] == "x"


def test_a_creation_sent_twice_is_done_once(ada: Person):
    key = {"Idempotency-Key": "one"}
    first = ada.post("/environments", {"name": "qa"}, headers=key)
    again = ada.post("/environments", {"name": "qa"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert head(ada) == 1


def test_a_rename_keeps_configs_ids_and_history(ada: Person):
    made = ada.update("billing", {"a": 1}, environment="staging").json()
    ada.update("billing", {"a": 2}, environment="staging")
    ada.update("_global", {"g": 1}, environment="staging")
    old = get(ada, "staging")
    renamed = change(ada, "staging", {"name": "test", "message": "clearer"})
    assert renamed.status_code == 200
    assert renamed.json() == {**old, "name": "test"}
    assert names(ada) == ["development", "test", "production"]
    now = ada.get("/config/get", service="billing", environment="test").json()
    assert (now["id"], now["version"], now["config"]) == (made["id"], 2, {"a": 2})
    assert now["environment"] == "test"
    assert ada.get("/config/billing", environment="test").json()["config"] == {"a": 2, "g": 1}
    versions = ada.get("/config/billing/history", environment="test").json()["versions"]
    assert [one["version"] for one in versions] == [2, 1]
    keys = ada.get("/api/v1/configs", environment="test").json()["configs"]
    assert {(key["key"], key["environment"]) for key in keys} == {("a", "test"), ("g", "test")}
    stale = ada.get("/config/get", service="billing", environment="staging")
    assert_problem(stale, 404, "config_not_found")
    gone = ada.update("billing", {"a": 3}, environment="staging")
    assert_problem(gone, 422, "unknown_environment")
    assert ada.update("billing", {"a": 3}, environment="test").json()["version"] == 3


def test_the_old_name_is_free_after_a_rename(ada: Person):
    ada.update("billing", {"of": "old"}, environment="staging")
    change(ada, "staging", {"name": "test"})
    assert ada.post("/environments", {"name": "staging"}).status_code == 201
    assert_problem(
        ada.get("/config/get", service="billing", environment="staging"), 404, "config_not_found"
    )
    ada.update("billing", {"of": "new"}, environment="staging")
    assert ada.get("/config/billing", environment="test").json()["config"] == {"of": "old"}


def test_api_keys_follow_a_rename(ada: Person):
    ada.update("billing", {"a": 1}, environment="staging")
    key = program(ada, actions=["read", "write"], environments=["staging", "production"])
    other = create_key(ada, scopes={"actions": ["read"], "environments": ["development"]})
    assert change(ada, "staging", {"name": "test"}).status_code == 200
    assert key.get("/config/billing", environment="test").json()["config"] == {"a": 1}
    written = key.update("billing", {"a": 2}, environment="test")
    assert written.status_code == 200
    listed = {one["id"]: one for one in ada.get("/api/v1/api-keys").json()["api_keys"]}
    assert listed[key.id]["scopes"]["environments"] == ["test", "production"]
    assert listed[other["id"]]["scopes"]["environments"] == ["development"]
    ada.post("/environments", {"name": "staging"})
    ada.update("billing", {"a": 3}, environment="staging")
    assert_problem(key.get("/config/billing", environment="staging"), 403, "outside_scope")


def test_keys_of_another_workspace_do_not_follow(ada: Person, bob: Person):
    bob.update("billing", {"a": 1}, environment="staging")
    key = program(bob, actions=["read"], environments=["staging"])
    change(ada, "staging", {"name": "test"})
    assert key.get("/config/billing", environment="staging").json()["config"] == {"a": 1}


@pytest.mark.parametrize("taken", ["production", "qa"])
def test_a_name_in_use_is_not_given_twice(ada: Person, taken: str):
    ada.post("/environments", {"name": "qa"})
    before = head(ada)
    assert_problem(change(ada, "staging", {"name": taken}), 409, "environment_exists")
    assert (names(ada), head(ada)) == ([*FIRST, "qa"], before)


def test_the_name_of_a_deleted_environment_may_be_taken(ada: Person):
    assert delete(ada, "production").status_code == 204
    ada.update("billing", {"a": 1}, environment="staging")
    assert change(ada, "staging", {"name": "production"}).status_code == 200
    assert names(ada) == ["development", "production"]
    assert ada.get("/config/billing", environment="production").json()["config"] == {"a": 1}


def test_a_change_says_only_what_changes(ada: Person):
    change(ada, "staging", {"description": "before production", "protected": True})
    assert change(ada, "staging", {"protected": False}).json()["description"] == (
        "before production"
    )
    before = head(ada)
    for nothing in ({}, {"description": "before production"}, {"name": "staging"}):
        assert change(ada, "staging", nothing).status_code == 200
    assert head(ada) == before
    for wrong in ({"name": None}, {"protected": None}, {"name": "_x"}, {"id": 1}):
        assert_problem(change(ada, "staging", wrong), 422, "validation_error")
    assert_problem(change(ada, "nowhere", {"name": "x"}), 404, "environment_not_found")
    assert_problem(delete(ada, "nowhere"), 404, "environment_not_found")


EVERY_WRITE = [
    ("POST", "/config/update", {}, {"name": "billing", "config": {"a": 9}}),
    ("POST", "/config/update", {}, {"name": "new", "config": {"a": 9}}),
    ("POST", "/config/update", {}, {"name": "_global", "config": {"a": 9}}),
    ("POST", "/config/billing", {}, {"config": {"a": 9}}),
    ("PATCH", "/config/billing", {"environment": "production"}, {"a": 9}),
    ("POST", "/config/billing/merge", {}, {"base_version": 2, "config": {"a": 9}}),
    ("POST", "/config/billing/rollback", {}, {"version": 1}),
    ("POST", "/config/rollback", {"service": "billing", "environment": "production"}, None),
    ("DELETE", "/config/delete", {"service": "billing", "environment": "production"}, None),
    ("POST", "/config/restore", {"service": "gone", "environment": "production"}, None),
    ("POST", "/api/v1/configs", {}, {"key": "b", "value": 9, "app_id": "billing"}),
    ("PUT", "/api/v1/configs/{key}", {}, {"value": 9}),
    ("DELETE", "/api/v1/configs/{key}", {}, None),
    ("POST", "/api/v1/versions/rollback/{key}", {}, {"target_version": 1}),
    ("POST", "/api/v1/config", {}, {"key": "b", "value": 9, "service_name": "billing"}),
    ("PUT", "/api/v1/config/{key}", {}, {"value": 9}),
    ("DELETE", "/api/v1/config/{key}", {}, None),
    ("POST", "/api/v1/changes", {}, {"changes": [{"key": "a", "op": "set", "value": 9}]}),
]


def prepare(owner: Person) -> dict[str, Any]:
    """Protect production, with documents in it; return what calls need to name."""
    for name, config in (("billing", {"a": 1}), ("billing", {"a": 2}), ("gone", {"a": 1})):
        body = {"name": name, "config": config, "environment": "production"}
        assert owner.post("/config/update", body, params=TEAM).status_code == 200
    where = {"service": "gone", "environment": "production", **TEAM}
    assert owner.request("DELETE", "/config/delete", params=where).status_code == 200
    place = {"app_id": "billing", "environment": "production"}
    keys = owner.get("/api/v1/configs", **place, **TEAM).json()["configs"]
    versions = owner.version_ids("billing", environment="production", **TEAM)
    assert change(owner, "production", {"protected": True}, **TEAM).status_code == 200
    return {"key": keys[0]["id"], "version_id": versions[0]}


def send(person: Person, call: tuple, known: dict[str, Any], **params: Any) -> Any:
    method, path, query, body = call
    query = {**query, **params}
    if path == "/config/rollback":
        query["version_id"] = known["version_id"]
    if body is not None and "environment" not in query and "{key}" not in path:
        changes = [{**one, "environment": "production"} for one in body.get("changes", [])]
        body = {**body, "changes": changes} if changes else {**body, "environment": "production"}
    return person.request(method, path.format(**known), params=query, json=body)


def test_a_protected_environment_refuses_an_editor_on_every_surface(ada: Person, team: Person):
    known = prepare(ada)
    before = head(ada, **TEAM)
    key = program(ada, workspace="team", actions=["read", "write"])
    for call in EVERY_WRITE:
        problem = assert_problem(send(team, call, known, **TEAM), 403, "protected_environment")
        assert "'production'" in problem["detail"], call
        assert_problem(send(key, call, known), 403, "protected_environment")
    assert head(ada, **TEAM) == before


@pytest.mark.parametrize("who", ["admin", "key with publish"])
def test_a_protected_environment_takes_those_who_may_publish(ada: Person, team: Person, who: str):
    for call in EVERY_WRITE:
        known = prepare(ada)
        before = head(ada, **TEAM)
        if who == "admin":
            answer = send(ada, call, known, **TEAM)
        else:
            key = program(ada, workspace="team", actions=["read", "write", "publish"])
            answer = send(key, call, known)
        assert answer.status_code in {200, 201, 204}, (call, answer.text)
        assert head(ada, **TEAM) == before + 1, call
        start_afresh(ada)


def start_afresh(owner: Person) -> None:
    """Put the environment aside and make another of its name."""
    change(owner, "production", {"protected": False, "name": f"old-{head(owner, **TEAM)}"}, **TEAM)
    assert owner.post("/environments", {"name": "production"}, params=TEAM).status_code == 201


def test_protection_reaches_no_further_than_its_environment(ada: Person, team: Person):
    prepare(ada)
    for more in ({}, {"environment": "staging"}):
        body = {"name": "billing", "config": {"a": 1}, **more}
        assert team.post("/config/update", body, params=TEAM).status_code == 200
    mixed = [
        {"key": "a", "op": "set", "value": 1, "environment": "staging"},
        {"key": "a", "op": "set", "value": 1, "environment": "production"},
    ]
    refused = team.post("/api/v1/changes", {"changes": mixed}, params=TEAM)
    assert_problem(refused, 403, "protected_environment")
    nothing = team.get("/config/get", service="_global", environment="staging", **TEAM)
    assert_problem(nothing, 404, "config_not_found")
    seen = team.get("/config/billing", environment="production", **TEAM)
    assert seen.json()["config"] == {"a": 2}
    change(ada, "production", {"protected": False}, **TEAM)
    body = {"name": "billing", "config": {"a": 3}, "environment": "production"}
    assert team.post("/config/update", body, params=TEAM).status_code == 200


def test_protection_survives_a_rename(ada: Person, team: Person):
    prepare(ada)
    change(ada, "production", {"name": "live"}, **TEAM)
    body = {"name": "billing", "config": {"a": 3}, "environment": "live"}
    refused = team.post("/config/update", body, params=TEAM)
    assert_problem(refused, 403, "protected_environment")


def test_what_is_in_use_is_not_deleted(ada: Person):
    ada.update("billing", {"a": 1}, environment="staging")
    ada.update("_global", {"a": 1}, environment="staging")
    before = head(ada)
    problem = assert_problem(delete(ada, "staging"), 409, "environment_in_use")
    assert "2 configs" in problem["detail"]
    delete_config(ada, "billing", "staging")
    problem = assert_problem(delete(ada, "staging"), 409, "environment_in_use")
    assert "1 config:" in problem["detail"]
    assert head(ada) == before + 1
    delete_config(ada, "_global", "staging")
    assert delete(ada, "staging").status_code == 204
    assert names(ada) == ["development", "production"]
    assert_problem(delete(ada, "staging"), 404, "environment_not_found")
    refused = ada.update("billing", {"a": 1}, environment="staging")
    assert_problem(refused, 422, "unknown_environment")
    refused = ada.get("/config/billing", environment="staging")
    assert_problem(refused, 422, "unknown_environment")
    restore = {"service": "billing", "environment": "staging"}
    gone = ada.request("POST", "/config/restore", params=restore)
    assert gone.status_code in {404, 422}


def test_a_revived_environment_has_its_id_and_history(ada: Person):
    made = ada.update("billing", {"a": 1}, environment="staging").json()
    change(ada, "staging", {"description": "old"})
    delete_config(ada, "billing", "staging")
    delete(ada, "staging")
    revived = ada.post("/environments", {"name": "staging", "description": "new"})
    assert revived.status_code == 201
    assert (revived.json()["description"], revived.json()["protected"]) == ("new", False)
    assert names(ada) == FIRST
    history = ada.get("/config/billing/history", environment="staging").json()["versions"]
    assert [one["version"] for one in history] == [2, 1]
    where = {"service": "billing", "environment": "staging"}
    back = ada.request("POST", "/config/restore", params=where).json()
    assert (back["id"], back["version"], back["config"]) == (made["id"], 3, {"a": 1})
    told = events(ada)
    assert [log["action"] for log in told] == ["update", "delete", "create"]
    assert len({log["entity_id"] for log in told}) == 1


def test_each_change_takes_a_revision_and_is_an_event(ada: Person):
    steps = [
        lambda: ada.post("/environments", {"name": "qa"}),
        lambda: change(ada, "qa", {"description": "tests"}),
        lambda: change(ada, "qa", {"name": "test", "protected": True}),
        lambda: delete(ada, "test"),
        lambda: ada.post("/environments", {"name": "test"}),
    ]
    for number, step in enumerate(steps, start=1):
        answer = step()
        assert answer.status_code < 300, answer.text
        assert answer.headers["x-configsync-revision"].endswith(f"-{number}")
        assert head(ada) == number
    told = events(ada)
    assert [log["action"] for log in told] == ["create", "update", "update", "delete", "create"]
    assert {log["entity_type"] for log in told} == {"environment"}
    assert len({log["entity_id"] for log in told}) == 1
    assert {log["user_id"] for log in told} == {ada.id}


def test_only_admins_change_environments(client: TestClient, ada: Person, team: Person):
    calls = [
        ("POST", "/environments", {"name": "qa"}),
        ("PATCH", "/environments/staging", {"name": "x"}),
        ("PATCH", "/environments/staging", {"protected": True}),
        ("DELETE", "/environments/staging", None),
    ]
    key = program(ada, workspace="team", actions=["read", "write", "publish"])
    for method, path, body in calls:
        answer = team.request(method, path, json=body, params=TEAM)
        assert_problem(answer, 403, "not_allowed")
        assert_problem(key.request(method, path, json=body), 403, "not_allowed")
        assert_problem(client.request(method, path, json=body), 401, "login_required")
    assert names(team, **TEAM) == FIRST
    assert head(ada, **TEAM) == 0


def test_an_admin_of_the_workspace_may(ada: Person, team: Person):
    ada.request("PUT", "/api/v1/workspaces/team/members/bob", json={"role": "admin"})
    assert team.post("/environments", {"name": "qa"}, params=TEAM).status_code == 201
    assert change(team, "qa", {"name": "test"}, **TEAM).status_code == 200
    assert delete(team, "test", **TEAM).status_code == 204
    assert names(ada) == FIRST


def test_a_foreign_workspace_is_not_there(ada: Person, bob: Person):
    there = {"workspace": "ada"}
    for answer in (
        bob.get("/environments", **there),
        bob.post("/environments", {"name": "qa"}, params=there),
        change(bob, "staging", {"name": "x"}, **there),
        delete(bob, "staging", **there),
    ):
        assert_problem(answer, 404, "workspace_not_found")
    assert names(ada) == FIRST


def test_an_api_key_lists_and_administers_what_it_reaches(ada: Person):
    key = program(ada, actions=["read", "admin"], environments=["staging", "qa*"])
    assert names(key) == ["staging"]
    assert key.post("/environments", {"name": "qa1"}).status_code == 201
    assert_problem(key.post("/environments", {"name": "other"}), 403, "outside_scope")
    assert_problem(change(key, "production", {"name": "qa2"}), 403, "outside_scope")
    assert_problem(delete(key, "production"), 403, "outside_scope")
    assert names(key) == ["staging", "qa1"]
    assert delete(key, "qa1").status_code in {204, 403}


def test_an_api_key_does_not_rename_beyond_its_reach(ada: Person):
    key = program(ada, actions=["read", "admin"], environments=["staging"])
    assert_problem(change(key, "staging", {"name": "secret"}), 403, "outside_scope")
    assert names(ada) == FIRST
