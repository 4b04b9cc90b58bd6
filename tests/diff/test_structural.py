import json
import sys
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diff.structural import Change, changes, json_patch, pointer, same, summary

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 0.0, -0.0, 1.0, 10**30, 1e300]),
    st.sampled_from(["", "0", "NONE", "~1", "é"]),
)
KEYS = st.sampled_from(["", "a", "0", "-", "/", "~", "~1", "__a", "a'b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


class Lexeme(float):
    """A float that keeps how it was spelled, as the parser's do."""

    def __repr__(self):
        return "lexeme"


def count_calls(old: Any, new: Any) -> int:
    count = 0

    def profile(_frame, _event, _arg):
        nonlocal count
        count += 1

    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        changes(old, new)
    finally:
        sys.setprofile(previous)
    return count


def reverse_members(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reverse_members(value[key]) for key in reversed(value)}
    return [reverse_members(item) for item in value] if isinstance(value, list) else value


@given(VALUES, VALUES)
def test_patch_turns_old_into_new(old, new):
    before = json.dumps([old, new])
    patch = json_patch(old, new)
    assert same(jsonpatch.apply_patch(old, json.loads(json.dumps(patch))), new)
    assert (patch == []) == same(old, new)
    assert json.dumps([old, new]) == before
    assert json.dumps(json_patch(old, new)) == json.dumps(patch)


@given(VALUES)
def test_patch_is_empty_for_copies_in_another_member_order(value):
    copy = reverse_members(json.loads(json.dumps(value)))
    assert same(value, copy)
    assert json_patch(value, copy) == []


@given(VALUES, VALUES)
def test_same_is_symmetric_and_strict(a, b):
    assert same(a, b) == same(b, a)
    assert same(a, b) == (json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True))


@given(VALUES, VALUES)
def test_summary_counts_operations(old, new):
    patch = json_patch(old, new)
    names = {"added": "add", "removed": "remove", "changed": "replace"}
    expected = {k: sum(o["op"] == op for o in patch) for k, op in names.items()}
    assert summary(patch) == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [(True, 1), (1, 1.0), (0.0, -0.0), (None, False), ("1", 1), ([], {}), ([1, 2], [2, 1])],
)
def test_not_the_same(a, b):
    assert not same(a, b)
    assert json_patch({"k": [a]}, {"k": [b]}) != []


def test_spelling_of_a_float_does_not_count():
    assert same(Lexeme("1e2"), 100.0)
    assert json_patch([Lexeme("1e2")], [100.0]) == []
    assert json_patch([Lexeme("-0.0")], [0.0]) == [{"op": "replace", "path": "/0", "value": 0.0}]


def test_operations_come_in_document_order():
    old = {"z": 1, "gone": 2, "list": [1, 2, 3, 9, 8]}
    new = {"new/~": None, "list": [1, 5, 8], "z": 2}
    assert json_patch(old, new) == [
        {"op": "replace", "path": "/z", "value": 2},
        {"op": "remove", "path": "/gone"},
        {"op": "replace", "path": "/list/1", "value": 5},
        {"op": "remove", "path": "/list/3"},
        {"op": "remove", "path": "/list/2"},
        {"op": "add", "path": "/new~1~0", "value": None},
    ]


def test_an_insertion_in_a_list_is_one_operation():
    assert json_patch([1, 2, 3], [1, 7, 2, 3]) == [{"op": "add", "path": "/1", "value": 7}]
    assert json_patch([7, 7, 7], [7, 7]) == [{"op": "remove", "path": "/2"}]


def test_whole_document_and_pointer():
    assert json_patch([], {}) == [{"op": "replace", "path": "", "value": {}}]
    assert changes(1, 2) == [Change((), "replace", 1, 2)]
    assert pointer(()) == ""
    assert pointer(("a/b", 0, "~", "")) == "/a~1b/0/~0/"


def nested(depth: int, leaf: Any, *, extra: bool) -> Any:
    value = leaf
    for _ in range(depth):
        value = [{"k": value}, 0] if extra else [{"k": value}]
    return value


def test_work_grows_with_depth_not_faster():
    few, many = (
        count_calls(nested(depth, 1, extra=False), nested(depth, 2, extra=True))
        for depth in (8, 32)
    )
    assert many < 5 * few


def test_work_grows_with_size_not_faster():
    def pair(size: int) -> tuple[list[Any], list[Any]]:
        rows: list[Any] = [{"id": number, "tags": [number, "x"]} for number in range(size)]
        return rows, [row | {"id": -row["id"]} if row["id"] % 2 else row for row in rows[1:]]

    few, many = (count_calls(*pair(size)) for size in (500, 2000))
    assert many < 5 * few


def test_a_mebibyte_64_deep():
    old = nested(31, [{"id": number} for number in range(90_000)], extra=False)
    new = json.loads(json.dumps(old).replace('"id": 44999}', '"id": "x"}'))
    assert len(json.dumps(old)) > 1 << 20
    path = "/0/k" * 31 + "/44999/id"
    assert json_patch(old, new) == [{"op": "replace", "path": path, "value": "x"}]
