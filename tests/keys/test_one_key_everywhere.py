"""One key has one id, one count of versions, one history, whichever surface touches it."""

from typing import Any

from tests.client import Person, assert_problem
from tests.keys.calls import (
    CONFIGS,
    ITEMS,
    change,
    delete,
    document,
    drop,
    fetch,
    head,
    history,
    item,
    key_of,
    kinds,
    make,
    put,
    roll_back,
    versions,
    write,
)

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def patch(person: Person, body: Any, headers: dict[str, str] = MERGE_PATCH):
    answer = person.request("PATCH", "/config/billing", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def at_document(person: Person, call: str) -> None:
    answer = person.request(
        "DELETE" if call == "delete" else "POST", f"/config/{call}", params={"service": "billing"}
    )
    assert answer.status_code == 200, answer.text


def test_every_surface_writes_the_same_key(ada: Person):
    ada.update("billing", {"n": 1})
    key = key_of(ada, "n")
    patch(ada, {"n": 2})
    patch(ada, [{"op": "replace", "path": "/n", "value": 3}], JSON_PATCH)
    assert ada.request("PUT", "/configs/billing", json={"data": {"n": 4}}).status_code == 200
    write(ada, key["id"], value=5)
    assert ada.request("PUT", f"{ITEMS}/{key['id']}", json={"value": 6}).status_code == 200
    change(ada, {"service": "billing", "key": "n", "op": "set", "value": 7})
    ada.post("/config/billing", {"config": {"n": 8}})
    ada.post("/config/billing/merge", {"base_version": 8, "config": {"n": 9}})
    changes = history(ada, key["id"])
    assert [one["new_value"] for one in changes] == list(range(1, 10))
    assert [one["version"] for one in changes] == list(range(1, 10))
    assert [one["value"] for one in versions(ada, key["id"])] == list(range(1, 10))
    now = key_of(ada, "n")
    assert (now["id"], now["version"], now["value"]) == (key["id"], 9, 9)
    seen = item(ada, "n").json()
    assert (seen["id"], seen["version"], seen["value"]) == (key["id"], 9, 9)
    got = ada.get("/config/get", service="billing").json()
    assert (got["version"], got["config"]) == (9, {"n": 9})
    assert ada.get("/configs/billing/versions").json() == list(range(1, 10))


def test_a_document_makes_changes_and_deletes_its_keys(ada: Person):
    ada.update("billing", {"stays": 1, "moves": 1, "goes": 1})
    ids = {name: key_of(ada, name)["id"] for name in ("stays", "moves", "goes")}
    ada.update("billing", {"stays": 1, "moves": 2, "comes": 1})
    assert kinds(ada, ids["stays"]) == ["created"]
    assert kinds(ada, ids["moves"]) == ["created", "updated"]
    assert kinds(ada, ids["goes"]) == ["created", "deleted"]
    assert kinds(ada, key_of(ada, "comes")["id"]) == ["created"]
    assert ada.get(CONFIGS).json()["total"] == 3
    revisions = {key["key"]: key["revision"] for key in ada.get(CONFIGS).json()["configs"]}
    assert revisions == {"stays": 1, "moves": 2, "comes": 2}


def test_a_key_makes_a_version_of_its_document(ada: Person):
    made = make(ada, "a", 1, message="first")
    make(ada, "b", 2)
    write(ada, made["id"], value=3)
    drop(ada, made["id"])
    found = ada.get("/config/versions", name="billing").json()["versions"]
    assert [(one["version"], one["config"]) for one in reversed(found)] == [
        (1, {"a": 1}),
        (2, {"a": 1, "b": 2}),
        (3, {"a": 3, "b": 2}),
        (4, {"b": 2}),
    ]
    assert found[-1]["message"] == "first"
    assert [one["action"] for one in found] == ["update", "update", "update", "create"]


def test_what_only_a_key_has_makes_no_version_of_the_document(ada: Person):
    made = make(ada)
    described = write(ada, made["id"], description="seconds", value_type="json")
    assert (described["version"], head(ada)) == (2, 2)
    assert ada.get("/config/get", service="billing").json()["version"] == 1


def test_equal_content_changes_nothing(ada: Person):
    made = make(ada, value={"x": 1, "y": [1]})
    ada.update("billing", {"timeout": {"y": [1], "x": 1}})
    patch(ada, {"timeout": {"x": 1}})
    change(ada, {"service": "billing", "key": "timeout", "op": "set", "value": {"y": [1], "x": 1}})
    ada.request("PUT", f"{ITEMS}/{made['id']}", json={"value": {"y": [1], "x": 1}})
    assert head(ada) == 1
    assert kinds(ada, made["id"]) == ["created"]


def test_description_and_type_survive_a_document(ada: Person):
    made = make(ada, value=1, value_type="json", description="what for")
    ada.update("billing", {"timeout": 2})
    key = key_of(ada, "timeout")
    assert (key["description"], key["value_type"], key["version"]) == ("what for", "json", 2)
    at_document(ada, "delete")
    ada.update("billing", {"timeout": 3})
    key = key_of(ada, "timeout")
    assert (key["id"], key["version"], key["description"]) == (made["id"], 4, "what for")


def test_deleted_and_made_again_it_counts_on(ada: Person):
    made = make(ada, value=1)
    drop(ada, made["id"])
    again = make(ada, value=1)
    assert (again["id"], again["version"]) == (made["id"], 3)
    patch(ada, {"timeout": None})
    assert_problem(ada.get(f"{CONFIGS}/{made['id']}"), 404, "key_not_found")
    ada.update("billing", {"timeout": 1})
    assert kinds(ada, made["id"]) == ["created", "deleted", "created", "deleted", "created"]
    assert key_of(ada, "timeout")["created_at"] == made["created_at"]


def test_a_document_goes_back_and_its_keys_with_it(ada: Person):
    ada.update("billing", {"a": 1, "b": 1})
    a, b = key_of(ada, "a")["id"], key_of(ada, "b")["id"]
    ada.update("billing", {"a": 2, "c": 1})
    c = key_of(ada, "c")["id"]
    assert ada.post("/config/billing/rollback", {"version": 1}).status_code == 200
    assert kinds(ada, a) == ["created", "updated", "rollback"]
    assert kinds(ada, b) == ["created", "deleted", "rollback"]
    assert versions(ada, c)[-1]["value"] is None
    newest = versions(ada, a)[-1]
    assert (newest["is_rollback"], newest["rollback_from_version"], newest["value"]) == (True, 2, 1)
    assert document(ada) == {"a": 1, "b": 1}


def test_a_document_is_deleted_and_restored_and_its_keys_with_it(ada: Person):
    ada.update("billing", {"a": 1, "b": None})
    a, b = key_of(ada, "a")["id"], key_of(ada, "b")["id"]
    at_document(ada, "delete")
    assert ada.get(CONFIGS).json()["total"] == 0
    for key_id in (a, b):
        assert_problem(put(ada, key_id, {"value": 2}), 404, "key_not_found")
        assert_problem(delete(ada, key_id), 404, "key_not_found")
    at_document(ada, "restore")
    assert (key_of(ada, "a")["id"], key_of(ada, "b")["id"]) == (a, b)
    assert [one["version"] for one in versions(ada, a)] == [1, 2, 3]
    assert [(one["old_value"], one["new_value"]) for one in history(ada, a)] == [
        (None, 1),
        (1, None),
        (None, 1),
    ]


def test_keys_of_other_levels_are_left_alone(ada: Person):
    wide, narrow = make(ada, "a", 1), make(ada, "a", 2, environment="staging")
    ada.update("billing", {"a": 3})
    assert kinds(ada, wide["id"]) == ["created", "updated"]
    assert kinds(ada, narrow["id"]) == ["created"]
    drop(ada, wide["id"])
    assert fetch(ada, environment="staging").json()["configs"] == {"a": 2}


def test_a_very_long_member_of_a_document_is_answered(ada: Person):
    for name in ("", "n" * 256, "a\nb"):
        assert ada.update("billing", {name: 1}).status_code in {200, 422}
    letters = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(8_000))
    answer = ada.update("billing", {letters: 1})
    assert answer.status_code in {200, 422}, answer.text


def test_inactive_is_as_if_absent_and_comes_back(ada: Person):
    make(ada, "n", "wide", app_id=None)
    made = make(ada, "n", "narrow", description="d")
    asleep = write(ada, made["id"], is_active=False)
    assert (asleep["is_active"], asleep["value"], asleep["version"]) == (False, "narrow", 2)
    assert document(ada) == {}
    assert ada.get("/config/billing").json()["config"] == {"n": "wide"}
    assert fetch(ada).json()["configs"] == {"n": "wide"}
    assert item(ada, "n").json()["value"] == "wide"
    assert ada.get(f"{CONFIGS}/{made['id']}").json() == asleep
    changed = write(ada, made["id"], value="new")
    assert (changed["is_active"], changed["value"]) == (False, "new")
    assert item(ada, "n").json()["value"] == "wide"
    awake = write(ada, made["id"], is_active=True)
    assert (awake["value"], awake["version"], awake["description"]) == ("new", 4, "d")
    assert (awake["id"], item(ada, "n").json()["value"]) == (made["id"], "new")
    assert kinds(ada, made["id"]) == ["created", "updated", "updated", "updated"]


def test_a_document_with_an_inactive_key_wakes_it(ada: Person):
    made = make(ada, "n", 1)
    make(ada, "m", 1)
    write(ada, made["id"], is_active=False)
    ada.update("billing", {"m": 2})
    assert ada.get(f"{CONFIGS}/{made['id']}").json()["version"] == 2
    ada.update("billing", {"m": 2, "n": 1})
    key = ada.get(f"{CONFIGS}/{made['id']}").json()
    assert (key["is_active"], key["version"], key["value"]) == (True, 3, 1)


def test_an_inactive_key_exists_and_can_be_deleted(ada: Person):
    made = make(ada, "n", 1)
    write(ada, made["id"], is_active=False)
    again = ada.post(CONFIGS, {"key": "n", "value": 2, "app_id": "billing"})
    assert_problem(again, 409, "key_exists")
    drop(ada, made["id"])
    assert kinds(ada, made["id"]) == ["created", "updated", "deleted"]
    back = make(ada, "n", 3)
    assert (back["id"], back["is_active"], back["version"]) == (made["id"], True, 4)


def test_a_rollback_goes_back_to_activity(ada: Person):
    made = make(ada, "n", 1)
    write(ada, made["id"], is_active=False)
    assert roll_back(ada, made["id"], 1).json()["is_active"] is True
    assert document(ada) == {"n": 1}
    assert roll_back(ada, made["id"], 2).json()["is_active"] is False
    assert document(ada) == {}


def test_deleting_a_document_deletes_its_inactive_keys(ada: Person):
    made = make(ada, "n", 1)
    make(ada, "m", 1)
    write(ada, made["id"], is_active=False)
    at_document(ada, "delete")
    assert ada.get(CONFIGS).json()["total"] == 0
    assert_problem(ada.get(f"{CONFIGS}/{made['id']}"), 404, "key_not_found")
    assert kinds(ada, made["id"])[-1] == "deleted"


def test_an_inactive_key_holds_its_environment_or_goes_with_it(ada: Person):
    ada.post("/environments", {"name": "qa"})
    made = make(ada, environment="qa")
    write(ada, made["id"], is_active=False)
    query = {"service": "billing", "environment": "qa"}
    ada.request("DELETE", "/config/delete", params=query)
    roll_back(ada, made["id"], 2)
    if ada.request("DELETE", "/environments/qa").status_code == 204:
        assert ada.get(CONFIGS).json()["total"] == 0
    else:
        drop(ada, made["id"])


def test_the_audit_tells_of_the_key_or_of_the_document(ada: Person):
    made = make(ada)
    write(ada, made["id"], value=1)
    drop(ada, made["id"])
    logs = ada.get("/api/v1/audit", entity_type="key").json()["logs"]
    acts = [log["action"] for log in logs if log["action"] != "read"]
    assert acts == ["delete", "update", "create"]
    assert {log["entity_id"] for log in logs if log["action"] != "read"} == {str(made["id"])}
    assert (
        ada.get("/api/v1/audit", entity_type="configuration", action="create").json()["logs"] == []
    )
    ada.update("other", {"a": 1})
    assert ada.get("/api/v1/audit", entity_type="key", action="create").json()["total"] == 1
