"""What docs/flags-evaluation.md says about operators is what comes out."""

import math

import pytest

from app.rules.conditions import compile_condition
from app.rules.operators import OF_TEXTS, OPERATORS
from tests.rules import table

EXAMPLES = table.examples()
OUTCOMES = table.outcomes()
POOL = {
    "text": ["", "DE", "ada", "2", "2026-01-01", "1.0.0", "10.0.0.1", "\ud800", "x" * 100_000],
    "number": [0, 1, -1, 1.5, 3, 10**308, -0.0, 5, 2**63],
    "boolean": [True, False],
    "list": [[], ["DE"], ["ada", "beta"], [3], [[3]], [None]],
    "object": [{}, {"DE": "DE"}, {"value": 3}, {"a": {"a": "ada"}}],
}
NO_JSON = [math.nan, math.inf, -math.inf, object(), (1, 2), b"DE"]


def outcome(condition, context):
    found = compile_condition(condition, {}).test(context)
    assert compile_condition({"not": condition}, {}).test(context) is not found
    if "op" in condition:
        assert compile_condition({**condition, "negate": True}, {}).test(context) is not found
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_examples_come_out_as_documented(example):
    assert outcome(example.condition(), {"a": example.attribute}) is example.outcome


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_path_finds_the_same(example):
    condition = example.condition("a.b.c")
    assert outcome(condition, {"a": {"b": {"c": example.attribute}}}) is example.outcome
    assert outcome(condition, {"a.b.c": example.attribute, "a": 1}) is example.outcome


def test_every_operator_is_documented():
    assert set(OUTCOMES) == set(OPERATORS)


@pytest.mark.parametrize("kind", table.TYPES)
@pytest.mark.parametrize("operator", OUTCOMES)
def test_types_come_out_as_documented(operator, kind):
    said = OUTCOMES[operator][kind]
    of_operator = [example for example in EXAMPLES if example.operator == operator]
    if said in {"compared", "elements"}:
        seen = {example.outcome for example in of_operator if example.kind == kind}
        assert seen == {True, False}, "the second table shows both outcomes"
        return
    contexts = [{}, {"a": None}] if kind == "missing, null" else [{"a": v} for v in POOL[kind]]
    for example in of_operator:
        for context in contexts:
            assert outcome(example.condition(), context) is (said == "yes")


@pytest.mark.parametrize("value", NO_JSON, ids=["nan", "inf", "-inf", "object", "tuple", "bytes"])
@pytest.mark.parametrize("operator", OUTCOMES)
def test_what_is_not_json_is_like_an_object(operator, value):
    expected = OUTCOMES[operator]["object"] == "yes"
    for example in EXAMPLES:
        if example.operator == operator:
            assert outcome(example.condition(), {"a": value}) is expected


@pytest.mark.parametrize("operator", sorted(OF_TEXTS))
def test_case_counts_unless_it_is_ignored(operator):
    (example, *_) = [
        example
        for example in EXAMPLES
        if example.operator == operator and example.kind == "text" and example.outcome
        if "ignore_case" not in example.operand
    ]
    if operator == "matches":
        example = example._replace(operand={"value": "^ada$"}, attribute="ada")
    folded = example.condition(ignore_case=True)
    if operator != "in_hashed":  # whose hashes are of folded texts
        assert outcome(folded, {"a": example.attribute.upper()}) is True
        assert outcome(folded, {"a": example.attribute.lower()}) is True


def test_a_literal_name_goes_before_a_path():
    condition = {"attribute": "a.b", "op": "equals", "value": "x"}
    assert outcome(condition, {"a.b": "x", "a": {"b": "y"}}) is True
    assert outcome(condition, {"a.b": None, "a": {"b": "x"}}) is False
    assert outcome(condition, {"a": [{"b": "x"}]}) is False


def test_ids_are_texts():
    condition = {"attribute": "targetingKey", "op": "in", "values": [42, "ada"]}
    assert outcome(condition, {"targetingKey": "42"}) is True
    assert outcome(condition, {"targetingKey": ["ada"]}) is False
    assert outcome({**condition, "attribute": "a"}, {"a": "42"}) is False


def test_all_any_and_not_nest():
    yes, no = {"attribute": "a", "op": "exists"}, {"attribute": "b", "op": "exists"}
    context = {"a": 1}
    assert outcome({"all": [yes, {"not": no}, {"any": [no, yes]}]}, context) is True
    assert outcome({"all": [yes, no]}, context) is False
    assert outcome({"any": [no, {"all": [yes, no]}]}, context) is False
    assert outcome({"all": []}, context) is True
    assert outcome({"any": []}, context) is False
