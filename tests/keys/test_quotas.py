"""Limits that an operator sets: each says what it is, and nothing is changed."""

import pytest

from tests.client import Person, assert_problem


@pytest.mark.parametrize("variables", [{"MAX_KEYS_PER_DOCUMENT": "2"}])
def test_keys_of_a_document(ada: Person):
    ada.update("billing", {"a": 1, "b": 2})
    assert_problem(ada.update("billing", {"a": 1, "b": 2, "c": 3}), 422, "too_many_keys")
    more = {"key": "c", "value": 3, "app_id": "billing"}
    assert_problem(ada.post("/api/v1/configs", more), 422, "too_many_keys")
    patched = ada.request("PATCH", "/config/billing", json={"c": 3})
    assert_problem(patched, 422, "too_many_keys")
    assert ada.get("/config/get", service="billing").json()["version"] == 1
    assert ada.request("PATCH", "/config/billing", json={"b": None, "c": 3}).status_code == 200


@pytest.mark.parametrize("variables", [{"MAX_SERVICES_PER_WORKSPACE": "2"}])
def test_services_of_a_workspace(ada: Person, bob: Person):
    for name in ("a", "b", "_global"):
        assert ada.update(name, {"n": 1}).status_code == 200
    assert_problem(ada.update("c", {"n": 1}), 422, "too_many_services")
    change = {"changes": [{"service": name, "key": "k", "op": "set", "value": 1} for name in "acd"]}
    assert_problem(ada.post("/api/v1/changes", change), 422, "too_many_services")
    assert ada.get("/config/get", service="a").json()["version"] == 1
    services = ada.get("/api/v1/workspaces/ada/services").json()["services"]
    assert [service["name"] for service in services] == ["a", "b"]
    assert ada.update("b", {"n": 2}, environment="production").status_code == 200
    assert bob.update("c", {"n": 1}).status_code == 200


@pytest.mark.parametrize("variables", [{"MAX_DOCUMENT_BYTES": "1024"}])
def test_the_size_of_a_document_whoever_makes_it_grow(ada: Person):
    ada.update("billing", {"a": "x" * 900})
    more = {"key": "b", "value": "x" * 200, "app_id": "billing"}
    assert_problem(ada.post("/api/v1/configs", more), 422, "document_too_large")
    assert ada.get("/config/get", service="billing").json()["config"] == {"a": "x" * 900}


def test_the_name_of_a_key(ada: Person):
    assert ada.update("billing", {"k" * 255: 1}).status_code == 200
    assert_problem(ada.update("billing", {"k" * 256: 1}), 422, "key_name_too_long")
    assert ada.update("billing", {"k": {"k" * 256: 1}}).status_code == 200


def test_a_name_of_many_dots_is_no_trap(ada: Person):
    deep = {".".join("a" * 40_000): 1}
    ada.update("_global", {"x": deep})
    ada.update("billing", {"x": {"y": 2}})
    answer = ada.get("/config/billing", explain="true")
    assert answer.json()["config"] == {"x": {**deep, "y": 2}}
