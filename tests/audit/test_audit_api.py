"""The audit, as those see it who may."""

import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.core import db
from app.core.settings import Settings
from app.models import Member, Workspace
from app.outbox.recorder import recorder
from tests.client import PASSWORD, Person, assert_problem

CANARY = "canary-value-8472"


def logs(person: Person, **params: Any) -> list[dict[str, Any]]:
    answer = person.get("/api/v1/audit", **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["logs"]


def test_everybody_sees_the_own_acts_and_an_admin_all(ada: Person, bob: Person, admin: Person):
    ada.update("billing", {"a": 1})
    bob.update("secret", {"b": 1})
    assert [log["action"] for log in logs(ada)] == ["create", "login", "register"]
    assert {log["user_id"] for log in logs(ada)} == {ada.id}
    assert {log["user_id"] for log in logs(bob)} == {bob.id}
    assert logs(ada, user_id=bob.id) == []
    assert {ada.id, bob.id} <= {log["user_id"] for log in logs(admin)}
    foreign = logs(bob)[0]["id"]
    assert_problem(ada.get(f"/api/v1/audit/{foreign}"), 404, "log_not_found")
    assert_problem(ada.get("/api/v1/audit/999999"), 404, "log_not_found")
    assert bob.get(f"/api/v1/audit/{foreign}").json() == logs(bob)[0]
    assert admin.get(f"/api/v1/audit/{foreign}").json()["user_id"] == bob.id


@pytest.mark.parametrize(("role", "sees"), [("viewer", 0), ("editor", 0), ("admin", 1)])
def test_workspace_admins_see_their_workspace(ada: Person, bob: Person, role: str, sees: int):
    ada.update("billing", {"a": 1})
    with db.transaction() as session:
        workspace = session.scalars(select(Workspace).where(Workspace.slug == "ada")).one()
        session.add(Member(workspace_id=workspace.id, user_id=bob.id, role=role))
    assert len(logs(bob, user_id=ada.id)) == sees


def test_nobody_else_sees_anything(client: TestClient):
    assert_problem(client.get("/api/v1/audit"), 401, "login_required")
    assert_problem(client.get("/api/v1/audit/1"), 401, "login_required")


def test_filters_and_pages(ada: Person):
    ada.update("one", {"a": 1})
    made = ada.update("two", {"a": 1}, environment="production").json()
    ada.update("two", {"a": 2}, environment="production")
    assert [log["action"] for log in logs(ada, entity_type="configuration")] == [
        "update",
        "create",
        "create",
    ]
    assert len(logs(ada, app_id="two")) == 2
    assert len(logs(ada, environment="production")) == 2
    assert len(logs(ada, entity_type="configuration", entity_id=made["id"])) == 2
    assert [log["app_id"] for log in logs(ada, action="update")] == ["two"]
    assert logs(ada, app_id="tw") == []
    middle = logs(ada, app_id="one")[0]["timestamp"]
    assert {log["app_id"] for log in logs(ada, **{"from": middle})} == {"one", "two"}
    assert "two" not in {log["app_id"] for log in logs(ada, to=middle)}
    pages = [
        ada.get("/api/v1/audit", entity_type="configuration", page=page, page_size=2).json()
        for page in (1, 2, 3)
    ]
    assert [(len(page["logs"]), page["total"], page["page"]) for page in pages] == [
        (2, 3, 1),
        (1, 3, 2),
        (0, 3, 3),
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"action": "dance"},
        {"entity_type": "cat"},
        {"page": 0},
        {"page_size": 501},
        {"page_size": 0},
        {"page": 10_000, "page_size": 500},
        {"user_id": "x"},
        {"user_id": 2**53},
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"limit": 5},
    ],
    ids=repr,
)
def test_bad_questions(ada: Person, query: dict[str, Any]):
    assert ada.get("/api/v1/audit", **query).status_code == 422
    assert_problem(ada.get("/api/v1/audit/x"), 422, "validation_error")
    assert_problem(ada.get(f"/api/v1/audit/{2**63}"), 422, "validation_error")


def test_changes_name_paths_and_mask_values(ada: Person):
    ada.update("billing", {"keep": 1, "old": CANARY, "deep": {"a/b": CANARY}})
    ada.update("billing", {"keep": 1, "new": CANARY, "deep": {"a/b": "other"}})
    found = {one["path"]: one for one in logs(ada, action="update")[0]["changes"]}
    assert set(found) == {"/old", "/new", "/deep/a~1b"}
    assert (found["/old"]["op"], found["/old"]["new"]) == ("remove", None)
    assert (found["/new"]["op"], found["/new"]["old"]) == ("add", None)
    assert found["/deep/a~1b"]["op"] == "replace"
    assert found["/deep/a~1b"]["old"] == found["/deep/a~1b"]["new"] == "•••"


def test_no_value_leaves_by_the_audit(ada: Person, admin: Person, settings: Settings):
    ada.update("billing", {"password": CANARY})
    ada.update("billing", {"password": f"{CANARY}2"})
    ada.get("/config/billing")
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    ada.request("POST", "/config/restore", params={"service": "billing"})
    recorder.flush()
    file = Path(settings.audit_log_file)
    until = time.monotonic() + 15
    while time.monotonic() < until and not (file.exists() and "restore" in file.read_text()):
        time.sleep(0.1)
    written = file.read_text()
    assert written.count('"configuration"') >= 4
    for secret in (CANARY, PASSWORD, ada.token):
        assert secret not in written
        assert secret not in admin.get("/api/v1/audit").text
        assert secret not in admin.get("/api/v1/audit", action="read").text


def test_reads_are_counted(ada: Person, bob: Person):
    ada.update("billing", {"a": 1})
    ada.update("billing-2", {"a": 1})
    ada.update("billing", {"a": 1}, environment="production")
    for _ in range(3):
        ada.get("/config/billing")
    ada.get("/config/get", service="billing", environment="production")
    ada.get("/config/billing-2")
    recorder.flush()
    whole = [
        log for log in logs(ada, action="read", app_id="billing") if log["environment"] is None
    ]
    assert sum(log["metadata"]["count"] for log in whole) == 3
    assert {log["app_id"] for log in logs(ada, action="read", app_id="billing")} == {"billing"}
    in_production = logs(ada, action="read", environment="production")
    assert [log["app_id"] for log in in_production] == ["billing"]
    assert logs(ada, action="read", entity_id="77") == []
    assert logs(bob, action="read") == []
    assert [log for log in logs(ada) if log["action"] == "read"] == []


def test_refusals_are_recorded_singly_and_then_counted(client: TestClient, admin: Person):
    while time.time() % 60 > 50:
        time.sleep(0.5)
    for _ in range(25):
        assert client.get("/config/list").status_code == 401
    recorder.flush()
    found = logs(admin, action="refused")
    assert len(found) == 20
    assert {log["metadata"]["code"] for log in found} == {"login_required"}
    assert {log["metadata"]["path"] for log in found} == {"/config/list"}
    assert {log["ip_address"] for log in found} == {"testclient"}


def test_a_refusal_names_whom_it_met(ada: Person, admin: Person):
    assert ada.get("/auth/users").status_code == 403
    recorder.flush()
    [mine] = logs(ada, action="refused")
    assert (mine["user_id"], mine["metadata"]["actor"]) == (ada.id, "ada")
    assert mine["metadata"]["code"] == "admins_only"
