import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diff.deep import deep_diff

STRINGS = ["", "0", "1", "NONE", "int:1", "str:", "bool:true", "list:", "\ud800", "é'\"]"]
NUMBERS = [0, 1, 0.0, -0.0, 1.0, 1e-20, 10**30, 10**30 + 1]
SCALARS = st.sampled_from([None, True, False, *NUMBERS, *STRINGS])
KEYS = st.sampled_from(["", "a", "0", "__a", "a'b", 'a"b', "NONE", "\ud800"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def unordered(value: Any) -> str:
    """Write JSON so that equal texts mean equal values up to the order of arrays."""
    if isinstance(value, dict):
        members = sorted(f"{json.dumps(k)}:{unordered(v)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted(map(unordered, value))) + "]"
    return json.dumps(value)


def refuse(name: str) -> None:
    pytest.fail(f"{name} is not JSON")


def diff(old: Any, new: Any) -> Any:
    text = deep_diff(json.dumps(old), json.dumps(new))
    return json.loads(text, parse_constant=refuse)


@given(VALUES, VALUES)
def test_empty_if_and_only_if_equal_up_to_the_order_of_arrays(old, new):
    assert (diff(old, new) == {}) == (unordered(old) == unordered(new))


@given(st.lists(VALUES, max_size=4), st.data())
def test_a_small_change_shows_and_a_permutation_does_not(items, data):
    assert diff(items, data.draw(st.permutations(items))) == {}
    place = data.draw(st.integers(0, len(items)))
    new = [*items[:place], data.draw(VALUES), *items[place + 1 :]]
    assert (diff({"k": items}, {"k": new}) == {}) == (unordered(items) == unordered(new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1", '"1"', {"old_type": "int", "new_type": "str", "old_value": 1, "new_value": "1"}),
        ("1", "1.0", {"old_type": "int", "new_type": "float", "old_value": 1, "new_value": 1.0}),
        ("true", "1", {"old_type": "bool", "new_type": "int", "old_value": True, "new_value": 1}),
        ("0", "-0", {"old_type": "int", "new_type": "float", "old_value": 0, "new_value": -0.0}),
    ],
)
def test_type_changes_show(old, new, expected):
    assert json.loads(deep_diff(old, new)) == {"type_changes": {"root": expected}}


@pytest.mark.parametrize(
    ("old", "new"),
    [("[null]", '["NONE"]'), ("[1]", '["int:1"]'), ("[0.0]", "[-0.0]"), ("[1,1]", "[1]")],
)
def test_what_deepdiff_alone_takes_for_equal(old, new):
    assert deep_diff(old, new) != "{}"


def test_values_are_there():
    assert diff({"a": 1, "b": 2}, {"b": 3, "c": 4}) == {
        "dictionary_item_added": {"root['c']": 4},
        "dictionary_item_removed": {"root['a']": 1},
        "values_changed": {"root['b']": {"new_value": 3, "old_value": 2}},
    }


def test_equal_documents_give_an_empty_object():
    assert deep_diff('{"a": [1, {"b": 2}], "c": 1e2}', '{"c": 100.0, "a": [{"b": 2}, 1]}') == "{}"


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "1e999", "{"])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError):
        deep_diff(text, "1")


def test_64_levels_of_arrays():
    old, new = ("[" * 64 + leaf + "]" * 64 for leaf in "12")
    assert list(json.loads(deep_diff(old, new))) == ["values_changed"]
