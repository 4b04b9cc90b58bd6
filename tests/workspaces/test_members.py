"""Members: who belongs to a workspace, in which role, and who decides that."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.core import db
from app.models import User
from tests.client import Person, assert_problem, program, register
from tests.conftest import QueryRecorder

URL = "/api/v1/workspaces/team/members"
ALL = ["read", "read_secrets", "write", "publish", "admin"]


@pytest.fixture
def team(ada: Person) -> Person:
    """Return the owner of a shared workspace."""
    assert ada.post("/api/v1/workspaces", {"slug": "team"}).status_code == 201
    return ada


def put(person: Person, username: str, role: Any):
    return person.request("PUT", f"{URL}/{username}", json={"role": role})


def remove(person: Person, username: str):
    return person.request("DELETE", f"{URL}/{username}")


def roles(person: Person) -> dict[str, str]:
    answer = person.get(URL)
    assert answer.status_code == 200, answer.text
    return {one["username"]: one["role"] for one in answer.json()["members"]}


def test_a_member_is_added_changed_and_removed(team: Person, bob: Person):
    assert_problem(bob.get(URL), 404, "workspace_not_found")
    added = put(team, "BOB", "viewer")
    assert added.json() == {
        "user_id": bob.id,
        "username": "bob",
        "email": "bob@example.com",
        "role": "viewer",
        "created_at": added.json()["created_at"],
    }
    assert team.get(f"{URL}/Bob").json() == added.json()
    changed = put(team, "bob", "editor").json()
    assert changed == {**added.json(), "role": "editor"}
    assert roles(bob) == {"ada": "owner", "bob": "editor"}
    assert put(team, "bob", "editor").json() == changed
    gone = remove(team, "bob")
    assert (gone.status_code, gone.content) == (204, b"")
    assert_problem(bob.get(URL), 404, "workspace_not_found")
    logs = team.get("/api/v1/audit", entity_type="member").json()["logs"]
    assert [log["action"] for log in logs] == ["delete", "update", "create"]
    assert {log["entity_id"] for log in logs} == {str(bob.id)}
    assert {log["metadata"]["workspace"] for log in logs} == {"team"}
    assert (logs[1]["metadata"]["before"], logs[1]["metadata"]["role"]) == ("viewer", "editor")


@pytest.mark.parametrize(
    ("role", "sees"), [("viewer", False), ("editor", False), ("admin", True), ("owner", True)]
)
def test_addresses_are_for_admins(team: Person, bob: Person, role: str, sees: bool):
    put(team, "bob", role)
    for one in (*bob.get(URL).json()["members"], bob.get(f"{URL}/ada").json()):
        assert one["email"] == (f"{one['username']}@example.com" if sees else None)


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_managing_is_for_admins(client: TestClient, team: Person, bob: Person, role: str):
    register(client, "eve")
    put(team, "bob", role)
    for answer in (put(bob, "eve", "viewer"), put(bob, "bob", "admin"), remove(bob, "ada")):
        assert_problem(answer, 403, "not_allowed")
    assert_problem(remove(bob, "eve"), 403, "not_allowed")
    for method in ("GET", "PUT", "DELETE"):
        answer = client.request(method, f"{URL}/ada", json={"role": "viewer"})
        assert_problem(answer, 401, "login_required")
    assert_problem(client.get(URL), 401, "login_required")


def test_what_is_not_there(team: Person, bob: Person):
    for answer in (team.get(f"{URL}/bob"), remove(team, "bob"), remove(team, "nobody")):
        assert_problem(answer, 404, "member_not_found")
    assert_problem(put(team, "nobody", "viewer"), 404, "user_not_found")
    assert_problem(put(team, "bob@example.com", "viewer"), 404, "user_not_found")


@pytest.mark.parametrize(
    "body", [{}, {"role": "king"}, {"role": None}, {"role": "viewer", "x": 1}, []], ids=repr
)
def test_a_role_that_is_none(team: Person, bob: Person, body: Any):
    answer = team.request("PUT", f"{URL}/bob", json=body)
    assert_problem(answer, 422, "validation_error")


def test_a_disabled_user_gets_no_role(team: Person, bob: Person, admin: Person):
    admin.request("PATCH", f"/auth/users/{bob.id}", json={"disabled": True})
    assert_problem(put(team, "bob", "viewer"), 409, "user_disabled")


def test_only_owners_make_and_unmake_owners(
    client: TestClient, team: Person, bob: Person, admin: Person
):
    register(client, "eve")
    put(team, "bob", "admin")
    assert_problem(put(bob, "bob", "owner"), 403, "owners_only")
    assert_problem(put(bob, "eve", "owner"), 403, "owners_only")
    assert_problem(put(bob, "ada", "viewer"), 403, "owners_only")
    assert_problem(remove(bob, "ada"), 403, "owners_only")
    assert put(bob, "eve", "admin").status_code == 200
    assert put(admin, "eve", "owner").status_code == 200
    assert put(team, "bob", "owner").status_code == 200
    assert remove(bob, "eve").status_code == 204
    assert roles(team) == {"ada": "owner", "bob": "owner"}


def test_the_last_owner_stays(team: Person, bob: Person, admin: Person):
    put(team, "bob", "admin")
    for answer in (put(team, "ada", "admin"), remove(team, "ada"), remove(admin, "ada")):
        assert_problem(answer, 409, "last_owner")
    put(team, "bob", "owner")
    assert put(team, "ada", "viewer").status_code == 200
    assert_problem(remove(bob, "bob"), 409, "last_owner")
    assert roles(team) == {"ada": "viewer", "bob": "owner"}


@pytest.mark.parametrize("how", ["remove", "demote", "leave"])
def test_two_owners_cannot_both_go_at_once(team: Person, bob: Person, how: str):
    for _ in range(5):
        put(team, "bob", "owner")
        barrier = Barrier(2)

        def end(who: Person, whom: str, barrier: Barrier = barrier) -> int:
            barrier.wait()
            answer = put(who, whom, "admin") if how == "demote" else remove(who, whom)
            return answer.status_code

        pairs = [(team, "bob"), (bob, "ada")] if how != "leave" else [(team, "ada"), (bob, "bob")]
        with ThreadPoolExecutor(2) as threads:
            codes = sorted(threads.map(lambda pair: end(*pair), pairs))
        assert codes[0] in {200, 204}
        assert codes[1] in {403, 404, 409}
        survivor = next(person for person in (team, bob) if person.get(URL).status_code == 200)
        owners = [name for name, role in roles(survivor).items() if role == "owner"]
        assert len(owners) == 1
        if owners == ["bob"]:
            assert put(bob, "ada", "owner").status_code == 200
            assert put(bob, "bob", "admin").status_code == 200


def test_a_member_may_leave_and_then_acts_at_home(team: Person, bob: Person):
    put(team, "bob", "viewer")
    with db.transaction() as session:
        workspace_id = team.get("/api/v1/workspaces/team").json()["id"]
        home = update(User).where(User.id == bob.id).values(home_workspace_id=workspace_id)
        session.execute(home)
    assert bob.get("/auth/me").json()["workspace"] == "team"
    assert remove(bob, "bob").status_code == 204
    assert bob.get("/auth/me").json()["workspace"] == "bob"
    assert bob.get("/api/v1/workspaces").status_code == 200


def test_a_person_stays_owner_of_the_personal_workspace(ada: Person, bob: Person, admin: Person):
    mine = "/api/v1/workspaces/ada/members"
    assert ada.request("PUT", f"{mine}/bob", json={"role": "owner"}).status_code == 200
    for person in (ada, bob, admin):
        assert_problem(person.request("DELETE", f"{mine}/ada"), 409, "workspace_fixed")
    answer = bob.request("PUT", f"{mine}/ada", json={"role": "viewer"})
    assert_problem(answer, 409, "workspace_fixed")
    assert bob.request("DELETE", f"{mine}/bob").status_code == 204


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        ({"actions": ALL}, True),
        ({"actions": [*ALL, "metrics"]}, True),
        *(({"actions": [a for a in ALL if a != one]}, False) for one in ALL if one != "admin"),
        ({"actions": ALL, "services": ["billing"]}, False),
        ({"actions": ALL, "services": ["*a", "_global"]}, False),
        ({"actions": ALL, "environments": ["production"]}, False),
    ],
    ids=repr,
)
def test_a_key_manages_members_only_if_it_may_do_everything(
    team: Person, bob: Person, scopes: dict[str, Any], may: bool
):
    key = program(team, workspace="team", **scopes)
    added = put(key, "bob", "editor")
    if may:
        assert added.status_code == 200
        assert_problem(put(key, "bob", "owner"), 403, "owners_only")
        assert_problem(remove(key, "ada"), 403, "owners_only")
        assert remove(key, "bob").status_code == 204
    else:
        assert_problem(added, 403, "outside_scope")
        put(team, "bob", "viewer")
        assert_problem(remove(key, "bob"), 403, "outside_scope")


def test_a_key_without_admin_manages_nothing(team: Person, bob: Person):
    key = program(team, workspace="team", actions=[a for a in ALL if a != "admin"])
    assert_problem(put(key, "bob", "viewer"), 403, "not_allowed")
    assert_problem(remove(key, "ada"), 403, "not_allowed")
    assert {one["email"] for one in key.get(URL).json()["members"]} == {None}


def test_the_list_has_pages_and_costs_the_same(
    client: TestClient, team: Person, query_recorder: QueryRecorder
):
    with query_recorder() as few:
        assert roles(team) == {"ada": "owner"}
    for number in range(4):
        register(client, f"user{number}")
        put(team, f"user{number}", "viewer")
    with query_recorder() as many:
        assert len(roles(team)) == 5
    assert len(many) == len(few) <= 6
    first = team.get(URL, limit=3).json()
    rest = team.get(URL, limit=3, cursor=first["next_cursor"]).json()
    assert [len(first["members"]), len(rest["members"]), rest["next_cursor"]] == [3, 2, None]
    assert_problem(team.get(URL, cursor="x"), 422, "invalid_cursor")
