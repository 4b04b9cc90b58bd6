"""Services: listing and renaming."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.core import db
from app.models import Service, Workspace
from tests.client import Person, assert_problem, program
from tests.conftest import QueryRecorder

URL = "/api/v1/workspaces/ada/services"
NAMES = ["Billing", "a%b", "a_b", "acb", "billing", "billing-2", "web"]


def add(*names: str, slug: str = "ada") -> dict[str, int]:
    """Insert services; return their ids."""
    with db.transaction() as session:
        workspace = session.scalars(select(Workspace).where(Workspace.slug == slug)).one()
        made = [Service(workspace_id=workspace.id, name=name) for name in names]
        session.add_all(made)
        session.flush()
        return {one.name: one.id for one in made}


def listed(person: Person, **params: Any) -> list[str]:
    answer = person.get(URL, **params)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["services"]]


def rename(person: Person, name: str, new: Any):
    return person.request("PATCH", f"{URL}/{name}", json={"name": new})


def test_services_are_listed_by_name(ada: Person, bob: Person, query_recorder: QueryRecorder):
    with query_recorder() as none:
        assert listed(ada) == []
    ids = add("web", "billing", "Billing", "billing-2", "_odd")
    add("foreign", slug="bob")
    with query_recorder() as many:
        assert listed(ada) == ["Billing", "_odd", "billing", "billing-2", "web"]
    assert len(none) == len(many) <= 6
    first = ada.get(URL).json()["services"][0]
    assert first == {"id": ids["Billing"], "name": "Billing", "created_at": first["created_at"]}


def test_pages_go_by_name(ada: Person):
    add(*(f"s{number:02}" for number in range(7)))
    found, cursor = [], None
    for _ in range(3):
        page = ada.get(URL, limit=3, **({"cursor": cursor} if cursor else {})).json()
        found += [one["name"] for one in page["services"]]
        cursor = page["next_cursor"]
    assert found == [f"s{number:02}" for number in range(7)]
    assert cursor is None


def test_a_cursor_may_be_as_long_as_a_name(ada: Person):
    add("a" * 100, "b")
    page = ada.get(URL, limit=1).json()
    assert listed(ada, cursor=page["next_cursor"]) == ["b"]


@pytest.mark.parametrize(
    "cursor",
    ["x", "a b", "é", "====", "$$$$", urlsafe_b64encode(b"\xff").decode(), "AA==", "ab\ncd"],
    ids=repr,
)
def test_a_cursor_that_is_none(ada: Person, cursor: str):
    assert_problem(ada.get(URL, cursor=cursor), 422, "invalid_cursor")


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("bill", ["billing", "billing-2"]),
        ("a_", ["a_b"]),
        ("a%", ["a%b"]),
        ("", NAMES),
        ("%", []),
        ("\\", []),
        ("x", []),
    ],
)
def test_a_prefix_is_meant_literally(ada: Person, prefix: str, found: list[str]):
    add(*NAMES)
    assert listed(ada, prefix=prefix) == found


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*"], NAMES),
        (["billing"], ["billing"]),
        (["billing*"], ["billing", "billing-2"]),
        (["*2", "web"], ["billing-2", "web"]),
        (["a_b"], ["a_b"]),
        (["a*b"], ["a%b", "a_b", "acb"]),
        (["*i*g*"], ["Billing", "billing", "billing-2"]),
        (["_global"], []),
        (["nothing"], []),
    ],
    ids=repr,
)
def test_a_key_sees_the_services_that_it_covers(ada: Person, patterns: list[str], found: list[str]):
    add(*NAMES)
    key = program(ada, services=patterns)
    assert listed(key) == found
    assert listed(key, prefix="bill") == [name for name in found if name.startswith("bill")]


def test_renaming_keeps_id_and_grants(ada: Person, bob: Person):
    ids = add("billing", "web")
    named = program(ada, services=["web", "billing"])
    other = program(ada, services=["bill*"])
    answer = rename(ada, "billing", "invoices")
    assert answer.json()["id"] == ids["billing"]
    assert listed(ada) == ["invoices", "web"]
    assert listed(named) == ["invoices", "web"]
    assert listed(other) == []
    [log] = ada.get("/api/v1/audit", entity_type="service").json()["logs"]
    assert (log["action"], log["entity_id"]) == ("update", str(ids["billing"]))
    assert (log["metadata"]["before"], log["metadata"]["service"]) == ("billing", "invoices")


def test_a_renamed_service_keeps_its_history(ada: Person):
    made = ada.update("billing", {"a": 1}).json()
    ada.update("billing", {"a": 2})
    assert rename(ada, "billing", "invoices").status_code == 200
    assert ada.get("/config/get", service="billing").status_code == 404
    now = ada.get("/config/get", service="invoices").json()
    assert (now["id"], now["version"], now["config"]) == (made["id"], 2, {"a": 2})
    assert len(ada.version_ids("invoices")) == 2
    assert ada.update("billing", {"new": 1}).json()["id"] != made["id"]


def test_a_rename_touches_only_the_own_workspace(ada: Person, bob: Person):
    add("billing")
    add("billing", slug="bob")
    key = program(bob, services=["billing"])
    assert rename(ada, "billing", "invoices").status_code == 200
    answer = key.get("/api/v1/workspaces/bob/services").json()
    assert [one["name"] for one in answer["services"]] == ["billing"]


def test_renames_that_are_refused(client: TestClient, ada: Person, bob: Person):
    add("billing", "web")
    assert_problem(rename(ada, "billing", "web"), 409, "service_exists")
    for unknown in ("nothing", "_global", "Billing", "..x"):
        assert_problem(rename(ada, unknown, "new"), 404, "service_not_found")
    assert_problem(rename(bob, "billing", "new"), 404, "workspace_not_found")
    answer = client.patch(f"{URL}/billing", json={"name": "new"})
    assert_problem(answer, 401, "login_required")
    for role in ("viewer", "editor"):
        ada.request("PUT", "/api/v1/workspaces/ada/members/bob", json={"role": role})
        assert_problem(rename(bob, "billing", "new"), 403, "not_allowed")
        assert [one["name"] for one in bob.get(URL).json()["services"]] == ["billing", "web"]
    assert rename(ada, "billing", "billing").status_code == 200
    assert ada.get("/api/v1/audit", entity_type="service").json()["total"] == 0


@pytest.mark.parametrize("name", ["", "_global", "_x", "list", "..", "a b", "a" * 101, None, 5])
def test_names_that_no_service_may_have(ada: Person, name: Any):
    add("billing")
    assert_problem(rename(ada, "billing", name), 422, "validation_error")
    assert listed(ada) == ["billing"]


def test_a_key_renames_only_within_its_scopes(ada: Person):
    add("billing", "web")
    for scopes in (
        {"services": ["billing"]},
        {"services": ["new"]},
        {"services": ["billing", "new"], "environments": ["production"]},
    ):
        key = program(ada, actions=["admin"], **scopes)
        assert_problem(rename(key, "billing", "new"), 403, "outside_scope")
    key = program(ada, actions=["admin"], services=["billing", "n*"])
    assert rename(key, "billing", "new").status_code == 200
    assert_problem(rename(program(ada, actions=["write"]), "web", "x"), 403, "not_allowed")
