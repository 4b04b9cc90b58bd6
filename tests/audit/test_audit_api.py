"""The audit, as those see it who may."""

import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core import db
from app.core.settings import Settings
from app.formats import json
from app.models import (
    Config,
    Environment,
    Event,
    Key,
    KeyVersion,
    Kind,
    Member,
    Object,
    Revision,
    Version,
    Workspace,
)
from app.outbox.recorder import recorder
from tests.client import PASSWORD, Person, assert_problem, program
from tests.conftest import QueryRecorder

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


def workspace_id_of(session: Session, slug: str) -> int:
    return session.scalars(select(Workspace.id).where(Workspace.slug == slug)).one()


def add_revision(session: Session, workspace_id: int, n: int) -> None:
    session.add(
        Revision(
            workspace_id=workspace_id,
            n=n,
            at=func.clock_timestamp(),
            actor_name="ada",
            request_id="test",
        )
    )
    session.flush()


def add_event(session: Session, workspace_id: int, resource_id: int, **values: Any) -> None:
    session.add(
        Event(
            workspace_id=workspace_id,
            resource_id=str(resource_id),
            outcome="success",
            actor_name="ada",
            request_id="test",
            **values,
        )
    )
    session.flush()


def add_key(session: Session, workspace_id: int, name: str, values: dict[int, str | None]) -> None:
    """Insert a key with these versions, each with its event."""
    one = Object(workspace_id=workspace_id, kind=Kind.CONFIG, version=1, revision=1)
    session.add(one)
    session.flush()
    session.add(Config(id=one.id, workspace_id=workspace_id))
    session.flush()
    known = {"value_type": "string", "revision": 1}
    made = Key(
        workspace_id=workspace_id,
        config_id=one.id,
        name=name,
        version=max(values),
        created_at=func.now(),
        created_by="ada",
        updated_at=func.now(),
        updated_by="ada",
        **known,
    )
    session.add(made)
    session.flush()
    for version, value in values.items():
        session.add(
            KeyVersion(
                workspace_id=workspace_id,
                key_id=made.id,
                version=version,
                action="update",
                value=value,
                description="",
                is_active=True,
                **known,
            )
        )
        add_event(
            session,
            workspace_id,
            made.id,
            action="update",
            resource_type="key",
            version=version,
            detail={"key": name},
        )


def test_changes_of_a_key_name_it_and_mask_its_value(ada: Person, query_recorder: QueryRecorder):
    with db.transaction() as session:
        workspace_id = workspace_id_of(session, "ada")
        add_revision(session, workspace_id, 1)
        values = {1: f'"{CANARY}"', 2: '"b"', 3: None, 4: '"c"', 6: '"d"'}
        add_key(session, workspace_id, "a/b~c", values)
    with query_recorder() as one:
        logs(ada, entity_type="key", page_size=1)
    with query_recorder() as all_of_them:
        found = [log["changes"] for log in logs(ada, entity_type="key")]
    assert len(one) == len(all_of_them) <= 6
    assert found[0] is None  # version 5 has been pruned
    assert {change["path"] for [change] in found[1:]} == {"/a~1b~0c"}
    assert [(change["op"], change["old"], change["new"]) for [change] in found[1:]] == [
        ("add", None, "•••"),
        ("remove", "•••", None),
        ("replace", "•••", "•••"),
        ("add", None, "•••"),
    ]
    assert CANARY not in ada.get("/api/v1/audit", entity_type="key").text


def test_changes_of_an_environment_are_compared(ada: Person):
    with db.transaction() as session:
        workspace_id = workspace_id_of(session, "ada")
        add_revision(session, workspace_id, 1)
        staging = session.scalars(
            select(Environment.id).where(
                Environment.workspace_id == workspace_id, Environment.name == "staging"
            )
        ).one()
        content = {"name": "staging", "description": "", "protected": True}
        session.add(
            Version(
                workspace_id=workspace_id,
                object_id=staging,
                version=2,
                revision=1,
                action="update",
                content=json.dumps(content),
            )
        )
        place = {"action": "update", "resource_type": "environment", "version": 2}
        add_event(session, workspace_id, staging, **place)
    [log] = logs(ada, entity_type="environment")
    assert [(one["path"], one["op"]) for one in log["changes"]] == [("/protected", "replace")]


def test_a_key_with_admin_sees_its_workspace(ada: Person, bob: Person):
    key = program(ada, actions=["admin"])
    program(bob, actions=["admin"])
    confined = program(ada, actions=["admin"], services=["billing"])
    assert_problem(confined.get("/api/v1/audit"), 403, "outside_scope")
    mine = logs(key)
    assert {log["entity_type"] for log in mine} == {"api_key"}
    assert {log["metadata"]["workspace"] for log in mine} == {"ada"}
    assert key.get(f"/api/v1/audit/{mine[0]['id']}").json() == mine[0]
    for foreign in logs(bob):
        answer = key.get(f"/api/v1/audit/{foreign['id']}")
        assert_problem(answer, 404, "log_not_found")
    assert logs(key, action="read") == []
    assert logs(key, user_id=bob.id) == []


def test_other_keys_see_nothing(ada: Person):
    key = program(ada, actions=["read", "read_secrets", "write", "publish", "metrics"])
    assert_problem(key.get("/api/v1/audit"), 403, "not_allowed")
    assert_problem(key.get("/api/v1/audit/1"), 403, "not_allowed")


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


def test_times_may_have_any_offset(ada: Person):
    revision = ada.update("billing", {"a": 1}).json()["revision"]
    early, late = "2001-01-01T00:00:00+21:54", "2101-01-01T00:00:00-23:59"
    found = ada.request("GET", "/api/v1/audit", params={"from": early, "to": late})
    assert found.status_code == 200
    assert found.json()["total"] > 0
    assert ada.get("/config/billing", at=early).json()["code"] == "at_out_of_range"
    assert ada.get("/config/billing", at="0001-01-01T00:00:00+21:54").status_code == 422
    assert ada.get("/config/billing", at=revision).status_code == 200
    body = {"name": "k", "expires_at": late}
    assert ada.post("/api/v1/api-keys", body).status_code == 201
