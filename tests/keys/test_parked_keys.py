"""Keys that are inactive, through everything that may happen around them."""

import pytest

from tests.client import Person, assert_problem


@pytest.fixture
def parked(ada: Person) -> int:
    """Return the id of a key of service `a` in production with value 1, parked at revision 2."""
    made = ada.post(
        "/api/v1/configs", {"key": "k", "value": 1, "app_id": "a", "environment": "production"}
    )
    key_id: int = made.json()["id"]
    assert change(ada, key_id, is_active=False)["revision"] == 2
    return key_id


def change(person: Person, key_id: int, **body: object) -> dict:
    answer = person.request("PUT", f"/api/v1/configs/{key_id}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(person: Person, key_id: int) -> tuple:
    key = person.get(f"/api/v1/configs/{key_id}").json()
    return key["value"], key["is_active"], key["version"]


def test_a_restore_brings_a_parked_value_back(ada: Person, parked: int):
    change(ada, parked, value=2)
    answer = ada.post("/api/v1/workspaces/ada/restore", {"at": 2})
    assert answer.json()["revision"] == 4
    assert state(ada, parked) == (1, False, 4)


def test_a_rollback_to_the_same_parked_value_is_a_version(ada: Person, parked: int):
    ada.post(f"/api/v1/versions/rollback/{parked}", {"target_version": 2})
    assert state(ada, parked) == (1, False, 3)


def test_a_parked_key_without_a_document_is_restored_and_holds_its_environment(
    ada: Person, parked: int
):
    ada.request("DELETE", "/config/delete", params={"service": "a", "environment": "production"})
    assert_problem(ada.get(f"/api/v1/configs/{parked}"), 404, "key_not_found")
    answer = ada.post(f"/api/v1/versions/rollback/{parked}", {"target_version": 2})
    assert (answer.json()["is_active"], answer.json()["revision"]) == (False, 4)
    refused = ada.request("DELETE", "/environments/production")
    assert_problem(refused, 409, "environment_in_use")
    ada.update("a", {"z": 1}, environment="production")
    ada.request("DELETE", f"/api/v1/configs/{parked}")
    assert ada.post("/api/v1/workspaces/ada/restore", {"at": 4}).json()["revision"] == 7
    assert state(ada, parked)[:2] == (1, False)
    missing = ada.get("/config/get", service="a", environment="production")
    assert_problem(missing, 404, "config_not_found")


def test_setting_or_unsetting_a_parked_key_wakes_it(ada: Person, parked: int):
    level = {"service": "a", "environment": "production", "key": "k"}
    ada.post("/api/v1/changes", {"changes": [{**level, "op": "set", "value": 5}]})
    assert state(ada, parked)[:2] == (5, True)
    change(ada, parked, is_active=False)
    ada.update("_global", {"k": 0})
    ada.post("/api/v1/changes", {"changes": [{**level, "op": "unset"}]})
    assert ada.get("/config/a", environment="production").json()["config"] == {}


def test_a_new_key_of_an_old_name_has_its_own_type(ada: Person):
    made = ada.post("/api/v1/configs", {"key": "k", "value": None, "app_id": "a"}).json()
    ada.request("DELETE", f"/api/v1/configs/{made['id']}")
    again = ada.post("/api/v1/configs", {"key": "k", "value": 5, "app_id": "a"}).json()
    assert (again["id"], again["value_type"], again["version"]) == (made["id"], "number", 3)


def test_the_past_has_its_own_environments(ada: Person):
    ada.post("/environments", {"name": "qa"})
    ada.update("a", {"n": 1}, environment="qa")
    ada.request("DELETE", "/config/delete", params={"service": "a", "environment": "qa"})
    assert ada.request("DELETE", "/environments/qa").status_code == 204
    assert ada.get("/config/get", service="a", environment="qa", at=2).json()["config"] == {"n": 1}
    assert ada.get("/config/a", environment="qa", at=2).json()["config"] == {"n": 1}
    assert len(ada.get("/config/versions", name="a", environment="qa").json()["versions"]) == 2
    assert_problem(ada.get("/config/a", environment="qa"), 422, "unknown_environment")
    ada.update("a", {"n": 0})
    ada.post("/environments", {"name": "later"})
    assert_problem(ada.get("/config/a", environment="later", at=5), 422, "unknown_environment")
