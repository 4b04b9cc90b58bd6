"""Versioned names (surface D): the same documents in other words."""

from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.client import PASSWORD, Person, assert_problem, program

CALLS = [
    ("GET", "/configs/billing", None),
    ("GET", "/configs/billing/versions", None),
    ("POST", "/configs", {"name": "shop", "data": {"a": 1}}),
    ("PUT", "/configs/billing", {"data": {"a": 9}}),
]
NAMED = [f"{method} {path}" for method, path, _ in CALLS]


def create(person: Person, data: Any, name: str = "billing", **kwargs: Any) -> Any:
    return person.post("/configs", {"name": name, "data": data}, **kwargs)


def replace(person: Person, data: Any, name: str = "billing", **kwargs: Any) -> Any:
    return person.request("PUT", f"/configs/{name}", json={"data": data}, **kwargs)


def delete(person: Person, name: str = "billing") -> None:
    gone = person.request("DELETE", "/config/delete", params={"service": name})
    assert gone.status_code == 200


def head(person: Person) -> str:
    return person.get("/config/list").headers["x-configsync-revision"]


@pytest.mark.parametrize("how", ["json", "data"])
def test_login_answers_as_the_other_login(client: TestClient, ada: Person, how: str):
    said = {"username": "ada", "password": PASSWORD}
    answer = client.post("/login", **{how: said})
    assert answer.status_code == 200, answer.text
    other = client.post("/auth/login", data=said).json()
    assert answer.json().keys() == other.keys()
    assert answer.json()["token_type"] == "bearer"
    with_it = Person(client, answer.json()["access_token"], ada.id, "ada")
    assert create(with_it, {"a": 1}).status_code == 201
    assert ada.get("/configs/billing").json()["data"] == {"a": 1}


@pytest.mark.parametrize("how", ["json", "data"])
def test_a_wrong_login_is_refused_in_one_way(client: TestClient, ada: Person, how: str):
    unknown = client.post("/login", **{how: {"username": "nobody", "password": "x" * 12}})
    wrong = client.post("/login", **{how: {"username": "ada", "password": "x" * 12}})
    details = {unknown.json()["detail"], wrong.json()["detail"]}
    assert (unknown.status_code, wrong.status_code, len(details)) == (401, 401, 1)


def test_a_name_is_created_read_replaced_and_listed(ada: Person):
    made = create(ada, {"z": 1, "a": 2})
    assert made.status_code == 201
    body = made.json()
    assert body == {
        "name": "billing",
        "version": 1,
        "data": {"z": 1, "a": 2},
        "created_at": body["created_at"],
    }
    assert isinstance(body["created_at"], int)
    assert ada.get("/configs/billing").json() == body
    changed = replace(ada, {"b": 3})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert ada.get("/configs/billing").json() == changed.json()
    assert ada.get("/configs/billing", version=1).json() == body
    assert ada.get("/configs/billing", version=2).json() == changed.json()
    versions = ada.get("/configs/billing/versions")
    assert (versions.status_code, versions.json()) == (200, [1, 2])


def test_created_at_is_the_time_of_that_version(ada: Person):
    create(ada, {"a": 1})
    replace(ada, {"a": 2})
    versions = ada.get("/config/billing/history").json()["versions"]
    for one in versions:
        moment = int(datetime.fromisoformat(one["created_at"]).timestamp())
        assert ada.get("/configs/billing", version=one["version"]).json()["created_at"] == moment


def test_what_is_written_here_is_read_by_the_other_surfaces(ada: Person):
    made = create(ada, {"a": 1, "b": {"c": 2}})
    stored = ada.get("/config/get", service="billing")
    assert (stored.json()["config"], stored.json()["version"]) == ({"a": 1, "b": {"c": 2}}, 1)
    assert stored.json()["environment"] is None
    assert made.headers["x-configsync-revision"] == head(ada)
    assert ada.get("/config/billing").json()["config"] == {"a": 1, "b": {"c": 2}}
    replace(ada, {"a": 2})
    assert ada.get("/config/billing").json()["config"] == {"a": 2}
    actions = [one["action"] for one in ada.get("/config/billing/history").json()["versions"]]
    assert actions == ["update", "create"]
    keys = ada.get("/api/v1/configs", app_id="billing").json()["configs"]
    assert [(key["key"], key["value"], key["version"]) for key in keys] == [("a", 2, 2)]
    listed = ada.get("/config/list").json()["configs"]
    assert [one["name"] for one in listed] == ["billing"]


def test_what_is_written_by_the_other_surfaces_is_read_here(ada: Person):
    ada.update("billing", {"a": 1})
    assert ada.get("/configs/billing").json()["data"] == {"a": 1}
    ada.post("/api/v1/configs", {"key": "b", "value": 2, "app_id": "billing"})
    ada.request("PATCH", "/config/billing", json={"a": 3})
    ada.post("/config/billing/rollback", {"version": 1})
    now = ada.get("/configs/billing").json()
    assert (now["data"], now["version"]) == ({"a": 1}, 4)
    assert ada.get("/configs/billing", version=3).json()["data"] == {"a": 3, "b": 2}
    assert ada.get("/configs/billing/versions").json() == [1, 2, 3, 4]


def test_other_levels_do_not_show(ada: Person):
    ada.update("_global", {"g": 1})
    ada.update("billing", {"p": 1}, environment="production")
    assert_problem(ada.get("/configs/billing"), 404, "config_not_found")
    assert_problem(replace(ada, {"a": 1}), 404, "config_not_found")
    assert create(ada, {"a": 1}).status_code == 201
    assert ada.get("/configs/billing").json()["data"] == {"a": 1}
    assert ada.get("/configs/_global").json()["data"] == {"g": 1}
    in_production = ada.get("/config/get", service="billing", environment="production").json()
    assert in_production["config"] == {"p": 1}


def test_creating_again_is_a_conflict(ada: Person):
    create(ada, {"a": 1})
    before = head(ada)
    for data in ({"a": 1}, {"a": 2}):
        problem = assert_problem(create(ada, data), 409, "config_exists")
        assert "'billing'" in problem["detail"]
    assert head(ada) == before
    ada.update("shop", {"a": 1})
    assert_problem(create(ada, {}, name="shop"), 409, "config_exists")


def test_unknown_names_and_versions_are_not_found(ada: Person, bob: Person):
    create(bob, {"a": 1}, name="theirs")
    for name in ("nothing", "theirs"):
        problem = assert_problem(ada.get(f"/configs/{name}"), 404, "config_not_found")
        assert f"'{name}'" in problem["detail"]
        assert_problem(ada.get(f"/configs/{name}", version=1), 404, "config_not_found")
        assert_problem(ada.get(f"/configs/{name}/versions"), 404, "config_not_found")
        assert_problem(replace(ada, {"a": 1}, name=name), 404, "config_not_found")
    create(ada, {"a": 1})
    assert_problem(ada.get("/configs/billing", version=2), 404, "version_not_found")
    for wrong in (0, -1, "x", 2**53):
        assert_problem(ada.get("/configs/billing", version=wrong), 422, "validation_error")


def test_a_deleted_name_is_gone_and_can_be_created_again(ada: Person):
    create(ada, {"a": 1})
    delete(ada)
    assert_problem(ada.get("/configs/billing"), 404, "config_not_found")
    assert_problem(replace(ada, {"a": 2}), 404, "config_not_found")
    again = create(ada, {"a": 3})
    assert (again.status_code, again.json()["version"]) == (201, 3)
    assert ada.get("/configs/billing/versions").json() == [1, 3]
    assert_problem(ada.get("/configs/billing", version=2), 404, "version_not_found")
    assert ada.get("/configs/billing", version=1).json()["data"] == {"a": 1}


def test_the_versions_that_are_listed_can_be_had(ada: Person):
    create(ada, {"a": 1})
    delete(ada)
    listed = ada.get("/configs/billing/versions")
    numbers = listed.json() if listed.status_code == 200 else []
    for number in numbers:
        assert ada.get("/configs/billing", version=number).status_code == 200


def test_equal_data_makes_no_version(ada: Person):
    made = create(ada, {"a": 1, "b": 2}).json()
    same = replace(ada, {"b": 2, "a": 1})
    assert (same.status_code, same.json()) == (200, made)
    assert ada.get("/configs/billing/versions").json() == [1]


def test_the_text_is_kept_as_it_was_written(ada: Person):
    data = '{"z":1e2,"a":[-0.0,1.50],"ü":null}'
    kind = {"Content-Type": "application/json"}
    body = f'{{"name":"billing","data":{data}}}'.encode()
    made = ada.request("POST", "/configs", content=body, headers=kind)
    for text in (made.text, ada.get("/configs/billing").text, ada.get("/config/billing").text):
        assert data in text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "billing"},
        {"data": {}},
        {"name": "billing", "data": []},
        {"name": "billing", "data": None},
        {"name": "billing", "data": "text"},
        {"name": "billing", "data": {}, "more": 1},
        {"name": "list", "data": {}},
        {"name": "a/b", "data": {}},
        {"name": "_mine", "data": {}},
        {"name": "...", "data": {}},
        {"name": "a" * 101, "data": {}},
        {"name": "", "data": {}},
    ],
)
def test_wrong_bodies_and_names_are_refused(ada: Person, body: dict):
    before = head(ada)
    assert_problem(ada.post("/configs", body), 422, "validation_error")
    assert head(ada) == before


def test_tags_and_preconditions_are_those_of_the_document(ada: Person):
    create(ada, {"a": 1})
    got = ada.get("/configs/billing")
    tag = got.headers["etag"]
    assert tag == ada.get("/config/get", service="billing").headers["etag"]
    unchanged = ada.request("GET", "/configs/billing", headers={"If-None-Match": tag})
    assert unchanged.status_code == 304
    assert replace(ada, {"a": 2}, headers={"If-Match": tag}).status_code == 200
    stale = replace(ada, {"a": 3}, headers={"If-Match": tag})
    assert_problem(stale, 412, "precondition_failed")
    effective = ada.get("/config/billing").headers["etag"]
    merged = replace(ada, {"a": 3}, headers={"If-Match": effective})
    assert_problem(merged, 412, "etag_of_effective")
    assert ada.get("/configs/billing").json()["data"] == {"a": 2}


def test_a_creation_sent_twice_is_done_once(ada: Person):
    key = {"Idempotency-Key": "one"}
    first, again = create(ada, {"a": 1}, headers=key), create(ada, {"a": 1}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("call", CALLS, ids=NAMED)
def test_nobody_gets_in_without_credentials(client: TestClient, ada: Person, call: tuple):
    create(ada, {"a": 1})
    method, path, body = call
    assert_problem(client.request(method, path, json=body), 401, "login_required")


@pytest.mark.parametrize("call", CALLS, ids=NAMED)
def test_a_foreign_workspace_is_not_there(ada: Person, bob: Person, call: tuple):
    create(ada, {"a": 1})
    method, path, body = call
    answer = bob.request(method, path, json=body, params={"workspace": "ada"})
    assert_problem(answer, 404, "workspace_not_found")
    assert ada.get("/configs/billing").json()["version"] == 1


@pytest.mark.parametrize("call", CALLS, ids=NAMED)
def test_an_api_key_reaches_what_its_scopes_name(ada: Person, call: tuple):
    create(ada, {"a": 1})
    method, path, body = call
    needed, other = ("read", "write") if method == "GET" else ("write", "read")
    may_not = program(ada, actions=[other])
    assert_problem(may_not.request(method, path, json=body), 403, "not_allowed")
    for scopes in ({"services": ["else"]}, {"environments": ["production"]}):
        outside = program(ada, actions=["read", "write"], **scopes)
        assert_problem(outside.request(method, path, json=body), 403, "outside_scope")
    name = body.get("name", "billing") if body else "billing"
    inside = program(ada, actions=[needed], services=[name])
    assert inside.request(method, path, json=body).status_code in {200, 201}


def test_a_key_that_may_only_write_is_not_shown_the_data(ada: Person):
    blind = program(ada, actions=["write"])
    assert create(blind, {"a": 1}).json()["data"] is None
    assert replace(blind, {"a": 2}).json()["data"] is None
    assert replace(blind, {"a": 2}).json()["version"] == 2
    assert ada.get("/configs/billing").json()["data"] == {"a": 2}


def test_a_viewer_reads_but_writes_nothing(ada: Person, bob: Person):
    slug = {"slug": "team"}
    assert ada.post("/api/v1/workspaces", slug).status_code == 201
    ada.request("PUT", "/api/v1/workspaces/team/members/bob", json={"role": "viewer"})
    create(ada, {"a": 1}, params={"workspace": "team"})
    assert bob.get("/configs/billing", workspace="team").json()["data"] == {"a": 1}
    assert bob.get("/configs/billing/versions", workspace="team").json() == [1]
    there = {"workspace": "team"}
    assert_problem(create(bob, {}, name="x", params=there), 403, "not_allowed")
    assert_problem(replace(bob, {}, params=there), 403, "not_allowed")
