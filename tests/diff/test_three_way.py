import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diff.structural import same
from app.diff.three_way import ABSENT, Conflict, three_way
from app.formats import json as formats

SCALARS = st.sampled_from([None, True, 1, 1.0, 0.0, -0.0, "", "1"])
KEYS = st.sampled_from(["", "a", "b", "0", "/", "~"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


def merged(base: Any, ours: Any, theirs: Any) -> tuple[Any, list[Conflict]]:
    before = json.dumps([base, ours, theirs])
    result = three_way(base, ours, theirs)
    assert json.dumps([base, ours, theirs]) == before
    return result


def containers(value: Any) -> list[int]:
    found, queue = [], [value]
    for item in queue:
        if isinstance(item, dict | list):
            found.append(id(item))
            queue.extend(item.values() if isinstance(item, dict) else item)
    return found


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result"),
    [
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": 1}, {}),
        ({"a": 1}, {"a": 1}, {}, {}),
        ({"a": 1}, {}, {}, {}),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, {}, {}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}, {"a": [2]}),
        ({}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"y": 2, "x": 1}}),
        ({}, {"a": {}}, {"a": {"y": {"z": 2}}}, {"a": {"y": {"z": 2}}}),
        (
            {"a": {"x": 1, "y": 1}},
            {"a": {"x": 2, "y": 1}},
            {"a": {"x": 1, "y": 2}},
            {"a": {"x": 2, "y": 2}},
        ),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": 1}, {"a": 1.0}, {"a": 1}, {"a": 1.0}),
        ({"a": None}, {}, {"a": None}, {}),
        ({"a": 1}, {"a": None}, {"a": 1}, {"a": None}),
        (1, 2, 1, 2),
    ],
)
def test_merges_without_conflict(base, ours, theirs, result):
    document, conflicts = merged(base, ours, theirs)
    assert json.dumps(document) == json.dumps(result)
    assert conflicts == []


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result", "conflict"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}, Conflict("/a", 1, 2, 3)),
        ({"a": 1}, {"a": 2}, {}, {}, Conflict("/a", 1, 2, ABSENT)),
        ({"a": 1}, {}, {"a": 2}, {"a": 2}, Conflict("/a", 1, ABSENT, 2)),
        ({"a": 1}, {"a": None}, {}, {}, Conflict("/a", 1, None, ABSENT)),
        ({}, {"a": 1}, {"a": 2}, {"a": 2}, Conflict("/a", ABSENT, 1, 2)),
        ({}, {"a": []}, {"a": {}}, {"a": {}}, Conflict("/a", ABSENT, [], {})),
        (
            {"a": {"x": 1}},
            {"a": {"x": 2}},
            {},
            {},
            Conflict("/a", {"x": 1}, {"x": 2}, ABSENT),
        ),
        (
            {},
            {"a": {"x": 1, "o": 1}},
            {"a": {"x": 2, "t": 1}},
            {"a": {"x": 2, "t": 1, "o": 1}},
            Conflict("/a/x", ABSENT, 1, 2),
        ),
        (
            {"a": [1]},
            {"a": [1, 2]},
            {"a": [1, 3]},
            {"a": [1, 3]},
            Conflict("/a", [1], [1, 2], [1, 3]),
        ),
        (
            {"a": 1},
            {"a": {"x": 1}},
            {"a": {"y": 1}},
            {"a": {"y": 1}},
            Conflict("/a", 1, {"x": 1}, {"y": 1}),
        ),
        (
            {"a/b": {"~": 1}},
            {"a/b": {"~": 2}},
            {"a/b": {"~": 3}},
            {"a/b": {"~": 3}},
            Conflict("/a~1b/~0", 1, 2, 3),
        ),
        ([1], [2], [3], [3], Conflict("", [1], [2], [3])),
    ],
)
def test_conflicts(base, ours, theirs, result, conflict):
    document, conflicts = merged(base, ours, theirs)
    assert json.dumps(document) == json.dumps(result)
    assert repr(conflicts) == repr([conflict])


def test_order_of_members():
    base = {"a": 1, "b": 1, "c": 1}
    ours = {"new": 1, "c": 1, "b": 2, "a": 1, "also": {"y": 1, "x": 1}}
    theirs = {"c": 3, "added": 1, "also": {"x": 1}, "b": 1, "a": 1}
    document, conflicts = merged(base, ours, theirs)
    assert json.dumps(document) == (
        '{"c": 3, "added": 1, "also": {"x": 1, "y": 1}, "b": 2, "a": 1, "new": 1}'
    )
    assert conflicts == []


def test_conflicts_come_in_order_of_the_result():
    base = {"gone": 0, "a": 0, "b": {"x": 0}}
    ours = {"gone": 1, "a": 1, "b": {"x": 1}}
    _, conflicts = merged(base, ours, {"b": {"x": 2}, "a": 2})
    assert [conflict.path for conflict in conflicts] == ["/b/x", "/a", "/gone"]


def test_nothing_is_shared():
    base: dict[str, Any] = {"a": [[0]], "o": [[1]], "t": [[2]], "same": {"x": [[3]]}}
    ours = base | {"a": [[1]], "o": [[4]]}
    theirs = base | {"a": [[2]], "t": [[5]]}
    document, conflicts = merged(base, ours, theirs)
    assert document == {"a": [[2]], "o": [[4]], "t": [[5]], "same": {"x": [[3]]}}
    results = containers(document)
    for conflict in conflicts:
        results += containers([conflict.base, conflict.ours, conflict.theirs])
    assert len(conflicts) == 1
    assert len(results) == len(set(results))
    assert not set(results) & set(containers([base, ours, theirs]))


def test_spelling_of_a_number_is_no_change_and_is_kept():
    base, ours, theirs = map(formats.loads, ('{"a":100.0}', '{"a":1e2}', '{"a":100.00}'))
    document, conflicts = three_way(base, ours, theirs)
    assert formats.dumps(document) == '{"a":100.00}'
    assert conflicts == []


def test_absent_is_one_object():
    assert repr(ABSENT) == "ABSENT"
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert copy.deepcopy(Conflict("", ABSENT, 1, [])).base is ABSENT


@given(OBJECTS, OBJECTS)
def test_a_side_that_changed_nothing_gives_way(base, other):
    document, conflicts = merged(base, base, other)
    assert json.dumps(document) == json.dumps(other)
    assert conflicts == []
    document, conflicts = merged(base, other, base)
    assert same(document, other)
    assert conflicts == []
    document, conflicts = merged(base, other, other)
    assert same(document, other)
    assert conflicts == []


@given(OBJECTS, OBJECTS, OBJECTS)
def test_conflicts_are_symmetric(base, ours, theirs):
    document, conflicts = merged(base, ours, theirs)
    mirrored, mirror = merged(base, theirs, ours)
    assert {c.path: repr(c.ours) for c in conflicts} == {c.path: repr(c.theirs) for c in mirror}
    assert len({c.path for c in conflicts}) == len(conflicts)
    if not conflicts:
        assert same(document, mirrored)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_merging_the_result_again_changes_nothing(base, ours, theirs):
    document, _ = merged(base, ours, theirs)
    again, conflicts = merged(theirs, theirs, document)
    assert same(again, document)
    assert conflicts == []
