"""What keys for some flags cannot do, and what nobody can by way of another flag."""

import pytest
from fastapi.testclient import TestClient

from tests.client import Person, assert_problem, program
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, evaluate, make, put, revision

OWN = {"environments": [PRODUCTION], "flags": ["own*"]}


@pytest.fixture
def writer(ada: Person) -> Person:
    return program(ada, actions=["read", "write"], **OWN)


def needing(name: str) -> dict[str, list[dict[str, str]]]:
    return {"prerequisites": [{"flag": name, "variant": "on"}]}


def test_a_prerequisite_shows_no_flag_beyond_the_scope(ada: Person, writer: Person):
    make(ada, "hidden", target_users=["customer"])
    flag = make(writer, "own")
    before = revision(ada)
    for name in ("hidden", "there.is.none"):
        assert_problem(put(writer, flag, **needing(name)), 403, "outside_scope")
        body = {"name": "own2", "environment": PRODUCTION, "is_enabled": True, **needing(name)}
        assert_problem(writer.post(FLAGS, body), 403, "outside_scope")
        entry = {"flag": "own", "environment": PRODUCTION, "op": "update", **needing(name)}
        assert_problem(writer.post("/api/v1/changes", {"changes": [entry]}), 403, "outside_scope")
    assert revision(ada) == before
    ours = put(ada, flag, **needing("hidden"))
    assert ours.status_code == 200
    kept = put(writer, flag, description="what is needed already stays", **needing("hidden"))
    assert kept.status_code == 200
    assert put(ada, flag, prerequisites=[]).status_code == 200
    back = writer.post(f"{FLAGS}/{flag['id']}/rollback", {"version": 2})
    assert_problem(back, 403, "outside_scope")


def test_segments_are_for_keys_of_all_flags(ada: Person):
    assert ada.post(SEGMENTS, {"name": "beta", "included": ["bob"]}).status_code == 201
    some = program(ada, actions=["read", "write"], flags=["own*"])
    path = f"{SEGMENTS}/beta"
    for answer in (
        some.get(SEGMENTS),
        some.get(path),
        some.request("PUT", path, json={"included": ["eve"]}),
        some.request("DELETE", path),
        some.post(SEGMENTS, {"name": "own"}),
        some.post("/api/v1/changes", {"changes": [{"segment": "beta", "op": "delete"}]}),
    ):
        assert_problem(answer, 403, "outside_scope")
        assert "bob" not in answer.text
    assert ada.get(path).json()["included"] == ["bob"]


def test_a_key_of_no_service_reads_flags_alone(ada: Person):
    ada.update("billing", {"host": "inside"}, environment=PRODUCTION)
    ada.update("_global", {"host": "inside"})
    make(ada, "own")
    key = program(ada, services=[], **OWN)
    assert evaluate(key, "own")["value"] is True
    for path, place in (("/config/billing", {}), ("/config/get", {"service": "billing"})):
        answer = key.get(path, environment=PRODUCTION, **place)
        assert_problem(answer, 403, "outside_scope")
    for path in ("/config/list", "/api/v1/config", "/api/v1/configs"):
        assert "inside" not in key.get(path).text
    asked = {"environment": PRODUCTION, "config": {"app_id": "billing"}}
    assert_problem(key.post(f"{FLAGS}/evaluate/batch", asked), 403, "outside_scope")


def test_naming_flags_is_no_way_beyond_a_service(ada: Person):
    """With `*` a key of one service writes no flag; one that names some would."""
    flag = make(ada)
    parent = program(ada, actions=["read", "write", "admin"], services=["shop"])
    assert_problem(put(parent, flag, is_enabled=False), 403, "outside_scope")
    for flags in (["**"], ["checkout"], ["c*"]):
        scopes = {"actions": ["read", "write"], "services": ["shop"], "flags": flags}
        made = parent.post("/api/v1/api-keys", {"name": "child", "scopes": scopes})
        if flags == ["**"]:  # the same as `*`
            child = Person(parent.client, made.json()["key"], made.json()["id"], "child")
            assert_problem(put(child, flag, is_enabled=False), 403, "outside_scope")
        else:
            assert_problem(made, 403, "outside_scope")
    reading = {"actions": ["read"], "services": ["shop"], "flags": ["checkout"]}
    assert parent.post("/api/v1/api-keys", {"name": "r", "scopes": reading}).status_code == 201


def test_a_flag_out_of_reach_is_named(ada: Person, writer: Person):
    make(ada, "other")
    answer = writer.post(f"{FLAGS}/evaluate", {"flag_name": "other", "environment": PRODUCTION})
    assert "'other'" in assert_problem(answer, 403, "outside_scope")["detail"]


def test_explaining_does_not_repeat_the_context(ada: Person):
    condition = {"attribute": "a", "op": "exists", "negate": True}
    make(ada, rules=[{"when": {"any": [condition] * 200}, "serve": {"variant": "on"}}])
    for value, shown in (("x" * 100_000, "x" * 200), (["x" * 1000] * 100, "(list of 100)")):
        asked = {"environment": PRODUCTION, "context": {"a": value}}
        answer = ada.post(f"{FLAGS}/checkout/explain", asked)
        assert answer.status_code == 200
        assert len(answer.content) < 200_000
        assert shown in answer.text


def test_media_types_and_empty_headers(client: TestClient, ada: Person):
    make(ada)
    body = f'{{"flag_name": "checkout", "environment": "{PRODUCTION}"}}'
    bearer = ("Authorization", f"Bearer {ada.token}")
    for kind, status in (("application/x+json", 200), ("text/x+json", 415)):
        headers = [bearer, ("Content-Type", kind)]
        answer = client.post(f"{FLAGS}/evaluate", content=body, headers=headers)
        assert answer.status_code == status
    key = program(ada)
    twice = [("X-API-Key", ""), ("X-API-Key", key.token)]
    assert client.get("/config/list", headers=twice).status_code == 401
