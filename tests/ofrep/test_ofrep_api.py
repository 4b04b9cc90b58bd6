"""The protocol's single and bulk evaluation, as its clients need them."""

import pytest
from starlette.testclient import TestClient

from tests.client import Person
from tests.flags.calls import PRODUCTION, make, put

SINGLE, BULK = "/ofrep/v1/evaluate/flags/", "/ofrep/v1/evaluate/flags"


def ask(person: Person, key: str, context: object = None, **query: str):
    query = {"environment": PRODUCTION, **query}
    body = {} if context is None else {"context": context}
    return person.request("POST", SINGLE + key, json=body, params=query)


def ask_all(person: Person, context: object = None, headers: dict | None = None, **query: str):
    query = {"environment": PRODUCTION, **query}
    body = {} if context is None else {"context": context}
    return person.request("POST", BULK, json=body, params=query, headers=headers or {})


def half(on: str, off: str) -> list:
    split = [{"variant": on, "weight": 50}, {"variant": off, "weight": 50}]
    return [{"id": "half", "serve": {"split": split}}]


def test_every_type_as_it_was_written(client: TestClient, ada: Person):
    for name, kind, value in [
        ("text", "string", "grün"),
        ("whole", "number", 3),
        ("fraction", "number", 3.0),
        ("object", "object", {"a": [1, 2.50, None]}),
        ("list", "object", []),
    ]:
        make(ada, name, type=kind, variants={"v": value})
        answer = ask(ada, name)
        assert answer.status_code == 200
        assert answer.json()["value"] == value
        assert type(answer.json()["value"]) is type(value)
        assert (answer.json()["key"], answer.json()["variant"]) == (name, "v")
    make(ada, "mixed", type="number", variants={"one": 1, "more": 1.5}, default_variant="one")
    assert '"value":1.0,' in ask(ada, "mixed").text


def test_every_reason(client: TestClient, ada: Person):
    make(ada, "plain")
    make(ada, "off", is_enabled=False)
    make(ada, "some", target_users=["grace"], rollout_percentage=0)
    make(ada, "ruled", rules=[{"id": "r", "when": pro(), "serve": {"variant": "on"}}])
    make(ada, "needs", prerequisites=[{"flag": "off", "variant": "on"}])
    grace = {"targetingKey": "grace", "plan": "pro"}
    found = {one["key"]: one for one in ask_all(ada, grace).json()["flags"]}
    assert {key: (one["reason"], one["value"]) for key, one in found.items()} == {
        "plain": ("STATIC", True),
        "off": ("DISABLED", False),
        "some": ("TARGETING_MATCH", True),
        "ruled": ("TARGETING_MATCH", True),
        "needs": ("TARGETING_MATCH", False),
    }
    assert found["some"]["metadata"]["reason"] == "user_targeted"
    assert found["ruled"]["metadata"]["rule_id"] == "r"
    assert found["needs"]["metadata"]["reason"] == "prerequisite_failed"
    assert ask(ada, "some", {"targetingKey": "ada"}).json()["reason"] == "SPLIT"
    assert ask(ada, "ruled", {"plan": "free"}).json()["reason"] == "DEFAULT"
    for key, one in found.items():
        assert ask(ada, key, grace).json() == one


def pro() -> dict:
    return {"attribute": "plan", "op": "equals", "value": "pro"}


@pytest.mark.parametrize("key", ["nothing", "a/b", "ü", "a%0Ab", "x" * 300])
def test_unknown_flags(client: TestClient, ada: Person, key: str):
    answer = ask(ada, key)
    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert {"key", "errorDetails"} < answer.json().keys()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b'{"context": {"a": NaN}}', "PARSE_ERROR"),
        (b'{"context": ' + b'{"a":' * 70 + b"1" + b"}" * 71, "PARSE_ERROR"),
        (b'{"context": {"a": 1, "a": 2}}', "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b'{"context": []}', "INVALID_CONTEXT"),
        (b'{"context": "ada"}', "INVALID_CONTEXT"),
    ],
)
def test_bad_bodies(client: TestClient, ada: Person, body: bytes, code: str):
    make(ada, "plain")
    for path, key in ((SINGLE + "plain", "plain"), (BULK, None)):
        answer = ada.request("POST", path, content=body, params={"environment": PRODUCTION})
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
        assert answer.json().get("key") == key
        assert answer.json()["errorDetails"]
    empty = ada.request("POST", SINGLE + "plain", params={"environment": PRODUCTION})
    assert empty.status_code == 200


@pytest.mark.parametrize("unit", [None, [1], {"a": 1}, True, 1.5])
def test_without_a_unit_only_a_split_fails(client: TestClient, ada: Person, unit: object):
    make(ada, "split", rules=half("on", "off"))
    make(ada, "plain")
    context = {} if unit is None else {"targetingKey": unit}
    answer = ask(ada, "split", context)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "TARGETING_KEY_MISSING")
    assert ask(ada, "plain", context).status_code == 200
    assert ask(ada, "split", {"targetingKey": 7}).json()["reason"] == "SPLIT"
    many = {one["key"]: one for one in ask_all(ada, context).json()["flags"]}
    assert many["split"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert many["plain"]["value"] is True


def test_the_environment_is_that_of_the_key(client: TestClient, ada: Person):
    make(ada, "plain")
    body = {"name": "web", "scopes": {"actions": ["read"], "environments": [PRODUCTION]}}
    key = {"X-API-Key": ada.post("/api/v1/api-keys", body).json()["key"]}
    assert client.post(SINGLE + "plain", json={}, headers=key).json()["value"] is True
    assert len(client.post(BULK, json={}, headers=key).json()["flags"]) == 1
    wide = ask(ada, "plain", environment="nowhere")
    assert (wide.status_code, wide.json()["errorCode"]) == (400, "GENERAL")
    unnamed = ada.request("POST", SINGLE + "plain", json={})
    assert unnamed.status_code == 400
    assert "environment" in unnamed.json()["errorDetails"]
    other = client.post(f"{SINGLE}plain?environment=staging", json={}, headers=key)
    assert other.status_code == 403


def test_a_key_gets_the_flags_that_it_is_for(client: TestClient, ada: Person):
    make(ada, "web.a")
    make(ada, "secret")
    scopes = {"actions": ["read"], "environments": [PRODUCTION], "flags": ["web.*"]}
    made = ada.post("/api/v1/api-keys", {"name": "web", "scopes": scopes}).json()
    key = {"X-API-Key": made["key"]}
    assert [one["key"] for one in client.post(BULK, json={}, headers=key).json()["flags"]] == [
        "web.a"
    ]
    assert client.post(SINGLE + "secret", json={}, headers=key).status_code == 404


def test_a_tag_covers_flags_and_context(client: TestClient, ada: Person):
    flag = make(ada, "plain")
    first = ask_all(ada, {"targetingKey": "ada"})
    etag = first.headers["etag"]
    again = ask_all(ada, {"targetingKey": "ada"}, {"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert ask_all(ada, {"targetingKey": "bob"}, {"If-None-Match": etag}).status_code == 200
    put(ada, flag, is_enabled=False)
    changed = ask_all(ada, {"targetingKey": "ada"}, {"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.json()["flags"][0]["value"] is False
    assert changed.json()["eventStreams"] == first.json()["eventStreams"]
