"""One-time sharing, and destroying values."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.core import db
from tests.client import Person, assert_problem, program

PLAIN = "correct-horse-battery"
WRAP, UNWRAP = "/api/v1/secrets/wrap", "/api/v1/secrets/unwrap"


def wrap(person: Person, value=PLAIN, **more) -> dict:
    answer = person.post(WRAP, {"value": value, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def alarms(person: Person) -> list:
    logs = person.get("/api/v1/audit", action="read_secret").json()["logs"]
    return [one for one in logs if one["metadata"]["outcome"] == "alarm"]


@pytest.mark.parametrize("value", [PLAIN, {"a": [1, 2.50]}, None, 5], ids=repr)
def test_a_token_opens_once(ada: Person, client: TestClient, value):
    token = wrap(ada, value)["token"]
    answer = client.post(UNWRAP, json={"token": token})
    assert answer.status_code == 200
    assert (answer.json()["value"], answer.json()["created_by"]) == (value, "ada")
    assert alarms(ada) == []
    assert_problem(client.post(UNWRAP, json={"token": token}), 410, "wrapped_secret_opened")
    assert len(alarms(ada)) == 1


def test_its_time_passes(ada: Person, client: TestClient):
    token = wrap(ada, ttl_seconds=1)["token"]
    with db.transaction() as session:
        session.execute(text("UPDATE wrapped_secrets SET expires_at = now() - interval '1 s'"))
    for _ in range(2):
        answer = client.post(UNWRAP, json={"token": token})
        assert_problem(answer, 404, "wrapped_secret_not_found")


def test_unknown_tokens_are_not_found(client: TestClient):
    for token in ("csw_x", "x" * 200):
        answer = client.post(UNWRAP, json={"token": token})
        assert_problem(answer, 404, "wrapped_secret_not_found")


def test_the_token_is_shown_once(ada: Person):
    headers = {"Idempotency-Key": "k1"}
    first = ada.post(WRAP, {"value": PLAIN}, headers=headers).json()
    again = ada.post(WRAP, {"value": PLAIN}, headers=headers)
    assert first["token"]
    assert (again.headers["idempotency-replayed"], again.json()["token"]) == ("true", None)


def test_the_database_does_not_open_it(ada: Person):
    made = wrap(ada)
    with db.transaction() as session:
        row = session.execute(text("SELECT w::text FROM wrapped_secrets AS w")).scalar_one()
    assert PLAIN not in row
    assert made["token"] not in row


def test_readers_do_not_wrap(ada: Person):
    assert program(ada, actions=["read"]).post(WRAP, {"value": 1}).status_code == 403


# Destroying


def handle_of(person: Person, value: str = PLAIN) -> str:
    config = person.update("billing", {"a": {"$secret": value}}).json()["config"]
    return config["a"]["handle"]


def destroy(person: Person, handle: str, name: str = "a"):
    return person.post(f"/api/v1/secrets/{handle}/destroy", {"name": name})


def test_a_value_is_destroyed_for_good(ada: Person):
    handle = handle_of(ada)
    handle_of(ada, "another")
    answer = destroy(ada, handle)
    assert answer.status_code == 200
    assert destroy(ada, handle).json() == answer.json()
    with db.transaction() as session:
        row = session.execute(
            text("SELECT ciphertext, data_key_id FROM secrets WHERE handle = :h"), {"h": handle}
        ).one()
    assert tuple(row) == (None, None)
    old = ada.get("/config/get", service="billing", at=1, reveal=True).json()["config"]["a"]
    assert (old["$secret"], old["handle"]) == (None, handle)
    assert ada.get("/config/billing", at=1).json()["config"] == {"a": None}
    [event] = ada.get("/api/v1/audit", action="destroy").json()["logs"]
    assert (event["entity_id"], event["metadata"]["key"]) == (handle, "a")


def test_destroying_needs_the_name_and_a_value_out_of_use(ada: Person, bob: Person):
    handle = handle_of(ada)
    assert_problem(destroy(ada, handle), 409, "secret_in_use")
    [key] = ada.get("/api/v1/configs").json()["configs"]
    ada.request("PUT", f"/api/v1/configs/{key['id']}", json={"is_active": False})
    assert_problem(destroy(ada, handle), 409, "secret_in_use")
    ada.request("DELETE", f"/api/v1/configs/{key['id']}")
    assert_problem(destroy(ada, handle, "b"), 422, "name_mismatch")
    assert_problem(destroy(bob, handle), 404, "secret_not_found")
    assert_problem(destroy(ada, "sec_unknown"), 404, "secret_not_found")
    assert destroy(ada, handle).status_code == 200


def test_a_destroyed_value_does_not_come_back(ada: Person):
    handle = handle_of(ada)
    handle_of(ada, "another")
    destroy(ada, handle)
    answer = ada.post("/config/billing/rollback", {"version": 1})
    assert_problem(answer, 409, "secret_destroyed")
    old = ada.get("/config/get", service="billing", at=1).json()["config"]
    assert_problem(ada.update("billing", old), 409, "secret_destroyed")
    assert handle_of(ada) != handle
    assert ada.post("/api/v1/workspaces/ada/restore", {"at": 1}).status_code == 200
    assert ada.get("/config/billing").json()["config"] == {"a": None}
