"""Variants with a JSON Schema: checked when saving, within bounds, never evaluated with."""

from typing import Any

import pytest

from tests.client import Person, assert_problem
from tests.flags.calls import FLAGS, PRODUCTION, evaluate, make, put, revision

LIMITS = {
    "type": "object",
    "required": ["rate"],
    "properties": {"rate": {"type": "integer", "maximum": 100}},
    "additionalProperties": False,
}
VARIANTS = {"low": {"rate": 10}, "high": {"rate": 90}}


def limits(person: Person, **body: Any) -> dict[str, Any]:
    """Create a flag whose variants have a schema."""
    return make(
        person,
        "limits",
        **{"type": "object", "variants": VARIANTS, "variant_schema": LIMITS} | body,
    )


def attempt(person: Person, schema: Any, variants: Any = VARIANTS) -> Any:
    body = {"name": "bad", "environment": PRODUCTION, "is_enabled": True, "type": "object"}
    return person.post(FLAGS, body | {"variants": variants, "variant_schema": schema})


def test_values_that_fit_are_served(ada: Person):
    flag = limits(ada)
    assert flag["variant_schema"] == LIMITS
    assert evaluate(ada, "limits")["value"] == {"rate": 10}
    versions = ada.get(f"{FLAGS}/{flag['id']}/versions").json()["versions"]
    assert versions[0]["definition"]["variant_schema"] == LIMITS


def test_a_value_that_does_not_fit_is_refused_with_its_place(ada: Person):
    flag = limits(ada)
    before = revision(ada)
    problem = put(ada, flag, variants={"low": {"rate": 10}, "high": {"rate": 987654321}})
    found = assert_problem(problem, 422, "schema_mismatch")
    assert found["errors"][0]["loc"] == ["body", "variants", "high", "rate"]
    assert "987654321" not in problem.text
    assert_problem(put(ada, flag, variants={"low": {}}), 422, "schema_mismatch")
    assert_problem(put(ada, flag, variants={"low": 5}), 422, "wrong_type")
    assert revision(ada) == before
    assert evaluate(ada, "limits")["value"] == {"rate": 10}


def test_a_new_schema_must_fit_what_is_there(ada: Person):
    flag = limits(ada)
    assert_problem(put(ada, flag, variant_schema={"maxProperties": 0}), 422, "schema_mismatch")
    assert put(ada, flag, variant_schema=None).json()["variant_schema"] is None
    assert put(ada, flag, variants={"low": {"rate": 1000}}).status_code == 200
    assert_problem(put(ada, flag, variant_schema=LIMITS), 422, "schema_mismatch")


def test_a_boolean_flag_has_its_own_variants_checked(ada: Person):
    body = {"name": "bad", "environment": PRODUCTION, "is_enabled": True}
    answer = ada.post(FLAGS, body | {"variant_schema": {"const": True}})
    assert_problem(answer, 422, "schema_mismatch")


def test_numbers_are_those_that_were_written(ada: Person):
    schema = {"type": "number", "multipleOf": 0.01, "maximum": 1e2}
    text = (
        '{"name": "n", "environment": "production", "is_enabled": true, "type": "number", '
        '"variants": {"a": 1.50, "b": 1e2}, "variant_schema": {"type": "number", "maximum": 1e2}}'
    )
    answer = ada.request("POST", FLAGS, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    make(ada, "m", type="number", variants={"a": 19.99}, variant_schema=schema)
    assert_problem(
        put(ada, make(ada, "i", type="number", variants={"a": 0}), variant_schema={"minimum": 1}),
        422,
        "schema_mismatch",
    )


def chain(length: int) -> dict[str, Any]:
    """Return a schema that doubles with each of its definitions."""
    defs: dict[str, Any] = {
        f"d{number}": {"anyOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2}
        for number in range(length)
    }
    return {"$defs": {**defs, f"d{length}": {"type": "string"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"properties": 5},
        {"pattern": "(?=a)b"},
        {"pattern": "(a{1000}){1000}"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#"},
        {"$ref": "#/$defs/none"},
        {"$ref": 5},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": True}, "$ref": "#/$defs/%61"},
        {"$id": "https://example.com/", "$ref": "other"},
        {"$dynamicRef": "#a", "$dynamicAnchor": "a"},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"description": "x" * 70_000},
        chain(40),
    ],
    ids=lambda schema: next(iter(schema)),
)
def test_schemas_that_are_none_or_ask_for_too_much(ada: Person, schema: Any):
    assert_problem(attempt(ada, schema), 422, "invalid_schema")
    assert revision(ada) == 0


def test_schemas_are_objects(ada: Person):
    for schema in (True, [], "x", 5):
        assert_problem(attempt(ada, schema), 422, "validation_error")


def test_a_schema_may_refer_to_its_definitions(ada: Person):
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"rate": {"type": "integer"}},
        "additionalProperties": {"$ref": "#/$defs/rate"},
    }
    assert attempt(ada, schema).status_code == 201


def test_much_work_is_refused_before_it_is_done(ada: Person):
    schema = {"allOf": [{"items": {"type": "integer"}}] * 2_000}
    answer = attempt(ada, schema, {"a": [1] * 100_000})
    assert_problem(answer, 422, "invalid_schema")
    evil = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    answer = attempt(ada, evil, {"a": {"a": "a" * 100_000 + "b"}})
    assert_problem(answer, 422, "schema_mismatch")
    assert revision(ada) == 0


def test_flags_hold_no_secrets(ada: Person):
    for variants in ({"a": {"$secret": "x"}}, {"a": {"b": [{"$secret": "x"}]}}):
        problem = assert_problem(attempt(ada, None, variants), 422, "invalid_secret")
        assert "x" not in problem["errors"][0]["loc"]
    assert revision(ada) == 0


def test_an_old_version_brings_its_own_schema_back(ada: Person):
    flag = limits(ada)
    put(ada, flag, variant_schema=None, variants={"low": {"other": 1}})
    back = ada.post(f"{FLAGS}/{flag['id']}/rollback", {"version": 1}).json()
    assert (back["variant_schema"], back["variants"]) == (LIMITS, VARIANTS)


def test_clients_are_not_sent_the_schema(ada: Person):
    limits(ada)
    found = ada.get(f"{FLAGS}/snapshot", environment=PRODUCTION).json()
    assert "variant_schema" not in found["flags"]["limits"]
