"""`/api/v1/diff`: any two documents."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.client import Person, assert_problem, program


def compare(person: Person, old: str, new: str, **more: Any) -> Any:
    return person.get("/api/v1/diff", **{"from": old, "to": new, **more})


def patch(person: Person, old: str, new: str, **more: Any) -> dict[tuple[str, str], Any]:
    answer = compare(person, old, new, **more)
    assert answer.status_code == 200, answer.text
    return {(op["op"], op["path"]): op.get("value") for op in answer.json()["patch"]}


def times(person: Person, name: str, **params: Any) -> list[str]:
    versions = person.get("/config/versions", name=name, **params).json()["versions"]
    return [version["created_at"] for version in reversed(versions)]


@pytest.fixture
def many(ada: Person) -> Person:
    """Return somebody with documents: `n` says which revision wrote each."""
    ada.update("billing", {"n": 1})
    ada.update("billing", {"n": 2})
    ada.update("billing", {"n": 3}, environment="production")
    ada.update("billing", {"n": 4}, environment="staging")
    ada.update("_global", {"n": 5, "g": 5})
    ada.update("_global", {"n": 6, "g": 6}, environment="production")
    ada.update("shop", {"n": 7})
    ada.update("shop", {"n": 8})
    return ada


REFERENCES = [
    ("billing", 2),
    ("billing#1", 1),
    ("billing#2", 2),
    ("billing@@1", 1),
    ("billing@@2", 2),
    ("billing@@8", 2),
    ("billing@production", 3),
    ("billing@production#1", 3),
    ("billing@production@3", 3),
    ("billing@production@8", 3),
    ("billing@staging", 4),
    ("_global", 5),
    ("_global#1", 5),
    ("_global@production", 6),
    ("_global@production@6", 6),
    ("shop", 8),
    ("shop@@7", 7),
]


@pytest.mark.parametrize(("reference", "number"), REFERENCES)
def test_every_form_of_reference_names_its_document(many: Person, reference: str, number: int):
    here = compare(many, reference, "shop#1").json()
    assert (here["from"], here["to"]) == (reference, "shop#1")
    found = patch(many, "shop#1", reference)
    assert found.get(("replace", "/n"), 7) == number
    assert patch(many, reference, reference) == {}


def test_times_name_what_was_there_then(many: Person):
    first, second = times(many, "billing")
    (in_production,) = times(many, "billing", environment="production")
    assert patch(many, f"billing@@{first}", f"billing@@{second}") == {("replace", "/n"): 2}
    assert patch(many, f"billing@@{first}", "billing#1") == {}
    here = f"billing@production@{in_production}"
    assert patch(many, here, "billing@production") == {}
    shifted = second.replace("Z", "+00:00")
    assert patch(many, f"billing@@{shifted}", "billing") == {}


def test_an_answer_has_diff_patch_text_and_summary(ada: Person):
    ada.update("old", {"same": 1, "gone": {"x": 1}, "list": [1, 2], "t": 30})
    ada.update("new", {"same": 1, "list": [2, 1], "t": 60, "more": None})
    body = compare(ada, "old", "new").json()
    assert body == {
        "from": "old",
        "to": "new",
        "diff": body["diff"],
        "patch": body["patch"],
        "text": body["text"],
        "summary": body["summary"],
        "diff_truncated": False,
    }
    assert body["diff"]["values_changed"] == {"root['t']": {"new_value": 60, "old_value": 30}}
    assert {"op": "replace", "path": "/t", "value": 60} in body["patch"]
    assert {"op": "remove", "path": "/gone"} in body["patch"]
    assert {"op": "add", "path": "/more", "value": None} in body["patch"]
    lines = body["text"].splitlines()
    assert "~ t: 30 -> 60" in lines
    assert '- gone: {"x":1}' in lines
    assert "+ more: null" in lines
    assert sum(body["summary"].values()) == len(body["patch"])


def test_the_patch_leads_from_one_to_the_other(ada: Person):
    ada.update("old", {"a": {"b": [1, {"c": 2}], "d": 1}, "e/f": 1})
    ada.update("new", {"a": {"b": [{"c": 3}], "x~y": 1}, "e/f": [1]})
    operations = compare(ada, "old", "new").json()["patch"]
    kind = {"Content-Type": "application/json-patch+json"}
    changed = ada.request("PATCH", "/config/old", json=operations, headers=kind)
    assert changed.json()["config"] == {"a": {"b": [{"c": 3}], "x~y": 1}, "e/f": [1]}
    assert patch(ada, "old", "new") == {}


def test_equal_documents_differ_in_nothing(many: Person):
    body = compare(many, "billing", "billing#2").json()
    assert (body["diff"], body["patch"], body["text"]) == ({}, [], "")
    assert body["summary"] == {"added": 0, "removed": 0, "changed": 0}
    assert body["diff_truncated"] is False


def test_stored_documents_are_compared_unless_asked_otherwise(many: Person):
    assert patch(many, "billing", "billing@production") == {("replace", "/n"): 3}
    seen = {"effective": True}
    assert patch(many, "billing", "billing@production", **seen) == {
        ("replace", "/n"): 3,
        ("replace", "/g"): 6,
    }
    assert patch(many, "billing", "billing@staging", **seen) == {("replace", "/n"): 4}
    assert patch(many, "nobody", "nobody@production", **seen) == {
        ("replace", "/n"): 6,
        ("replace", "/g"): 6,
    }
    assert_problem(compare(many, "nobody", "billing"), 404, "config_not_found")


def test_effective_configs_of_the_past(many: Person):
    assert patch(many, "billing@production@3", "billing@production@5", effective=True) == {
        ("add", "/g"): 5
    }
    first, _ = times(many, "billing")
    assert patch(many, f"billing@@{first}", "billing@@4", effective=True) == {("replace", "/n"): 2}


@pytest.mark.parametrize("side", ["from", "to"])
def test_an_effective_config_has_no_version_numbers(many: Person, side: str):
    sides = {"from": "billing", "to": "billing", side: "billing#1"}
    answer = many.get("/api/v1/diff", **sides, effective=True)
    assert_problem(answer, 422, "invalid_reference")


@pytest.mark.parametrize("side", ["from", "to"])
@pytest.mark.parametrize(
    "reference",
    [
        "",
        "@production",
        "#1",
        "billing#",
        "billing#x",
        "billing#0",
        "billing#-1",
        "billing#1.5",
        "billing#99999999999999999999",
        "billing#9999999999999999",
        "billing#1@2",
        "billing@a@b#1",
        "billing@@",
        "billing@production@",
        "billing@production@1@2",
        "bill ing",
        "bill/ing",
        "billing@pro duction",
        "_mine",
        "billing@_global",
        "list",
        "...",
        "a" * 101,
        "billing#\u0661",
        "billing\n",
    ],
)
def test_what_names_nothing_is_refused(many: Person, reference: str, side: str):
    sides = {"from": "billing", "to": "billing", side: reference}
    problem = assert_problem(many.get("/api/v1/diff", **sides), 422, "invalid_reference")
    assert problem["errors"][0]["loc"] == ["query", side]


@pytest.mark.parametrize(
    "reference", ["billing@@soon", "billing@@1.5", "billing@@-1", "billing@@2026-01-01T00:00:00"]
)
def test_a_moment_is_a_revision_or_a_time_with_an_offset(many: Person, reference: str):
    assert compare(many, reference, "billing").status_code == 422


@pytest.mark.parametrize(
    "reference",
    ["billing@@99", "billing@@2999-01-01T00:00:00Z", "billing@@1999-01-01T00:00:00Z"],
)
def test_moments_that_never_were(many: Person, reference: str):
    assert_problem(compare(many, reference, "billing"), 422, "at_out_of_range")


def test_both_sides_and_nothing_else_are_needed(many: Person):
    assert_problem(many.get("/api/v1/diff", to="billing"), 422, "validation_error")
    assert_problem(many.get("/api/v1/diff", **{"from": "billing"}), 422, "validation_error")
    assert_problem(compare(many, "billing", "shop", form="x"), 422, "unknown_parameter")
    assert_problem(compare(many, "billing", "a" * 400), 422, "validation_error")


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("nothing", "config_not_found"),
        ("nothing@production", "config_not_found"),
        ("nothing#1", "version_not_found"),
        ("billing#3", "version_not_found"),
        ("billing@production#2", "version_not_found"),
        ("billing@development", "config_not_found"),
        ("billing@production@2", "config_not_found"),
        ("shop@@6", "config_not_found"),
        ("billing@@0", "config_not_found"),
    ],
)
@pytest.mark.parametrize("side", ["from", "to"])
def test_what_is_not_there_is_not_found(many: Person, reference: str, code: str, side: str):
    sides = {"from": "billing", "to": "billing", side: reference}
    assert_problem(many.get("/api/v1/diff", **sides), 404, code)


def test_a_deleted_version_is_an_empty_document(many: Person):
    many.request("DELETE", "/config/delete", params={"service": "billing"})
    assert patch(many, "billing#2", "billing#3") == {("remove", "/n"): None}
    assert_problem(compare(many, "billing", "shop"), 404, "config_not_found")
    assert patch(many, "billing@@8", "shop") == {("replace", "/n"): 8}


def test_an_api_key_compares_only_what_it_may_read(many: Person):
    key = program(many, actions=["read"], services=["billing"])
    assert patch(key, "billing#1", "billing@production") == {("replace", "/n"): 3}
    for old, new in (("billing", "shop"), ("shop", "billing"), ("billing", "_global")):
        assert_problem(compare(key, old, new), 403, "outside_scope")
        assert_problem(compare(key, old, new, effective=True), 403, "outside_scope")
    narrow = program(many, actions=["read"], services=["billing"], environments=["staging"])
    assert_problem(compare(narrow, "billing@staging", "billing"), 403, "outside_scope")
    assert_problem(compare(narrow, "billing@production#1", "billing@staging"), 403, "outside_scope")
    assert patch(narrow, "billing@staging#1", "billing@staging") == {}
    blind = program(many, actions=["write"])
    assert_problem(compare(blind, "billing", "billing"), 403, "not_allowed")


def test_nothing_unknown_is_told_to_a_key_outside_its_scope(many: Person):
    key = program(many, actions=["read"], services=["billing"])
    assert_problem(compare(key, "billing", "nothing"), 403, "outside_scope")
    assert_problem(compare(key, "billing", "shop#99"), 403, "outside_scope")


def test_workspaces_are_apart(client: TestClient, many: Person, bob: Person):
    bob.update("billing", {"n": "bob"})
    assert_problem(compare(bob, "billing", "shop"), 404, "config_not_found")
    foreign = compare(bob, "billing", "shop", workspace="ada")
    assert_problem(foreign, 404, "workspace_not_found")
    nobody = client.get("/api/v1/diff", params={"from": "billing", "to": "shop"})
    assert_problem(nobody, 401, "login_required")
