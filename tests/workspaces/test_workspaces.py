"""Workspaces: listing, creating, renaming, deleting; who may."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from app.core import db
from app.models import ApiKey, Environment, User, Workspace
from tests.client import Person, assert_problem, login, program, register
from tests.conftest import QueryRecorder

URL = "/api/v1/workspaces"


def create(person: Person, slug: str, **more: Any) -> dict[str, Any]:
    answer = person.post(URL, {"slug": slug, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def patch(person: Person, slug: str, body: Any):
    return person.request("PATCH", f"{URL}/{slug}", json=body)


def delete(person: Person, slug: str):
    return person.request("DELETE", f"{URL}/{slug}")


def give(person: Person, slug: str, username: str, role: str) -> None:
    answer = person.request("PUT", f"{URL}/{slug}/members/{username}", json={"role": role})
    assert answer.status_code == 200, answer.text


def slugs(person: Person, **params: Any) -> list[str]:
    answer = person.get(URL, **params)
    assert answer.status_code == 200, answer.text
    return [one["slug"] for one in answer.json()["workspaces"]]


def test_a_workspace_comes_with_an_owner_and_three_environments(ada: Person):
    made = create(ada, "payments", name="Payments & more")
    assert made == {
        "id": made["id"],
        "slug": "payments",
        "name": "Payments & more",
        "personal": False,
        "role": "owner",
        "created_at": made["created_at"],
        "revision": 0,
    }
    assert ada.get(f"{URL}/payments").json() == made
    assert create(ada, "other")["name"] == "other"
    with db.transaction() as session:
        names = session.scalars(
            select(Environment.name).where(Environment.workspace_id == made["id"])
        )
        assert sorted(names) == ["development", "production", "staging"]
    [membership] = [w for w in ada.get("/auth/me").json()["workspaces"] if w["slug"] == "payments"]
    assert membership["role"] == "owner"


def test_everybody_sees_the_own_and_an_admin_all(
    client: TestClient, ada: Person, bob: Person, admin: Person
):
    create(ada, "payments")
    assert slugs(ada) == ["ada", "payments"]
    assert slugs(bob) == ["bob"]
    assert slugs(admin) == ["default", "ada", "bob", "root", "payments"]
    roles = {one["slug"]: one["role"] for one in admin.get(URL).json()["workspaces"]}
    assert roles == {
        "default": "owner",
        "root": "owner",
        "ada": "admin",
        "bob": "admin",
        "payments": "admin",
    }
    personal = {one["slug"]: one["personal"] for one in admin.get(URL).json()["workspaces"]}
    assert [slug for slug, own in personal.items() if own] == ["ada", "bob", "root"]
    assert slugs(program(ada, workspace="payments")) == ["payments"]
    assert_problem(client.get(URL), 401, "login_required")


def test_the_list_has_pages_and_costs_the_same(ada: Person, query_recorder: QueryRecorder):
    with query_recorder() as few:
        assert slugs(ada) == ["ada"]
    for number in range(6):
        create(ada, f"w{number}")
    with query_recorder() as many:
        assert len(slugs(ada)) == 7
    assert len(many) == len(few) <= 6
    first = ada.get(URL, limit=4).json()
    rest = ada.get(URL, limit=4, cursor=first["next_cursor"]).json()
    found = [one["slug"] for page in (first, rest) for one in page["workspaces"]]
    assert found == ["ada", *(f"w{number}" for number in range(6))]
    assert rest["next_cursor"] is None
    assert_problem(ada.get(URL, cursor="x"), 422, "invalid_cursor")
    assert_problem(ada.get(URL, workspace="ada"), 422, "unknown_parameter")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"slug": ""},
        {"slug": "a" * 65},
        {"slug": "Payments"},
        {"slug": "a b"},
        {"slug": "a/b"},
        {"slug": "a\n"},
        {"slug": "_a"},
        {"slug": ".."},
        {"slug": None},
        {"slug": "good", "name": ""},
        {"slug": "good", "name": "x" * 101},
        {"slug": "good", "name": "a\u0000b"},
        {"slug": "good", "owner_id": 1},
        [],
    ],
    ids=repr,
)
def test_a_workspace_that_is_none(ada: Person, body: Any):
    answer = ada.post(URL, body)
    assert answer.status_code == 422, answer.text
    assert slugs(ada) == ["ada"]


@pytest.mark.parametrize("slug", ["a", "a" * 64, "0.a_-", "-"])
def test_slugs_at_their_limits(ada: Person, slug: str):
    assert create(ada, slug)["slug"] == slug
    assert ada.get(f"{URL}/{slug}").status_code == 200


def test_a_slug_is_unique_among_workspaces_and_users(client: TestClient, ada: Person, bob: Person):
    register(client, "Eve")
    create(ada, "payments")
    for taken in ("payments", "bob", "eve", "default"):
        assert_problem(bob.post(URL, {"slug": taken}), 409, "workspace_exists")
        if taken != "payments":
            assert_problem(patch(ada, "payments", {"slug": taken}), 409, "workspace_exists")
    body = {"username": "Payments", "email": "p@example.com", "password": "long enough"}
    assert_problem(client.post("/auth/register", json=body), 409, "user_exists")


def test_creating_is_for_people(client: TestClient, ada: Person):
    assert_problem(client.post(URL, json={"slug": "w"}), 401, "login_required")
    key = program(ada, actions=["read", "write", "admin"])
    assert_problem(key.post(URL, {"slug": "w"}), 403, "users_only")


def test_creating_can_be_repeated(ada: Person):
    headers = {"Idempotency-Key": "one"}
    first = ada.post(URL, {"slug": "w"}, headers=headers)
    again = ada.post(URL, {"slug": "w"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"


def test_what_one_may_not_see_is_not_there(client: TestClient, ada: Person, bob: Person):
    create(ada, "payments")
    for slug in ("payments", "ada", "nothing"):
        for answer in (
            bob.get(f"{URL}/{slug}"),
            patch(bob, slug, {"name": "x"}),
            delete(bob, slug),
            bob.get(f"{URL}/{slug}/members"),
            bob.get(f"{URL}/{slug}/services"),
        ):
            problem = assert_problem(answer, 404, "workspace_not_found")
            assert slug in problem["detail"]
    key = program(ada, workspace="payments", actions=["read", "admin"])
    assert key.get(f"{URL}/payments").json()["role"] == "API key"
    assert_problem(key.get(f"{URL}/ada"), 404, "workspace_not_found")
    for method in ("GET", "PATCH", "DELETE"):
        answer = client.request(method, f"{URL}/payments", json={} if method == "PATCH" else None)
        assert_problem(answer, 401, "login_required")


@pytest.mark.parametrize(
    "variables", [{"REQUIRE_API_KEY": "false", "ALLOW_ANONYMOUS_ACCESS": "true"}]
)
def test_open_reads_do_not_open_workspaces(client: TestClient, admin: Person):
    for path in (URL, f"{URL}/default", f"{URL}/default/members", f"{URL}/default/services"):
        assert_problem(client.get(path), 401, "login_required")


@pytest.mark.parametrize("variables", [{"AUTH_ENABLED": "false"}])
def test_without_authentication_everybody_is_an_admin(client: TestClient):
    assert client.post(URL, json={"slug": "w"}).status_code == 201
    found = client.get(URL).json()["workspaces"]
    assert [(one["slug"], one["role"]) for one in found] == [("default", "owner"), ("w", "owner")]


def test_a_key_needs_read_to_look(ada: Person):
    key = program(ada, actions=["metrics"])
    for path in (URL, f"{URL}/ada", f"{URL}/ada/members", f"{URL}/ada/services"):
        assert_problem(key.get(path), 403, "not_allowed")


def test_renaming_keeps_all_but_the_slug(ada: Person, bob: Person):
    made = create(ada, "payments")
    give(ada, "payments", "bob", "viewer")
    key = program(ada, workspace="payments")
    renamed = patch(ada, "payments", {"slug": "money", "name": "Money"})
    assert renamed.json() == {**made, "slug": "money", "name": "Money"}
    assert bob.get(f"{URL}/money").json()["id"] == made["id"]
    assert slugs(key) == ["money"]
    assert_problem(ada.get(f"{URL}/payments"), 404, "workspace_not_found")
    assert create(bob, "payments")["id"] != made["id"]
    [log] = ada.get("/api/v1/audit", entity_type="workspace", action="update").json()["logs"]
    assert (log["metadata"]["before"], log["metadata"]["slug"]) == ("payments", "money")


def test_absent_is_not_null(ada: Person):
    made = create(ada, "payments", name="Payments")
    assert patch(ada, "payments", {}).json() == made
    assert patch(ada, "payments", {"slug": "payments"}).json() == made
    for body in ({"slug": None}, {"name": None}, {"slug": "UP"}, {"owner": 1}):
        assert_problem(patch(ada, "payments", body), 422, "validation_error")
    assert ada.get("/api/v1/audit", entity_type="workspace", action="update").json()["total"] == 0


def test_personal_workspaces_and_default_are_fixed(ada: Person, admin: Person):
    assert patch(ada, "ada", {"name": "Ada's own", "slug": "ada"}).json()["name"] == "Ada's own"
    for person, slug in ((ada, "ada"), (admin, "default"), (admin, "ada")):
        assert_problem(patch(person, slug, {"slug": "elsewhere"}), 409, "workspace_fixed")
        assert_problem(delete(person, slug), 409, "workspace_fixed")


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_changing_is_for_admins(ada: Person, bob: Person, role: str):
    create(ada, "payments")
    give(ada, "payments", "bob", role)
    assert bob.get(f"{URL}/payments").json()["role"] == role
    assert_problem(patch(bob, "payments", {"name": "x"}), 403, "not_allowed")
    assert_problem(delete(bob, "payments"), 403, "not_allowed")


def test_a_confined_key_changes_no_workspace(ada: Person):
    create(ada, "payments")
    for scopes in ({"services": ["billing"]}, {"environments": ["staging"]}):
        key = program(ada, workspace="payments", actions=["admin"], **scopes)
        assert_problem(patch(key, "payments", {"name": "x"}), 403, "outside_scope")
    key = program(ada, workspace="payments", actions=["admin"])
    assert patch(key, "payments", {"name": "x"}).status_code == 200


def test_deleting_is_for_owners(ada: Person, bob: Person, admin: Person):
    create(ada, "payments")
    give(ada, "payments", "bob", "admin")
    key = program(ada, workspace="payments", actions=["admin"])
    assert patch(bob, "payments", {"name": "x"}).status_code == 200
    assert_problem(delete(bob, "payments"), 403, "owners_only")
    assert_problem(delete(key, "payments"), 403, "owners_only")
    assert delete(ada, "payments").status_code == 204
    create(ada, "again")
    assert delete(admin, "again").status_code == 204


def test_a_deleted_workspace_is_gone_for_everybody(
    client: TestClient, ada: Person, bob: Person, admin: Person
):
    made = create(ada, "payments")
    give(ada, "payments", "bob", "owner")
    key = program(ada, workspace="payments", actions=["read", "admin"])
    assert delete(ada, "payments").status_code == 204
    for person in (ada, bob, admin):
        assert_problem(person.get(f"{URL}/payments"), 404, "workspace_not_found")
        assert_problem(delete(person, "payments"), 404, "workspace_not_found")
        assert "payments" not in slugs(person)
    assert_problem(key.get(URL), 401, "invalid_api_key")
    with db.transaction() as session:
        assert session.scalars(select(ApiKey.revoked_at)).one() is not None
        assert session.get(Workspace, made["id"]) is not None
    again = create(bob, "payments")
    assert again["id"] != made["id"]
    assert_problem(key.get(URL), 401, "invalid_api_key")
    [log] = admin.get("/api/v1/audit", entity_type="workspace", action="delete").json()["logs"]
    assert (log["entity_id"], log["metadata"]["slug"]) == (str(made["id"]), "payments")


def test_configs_of_a_deleted_workspace_are_gone_too(ada: Person, admin: Person):
    create(ada, "payments")
    ada.post("/config/update?workspace=payments", {"name": "billing", "config": {"a": 1}})
    assert "billing" in [one["name"] for one in admin.get("/config/list").json()["configs"]]
    assert delete(ada, "payments").status_code == 204
    for person in (ada, admin):
        answer = person.get("/config/get", service="billing", workspace="payments")
        assert_problem(answer, 404, "workspace_not_found")
    assert admin.get("/config/list").json()["configs"] == []


def test_who_lived_there_goes_home(client: TestClient, ada: Person, bob: Person):
    made = create(ada, "payments")
    give(ada, "payments", "bob", "editor")
    with db.transaction() as session:
        session.execute(update(User).where(User.id == bob.id).values(home_workspace_id=made["id"]))
    assert bob.get("/auth/me").json()["workspace"] == "payments"
    assert delete(ada, "payments").status_code == 204
    assert bob.get("/auth/me").json()["workspace"] == "bob"
    assert login(client, "bob").get("/auth/me").json()["workspace"] == "bob"


def test_creating_leaves_one_event(ada: Person):
    made = create(ada, "payments")
    [log] = ada.get("/api/v1/audit", entity_type="workspace").json()["logs"]
    assert (log["action"], log["entity_id"]) == ("create", str(made["id"]))
    assert log["metadata"]["workspace"] == "payments"
    with db.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Workspace)) == 3
