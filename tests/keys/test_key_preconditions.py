"""Writes of keys that refuse to overwrite what somebody changed."""

from typing import Any

from tests.client import Person, assert_problem
from tests.keys.calls import CONFIGS, ITEMS, delete, drop, fetch, head, item, make, put, write


def conditional(person: Person, key_id: int, headers: dict[str, str]) -> list[Any]:
    """Send every write of a key that takes headers."""
    body = {"value": "never"}
    return [
        put(person, key_id, body, headers=headers),
        person.request("PUT", f"{ITEMS}/{key_id}", json=body, headers=headers),
        delete(person, key_id, headers=headers),
        person.request("DELETE", f"{ITEMS}/{key_id}", headers=headers),
    ]


def test_a_stale_tag_is_refused_and_says_what_is_there(ada: Person):
    made = make(ada)
    path = f"{CONFIGS}/{made['id']}"
    old = ada.get(path).headers["etag"]
    old_document = ada.get("/config/get", service="billing").headers["etag"]
    write(ada, made["id"], value=31)
    current = {"id": made["id"], "version": 2, "etag": ada.get(path).headers["etag"]}
    for tag in (old, old_document, '"x"', f"W/{current['etag']}"):
        for answer in conditional(ada, made["id"], {"If-Match": tag}):
            problem = assert_problem(answer, 412, "precondition_failed")
            assert problem["current"] == current
    for answer in conditional(ada, made["id"], {"If-None-Match": "*"}):
        assert assert_problem(answer, 412, "precondition_failed")["current"] == current
    for answer in conditional(ada, made["id"], {"If-None-Match": '"x"'}):
        assert_problem(answer, 422, "validation_error")
    assert head(ada) == 2


def test_an_effective_tag_fits_no_write(ada: Person):
    made = make(ada)
    tags = [
        ada.get("/config/billing").headers["etag"],
        fetch(ada).headers["etag"],
        item(ada, "timeout").headers["etag"],
    ]
    for tag in tags:
        for answer in conditional(ada, made["id"], {"If-Match": tag}):
            problem = assert_problem(answer, 412, "etag_of_effective")
            assert problem["current"]["version"] == 1
    assert head(ada) == 1


def test_the_tags_of_the_key_and_of_its_document_fit(ada: Person):
    made = make(ada, value=0)
    path = f"{CONFIGS}/{made['id']}"
    for number in range(1, 4):
        tag = (
            ada.get(path).headers["etag"],
            ada.get("/config/get", service="billing").headers["etag"],
            "*",
        )[number - 1]
        answer = put(ada, made["id"], {"value": number}, headers={"If-Match": tag})
        assert (answer.status_code, answer.json()["version"]) == (200, number + 1)
        assert answer.headers["etag"] == ada.get(path).headers["etag"]
    tag = ada.get(path).headers["etag"]
    assert delete(ada, made["id"], headers={"If-Match": f'"x", {tag}'}).status_code == 204


def test_a_neighbour_does_not_make_the_tag_of_a_key_stale(ada: Person):
    made = make(ada)
    tag = ada.get(f"{CONFIGS}/{made['id']}").headers["etag"]
    make(ada, "other", 1)
    assert put(ada, made["id"], {"value": 1}, headers={"If-Match": tag}).status_code == 200


def test_creations_under_conditions(ada: Person):
    body = {"key": "a", "value": 1, "app_id": "billing"}
    absent = ada.post(CONFIGS, body, headers={"If-Match": "*"})
    assert assert_problem(absent, 412, "precondition_failed")["current"] is None
    made = ada.post(CONFIGS, body, headers={"If-None-Match": "*"})
    assert made.status_code == 201
    there = ada.post(CONFIGS, body, headers={"If-None-Match": "*"})
    assert assert_problem(there, 412, "precondition_failed")["current"]["version"] == 1
    drop(ada, made.json()["id"])
    again = ada.post(CONFIGS, body, headers={"If-None-Match": "*"})
    assert (again.status_code, again.json()["version"]) == (201, 3)


def test_expected_version_is_the_one_of_the_key(ada: Person):
    make(ada, "other", 1)
    made = make(ada)
    for path in (f"{CONFIGS}/{made['id']}", f"{ITEMS}/{made['id']}"):
        for wrong in (0, 7):
            answer = ada.request("PUT", path, json={"value": 1, "expected_version": wrong})
            problem = assert_problem(answer, 412, "precondition_failed")
            assert (problem["current"]["id"], problem["current"]["version"]) == (
                made["id"],
                ada.get(f"{CONFIGS}/{made['id']}").json()["version"],
            )
        for bad in (-1, "1", 1.5, 2**53, True):
            answer = ada.request("PUT", path, json={"value": 1, "expected_version": bad})
            assert_problem(answer, 422, "validation_error")
    first = put(ada, made["id"], {"value": 1, "expected_version": 1})
    assert (first.status_code, first.json()["version"]) == (200, 2)
    second = put(ada, made["id"], {"value": 2, "expected_version": 1})
    assert_problem(second, 412, "precondition_failed")


def test_a_rollback_minds_a_stale_tag(ada: Person):
    made = make(ada)
    tag = ada.get(f"{CONFIGS}/{made['id']}").headers["etag"]
    write(ada, made["id"], value=31)
    path = f"/api/v1/versions/rollback/{made['id']}"
    answer = ada.post(path, {"target_version": 1}, headers={"If-Match": tag})
    assert_problem(answer, 412, "precondition_failed")


def test_a_creation_minds_the_tag_of_its_document(ada: Person):
    old = ada.update("billing", {"a": 1}).headers["etag"]
    tag = ada.update("billing", {"a": 2}).headers["etag"]
    body = {"key": "b", "value": 1, "app_id": "billing"}
    stale = ada.post(CONFIGS, body, headers={"If-Match": old})
    assert_problem(stale, 412, "precondition_failed")
    assert ada.post(CONFIGS, body, headers={"If-Match": tag}).status_code == 201
