"""A workspace goes back to a moment: forward, in one revision."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.client import Person, assert_problem, program

PATH = "/api/v1/workspaces/{}/restore"


def restore(person: Person, at: object, slug: str = "ada", **more: Any) -> Any:
    headers = more.pop("headers", {})
    return person.post(PATH.format(slug), {"at": at, **more}, headers=headers)


def restored(person: Person, at: object, **more: Any) -> dict[str, Any]:
    answer = restore(person, at, **more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def head(person: Person, **params: Any) -> int:
    revision = person.get("/config/list", **params).headers["x-configsync-revision"]
    return int(revision.rpartition("-")[2])


def delete(person: Person, service: str, environment: str | None = None) -> None:
    where = {"service": service, **({"environment": environment} if environment else {})}
    assert person.request("DELETE", "/config/delete", params=where).status_code == 200


def put(person: Person, key_id: int, **body: Any) -> None:
    answer = person.request("PUT", f"/api/v1/configs/{key_id}", json=body)
    assert answer.status_code == 200, answer.text


def rename(person: Person, old: str, new: str) -> None:
    answer = person.request("PATCH", f"/environments/{old}", json={"name": new})
    assert answer.status_code == 200, answer.text


def key(person: Person, name: str, **body: Any) -> int:
    answer = person.post("/api/v1/configs", {"key": name, "app_id": "billing", **body})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def everything(person: Person) -> dict[str, Any]:
    """Return what a user sees of a workspace, apart from versions, revisions and times."""
    documents = person.get("/config/list", limit=500).json()["configs"]
    keys = person.get("/api/v1/configs", page_size=500).json()["configs"]
    environments = person.get("/environments").json()["environments"]
    shown = ("id", "key", "value", "value_type", "description", "is_active", "environment")
    return {
        "documents": {
            (one["id"], one["service"], one["environment"]): list(one["config"].items())
            for one in documents
        },
        "keys": {one["id"]: {name: one[name] for name in shown} for one in keys},
        "environments": sorted(
            (one["name"], one["description"], one["protected"]) for one in environments
        ),
    }


def described(answer: dict[str, Any]) -> set[tuple]:
    return {
        (one["resource_type"], one["service"], one["environment"], one["action"])
        for one in answer["changes"]
    }


def test_a_dry_run_lists_and_changes_nothing(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("gone", {"a": 1})
    delete(ada, "gone")
    ada.update("billing", {"a": 2})
    ada.update("made", {"a": 1}, environment="staging")
    rename(ada, "production", "live")
    before, now = everything(ada), head(ada)
    answer = restored(ada, 2, dry_run=True)
    assert described(answer) == {
        ("configuration", "billing", None, "update"),
        ("configuration", "gone", None, "create"),
        ("configuration", "made", "staging", "delete"),
        ("environment", None, "production", "update"),
    }
    assert (answer["dry_run"], answer["revision"], answer["at"]) == (True, None, 2)
    assert answer["workspace"] == "ada"
    versions = {
        one["service"]: (one["from_version"], one["to_version"]) for one in answer["changes"]
    }
    assert versions["billing"] == (2, 1)
    assert versions["gone"] == (2, 1)
    assert versions["made"] == (1, None)
    assert (everything(ada), head(ada)) == (before, now)
    done = restored(ada, 2)
    assert done["changes"] == answer["changes"]
    assert done["revision"] == now + 1


def test_documents_come_back_in_one_revision(ada: Person):
    ada.update("_global", {"g": 1})
    ada.update("billing", {"z": 1, "a": {"b": 2}})
    ada.update("billing", {"p": 1}, environment="production")
    ada.update("gone", {"x": 1})
    ada.update("gone", {"x": 1, "y": 2}, environment="staging")
    then, at = everything(ada), head(ada)
    ada.update("_global", {"g": 2})
    ada.update("billing", {"a": {"b": 3}, "z": 1})
    ada.update("billing", {"p": 1, "q": 2}, environment="production")
    delete(ada, "gone")
    delete(ada, "gone", "staging")
    ada.update("made", {"m": 1})
    ada.update("made", {"m": 1}, environment="production")
    between = everything(ada)
    answer = restored(ada, at, message="back to the good days")
    assert everything(ada) == then
    assert answer["revision"] == head(ada) == 13
    assert len(answer["changes"]) == 7
    for service, more in (("billing", {}), ("gone", {"environment": "staging"}), ("made", {})):
        newest = ada.get(f"/config/{service}/history", **more).json()["versions"][0]
        assert (newest["revision"], newest["action"]) == (13, "restore")
        assert newest["message"] == "back to the good days"
    assert_problem(ada.get("/config/get", service="made"), 404, "config_not_found")
    assert ada.get("/config/get", service="made", at=12).json()["config"] == {"m": 1}
    restored(ada, 12)
    assert everything(ada) == between


def test_the_text_comes_back_as_it_was_written(ada: Person):
    text = '{"z":1e2,"a":[-0.0,1.50]}'
    body = f'{{"config":{text}}}'.encode()
    kind = {"Content-Type": "application/json"}
    ada.request("POST", "/config/billing", content=body, headers=kind)
    ada.update("billing", {"a": 1})
    restored(ada, 1)
    assert text in ada.get("/config/get", service="billing").text


def test_untouched_and_equal_documents_get_no_version(ada: Person):
    ada.update("still", {"a": 1})
    ada.update("there-and-back", {"a": 1})
    ada.update("billing", {"a": 1})
    ada.update("there-and-back", {"a": 2})
    ada.update("there-and-back", {"a": 1})
    ada.update("billing", {"a": 2})
    answer = restored(ada, 3)
    assert described(answer) == {("configuration", "billing", None, "update")}
    assert ada.get("/config/get", service="still").json()["version"] == 1
    assert ada.get("/config/get", service="there-and-back").json()["version"] == 3
    assert ada.get("/config/get", service="billing").json()["version"] == 3


def test_values_descriptions_types_and_activity_of_keys_come_back(ada: Person):
    described_key = key(ada, "described", value=1, description="old")
    typed = key(ada, "typed", value=1, value_type="json")
    parked = key(ada, "parked", value="on")
    put(ada, parked, is_active=False)
    active = key(ada, "active", value=[1])
    gone = key(ada, "gone", value=None, description="null")
    valued = key(ada, "valued", value={"x": 1})
    then, at = everything(ada), head(ada)
    put(ada, described_key, description="new")
    put(ada, typed, value_type="number")
    put(ada, parked, is_active=True, value="off", description="now active")
    put(ada, active, is_active=False)
    ada.request("DELETE", f"/api/v1/configs/{gone}")
    put(ada, valued, value={"x": 2})
    made = key(ada, "made", value=1)
    made_parked = key(ada, "made-parked", value=1)
    put(ada, made_parked, is_active=False)
    between = everything(ada)
    dry = restored(ada, at, dry_run=True)
    assert everything(ada) == between
    answer = restored(ada, at)
    assert answer["changes"] == dry["changes"]
    assert everything(ada) == then
    assert answer["revision"] == head(ada)
    for one in (made, made_parked):
        assert_problem(ada.get(f"/api/v1/configs/{one}"), 404, "key_not_found")
    history = ada.get(f"/api/v1/versions/config/{described_key}").json()["versions"]
    assert [one["version"] for one in history] == [3, 2, 1]
    restored(ada, answer["revision"] - 1)
    assert everything(ada) == between


def test_a_description_alone_is_a_difference(ada: Person):
    one = key(ada, "a", value=1, description="old")
    put(ada, one, description="new")
    answer = restored(ada, 1)
    (step,) = answer["changes"]
    assert (step["resource_type"], step["service"], step["keys"]) == (
        "configuration",
        "billing",
        ["a"],
    )
    assert answer["revision"] == 3
    assert ada.get(f"/api/v1/configs/{one}").json()["description"] == "old"


def test_an_inactive_key_of_a_config_that_was_not_there_goes(ada: Person):
    ada.update("other", {"a": 1})
    one = key(ada, "a", value=1)
    put(ada, one, is_active=False)
    then = head(ada)
    restored(ada, 1)
    assert_problem(ada.get(f"/api/v1/configs/{one}"), 404, "key_not_found")
    assert_problem(ada.get("/config/get", service="billing"), 404, "config_not_found")
    restored(ada, then)
    back = ada.get(f"/api/v1/configs/{one}").json()
    assert (back["is_active"], back["value"]) == (False, 1)


def test_environments_come_back_with_their_configs(ada: Person):
    ada.post("/environments", {"name": "qa", "description": "old", "protected": True})
    ada.update("billing", {"in": "qa"}, environment="qa")
    ada.update("billing", {"in": "staging"}, environment="staging")
    then, at = everything(ada), head(ada)
    rename(ada, "staging", "test")
    ada.update("billing", {"in": "test"}, environment="test")
    delete(ada, "billing", "qa")
    assert ada.request("DELETE", "/environments/qa").status_code == 204
    ada.post("/environments", {"name": "new"})
    ada.update("billing", {"in": "new"}, environment="new")
    ada.update("_global", {"in": "new"}, environment="new")
    between, now = everything(ada), head(ada)
    assert described(restored(ada, at, dry_run=True)) >= {
        ("environment", None, "staging", "update"),
        ("environment", None, "qa", "create"),
        ("environment", None, "new", "delete"),
    }
    assert everything(ada) == between
    answer = restored(ada, at)
    assert everything(ada) == then
    assert answer["revision"] == head(ada) == now + 1
    assert ada.get("/config/billing", environment="staging").json()["config"] == {"in": "staging"}
    forward = restored(ada, now)
    assert everything(ada) == between
    assert forward["revision"] == now + 2


def test_names_of_environments_that_changed_places(ada: Person):
    for one in ("staging", "production", "development"):
        ada.update("billing", {"in": one}, environment=one)
    then, at = everything(ada), head(ada)
    rename(ada, "staging", "x")
    rename(ada, "production", "staging")
    rename(ada, "development", "production")
    rename(ada, "x", "development")
    between, now = everything(ada), head(ada)
    restored(ada, at, dry_run=True)
    assert everything(ada) == between
    restored(ada, at)
    assert everything(ada) == then
    for one in ("staging", "production", "development"):
        assert ada.get("/config/get", service="billing", environment=one).json()["config"] == {
            "in": one
        }
    restored(ada, now)
    assert everything(ada) == between


def test_a_name_that_another_environment_took(ada: Person):
    ada.update("billing", {"in": "old"}, environment="staging")
    then, at = everything(ada), head(ada)
    delete(ada, "billing", "staging")
    ada.request("DELETE", "/environments/staging")
    rename(ada, "production", "staging")
    ada.update("billing", {"in": "new"}, environment="staging")
    between, now = everything(ada), head(ada)
    restored(ada, at)
    assert everything(ada) == then
    restored(ada, now)
    assert everything(ada) == between


def test_an_environment_made_under_a_name_that_was_renamed_away(ada: Person):
    ada.update("billing", {"in": "old"}, environment="staging")
    then, at = everything(ada), head(ada)
    rename(ada, "staging", "test")
    ada.post("/environments", {"name": "staging"})
    ada.update("billing", {"in": "new"}, environment="staging")
    between, now = everything(ada), head(ada)
    restored(ada, at)
    assert everything(ada) == then
    restored(ada, now)
    assert everything(ada) == between


def test_api_keys_follow_an_environment_that_gets_its_old_name_back(ada: Person):
    ada.update("billing", {"a": 1}, environment="staging")
    reader = program(ada, actions=["read"], environments=["staging"])
    rename(ada, "staging", "test")
    assert reader.get("/config/billing", environment="test").status_code == 200
    restored(ada, 1)
    assert reader.get("/config/billing", environment="staging").status_code == 200


def test_nothing_to_do_takes_no_revision(ada: Person):
    ada.update("billing", {"a": 1})
    for at in (1, 1):
        answer = restored(ada, at)
        assert (answer["revision"], answer["changes"]) == (None, [])
    ada.update("billing", {"a": 2})
    ada.update("billing", {"a": 1})
    assert restored(ada, 1)["revision"] is None
    assert head(ada) == 3


def test_the_beginning_is_a_moment_too(ada: Person):
    then = everything(ada)
    ada.update("billing", {"a": 1})
    rename(ada, "staging", "test")
    ada.post("/environments", {"name": "qa"})
    ada.update("billing", {"a": 1}, environment="qa")
    restored(ada, 0)
    assert everything(ada) == then


def test_a_moment_may_be_a_time(ada: Person):
    first = ada.update("billing", {"a": 1}).json()["updated_at"]
    ada.update("billing", {"a": 2})
    answer = restored(ada, first)
    assert (answer["at"], answer["at_time"], answer["revision"]) == (1, first, 3)
    assert ada.get("/config/get", service="billing").json()["config"] == {"a": 1}


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (2, "at_out_of_range"),
        ("2999-01-01T00:00:00Z", "at_out_of_range"),
        ("1999-01-01T00:00:00Z", "at_out_of_range"),
        (-1, "validation_error"),
        (2**60, "validation_error"),
        (None, "validation_error"),
        (True, "validation_error"),
        ("soon", "validation_error"),
        ("2026-01-01T00:00:00", "validation_error"),
        ("5", "validation_error"),
        (1.5, "validation_error"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_the_future_and_nonsense_are_refused(ada: Person, at: object, code: str, dry_run: bool):
    ada.update("billing", {"a": 1})
    assert_problem(restore(ada, at, dry_run=dry_run), 422, code)
    assert head(ada) == 1


@pytest.mark.parametrize("body", [{}, {"at": 0, "more": 1}, {"at": 0, "dry_run": "maybe"}])
def test_wrong_bodies_are_refused(ada: Person, body: dict):
    assert_problem(ada.post(PATH.format("ada"), body), 422, "validation_error")


def test_only_admins_go_back(client: TestClient, ada: Person, bob: Person):
    assert ada.post("/api/v1/workspaces", {"slug": "team"}).status_code == 201
    team = {"workspace": "team"}
    ada.post("/config/update", {"name": "billing", "config": {"a": 1}}, params=team)
    assert_problem(restore(bob, 0, "team"), 404, "workspace_not_found")
    for role in ("viewer", "editor"):
        ada.request("PUT", "/api/v1/workspaces/team/members/bob", json={"role": role})
        for dry_run in (True, False):
            assert_problem(restore(bob, 0, "team", dry_run=dry_run), 403, "not_allowed")
    for actions in (["read", "write", "publish"], ["read", "admin"]):
        lesser = program(ada, workspace="team", actions=actions)
        assert_problem(restore(lesser, 0, "team"), 403, "not_allowed")
    nobody = client.post(PATH.format("team"), json={"at": 0})
    assert_problem(nobody, 401, "login_required")
    assert head(ada, **team) == 1
    ada.request("PUT", "/api/v1/workspaces/team/members/bob", json={"role": "admin"})
    assert restored(bob, 0, slug="team")["revision"] == 2


def test_an_api_key_goes_back_only_with_all_of_the_workspace_in_reach(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("shop", {"a": 1})
    actions = ["read", "write", "publish", "admin"]
    narrow = program(ada, actions=actions, services=["billing"])
    assert_problem(restore(narrow, 0), 403, "outside_scope")
    assert head(ada) == 2
    whole = program(ada, actions=actions)
    assert restored(whole, 0)["revision"] == 3


def test_a_dry_run_tells_an_api_key_nothing_from_beyond_its_reach(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("shop", {"a": 1})
    actions = ["read", "write", "publish", "admin"]
    narrow = program(ada, actions=actions, services=["billing"])
    assert_problem(restore(narrow, 0, dry_run=True), 403, "outside_scope")


def test_api_keys_stay_with_environments_that_change_names_back(ada: Person):
    for one in ("staging", "production"):
        ada.update("billing", {"in": one}, environment=one)
    reader = program(ada, actions=["read"], environments=["staging"])
    rename(ada, "staging", "x")
    rename(ada, "production", "staging")
    rename(ada, "x", "production")
    assert_problem(reader.get("/config/billing", environment="staging"), 403, "outside_scope")
    restored(ada, 2)
    seen = reader.get("/config/billing", environment="staging")
    assert seen.json()["config"] == {"in": "staging"}
    hidden = reader.get("/config/billing", environment="production")
    assert_problem(hidden, 403, "outside_scope")


def test_a_key_without_publish_does_not_restore_what_is_protected(ada: Person):
    ada.request("PATCH", "/environments/production", json={"protected": True})
    ada.update("billing", {"a": 1}, environment="production")
    ada.update("billing", {"a": 2}, environment="production")
    lesser = program(ada, actions=["read", "write", "admin"])
    refused = restore(lesser, 2)
    assert_problem(refused, 403, "not_allowed")
    stored = ada.get("/config/get", service="billing", environment="production").json()
    assert stored["config"] == {"a": 2}


def test_other_workspaces_are_untouched(ada: Person, bob: Person):
    bob.update("billing", {"b": 1})
    bob.update("billing", {"b": 2})
    rename(bob, "staging", "test")
    theirs = everything(bob), head(bob)
    ada.update("billing", {"a": 1})
    ada.update("billing", {"a": 2})
    restored(ada, 1)
    restored(ada, 0)
    assert (everything(bob), head(bob)) == theirs
    assert_problem(restore(bob, 0, "ada"), 404, "workspace_not_found")


def test_a_restore_is_an_event_of_each_object(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("billing", {"a": 2})
    rename(ada, "staging", "test")
    restored(ada, 1)
    logs = ada.get("/api/v1/audit", action="restore").json()["logs"]
    assert sorted((log["entity_type"], log["app_id"]) for log in logs) == [
        ("configuration", "billing"),
        ("environment", None),
    ]


def test_a_restore_sent_twice_is_done_once(ada: Person):
    ada.update("billing", {"a": 1})
    ada.update("billing", {"a": 2})
    once = {"Idempotency-Key": "back"}
    first = restore(ada, 1, headers=once)
    ada.update("billing", {"a": 3})
    again = restore(ada, 1, headers=once)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert ada.get("/config/get", service="billing").json()["config"] == {"a": 3}


def test_versions_go_on_counting(ada: Person):
    ada.update("billing", {"a": 1})
    delete(ada, "billing")
    restored(ada, 1)
    now = ada.get("/config/get", service="billing").json()
    assert (now["version"], now["revision"]) == (3, 3)
    assert ada.update("billing", {"a": 2}, expected_version=3).json()["version"] == 4
