"""What a key may hold, and what its type says of it."""

from typing import Any

from tests.client import Person, assert_problem
from tests.keys.calls import CONFIGS, ITEMS, document, head, item, make, put, write

TYPES: list[tuple[Any, str]] = [
    ("x", "string"),
    ("", "string"),
    ("30", "string"),
    (30, "number"),
    (-0.5, "number"),
    (0, "number"),
    (True, "boolean"),
    (False, "boolean"),
    (None, "json"),
    ({}, "json"),
    ([], "json"),
    ({"a": [None]}, "json"),
]


def test_the_type_is_inferred(ada: Person):
    for number, (value, value_type) in enumerate(TYPES):
        made = make(ada, f"k{number}", value)
        assert (made["value"], made["value_type"]) == (value, value_type)
        assert type(made["value"]) is type(value)


def test_a_type_that_agrees_is_taken_and_json_takes_all(ada: Person):
    for number, (value, value_type) in enumerate(TYPES):
        assert make(ada, f"k{number}", value, value_type=value_type)["value_type"] == value_type
        assert make(ada, f"j{number}", value, value_type="json")["value_type"] == "json"


def test_a_type_that_disagrees_is_refused(ada: Person):
    made = make(ada, value=1)
    for value, value_type in TYPES:
        for wrong in {"string", "number", "boolean"} - {value_type}:
            body = {"key": "a", "value": value, "value_type": wrong, "app_id": "billing"}
            assert_problem(ada.post(CONFIGS, body), 422, "value_type_mismatch")
            body = {"value": value, "value_type": wrong}
            assert_problem(put(ada, made["id"], body), 422, "value_type_mismatch")
    assert_problem(put(ada, made["id"], {"value_type": "string"}), 422, "value_type_mismatch")
    assert head(ada) == 1


def test_the_type_follows_a_value_that_does_not_fit_it(ada: Person):
    made = make(ada, value=1)
    for value, value_type in (("x", "string"), (True, "boolean"), (None, "json"), (2, "json")):
        assert write(ada, made["id"], value=value)["value_type"] == value_type
    assert write(ada, made["id"], value_type="number")["value_type"] == "number"
    ada.update("billing", {"timeout": "text"})
    assert ada.get(f"{CONFIGS}/{made['id']}").json()["value_type"] == "string"


def test_null_is_a_value_and_absence_is_none(ada: Person):
    made = make(ada, value=1)
    assert write(ada, made["id"], description="d")["value"] == 1
    nulled = write(ada, made["id"], value=None)
    assert (nulled["value"], nulled["value_type"], nulled["version"]) == (None, "json", 3)
    assert document(ada) == {"timeout": None}
    assert ada.get(f"{CONFIGS}/{made['id']}").status_code == 200
    answer = ada.request("PUT", f"{ITEMS}/{made['id']}", json={"description": "e"})
    assert (answer.json()["value"], answer.json()["version"]) == (None, 4)


def test_null_elsewhere_is_refused(ada: Person):
    made = make(ada)
    for name in ("value_type", "description", "is_encrypted", "is_active"):
        answer = put(ada, made["id"], {name: None})
        assert_problem(answer, 422, "validation_error")
    for name in ("description", "is_encrypted"):
        answer = ada.request("PUT", f"{ITEMS}/{made['id']}", json={name: None})
        assert_problem(answer, 422, "validation_error")
    assert head(ada) == 1


def test_unknown_members_of_an_update_are_refused(ada: Person):
    made = make(ada)
    for name in ("key", "app_id", "environment", "version", "id", "workspace", "created_by", "x"):
        body = {"value": 2, name: 1}
        assert_problem(put(ada, made["id"], body), 422, "validation_error")
        answer = ada.request("PUT", f"{ITEMS}/{made['id']}", json=body)
        assert_problem(answer, 422, "validation_error")
    assert ada.get(f"{CONFIGS}/{made['id']}").json() == made


def test_a_value_is_kept_as_it_was_written(ada: Person):
    text = '{"z":[1e2,-0.0,1.50,123456789012345678901234567890],"a":{"":null},"ü":"😀"}'
    body = f'{{"key":"k","app_id":"billing","value":{text}}}'.encode()
    headers = {"Content-Type": "application/json"}
    answer = ada.request("POST", CONFIGS, content=body, headers=headers)
    assert answer.status_code == 201
    path = f"{CONFIGS}/{answer.json()['id']}"
    for seen in (
        answer,
        ada.get(path),
        ada.get(CONFIGS),
        ada.get(ITEMS),
        item(ada, "k"),
        ada.get(f"/api/v1/versions/config/{answer.json()['id']}"),
        ada.get(f"{ITEMS}/{answer.json()['id']}/history"),
        ada.get("/config/get", service="billing"),
        ada.post(f"{CONFIGS}/fetch", {"app_id": "billing", "keys": ["k"]}),
    ):
        assert text in seen.text
