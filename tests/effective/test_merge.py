"""Merging by itself, against models that know only the rules."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.effective.merge import (
    MISSING,
    combine,
    has_dotted_names,
    look_up,
    merge,
    origins,
    render,
    spelled_twice,
)

UNSET = {"$unset": True}
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.5, "", "x"])
NAMES = st.sampled_from(["", "a", "b", "c", "d", "$unset"])
LISTS = st.lists(SCALARS | st.just({"a": UNSET}), max_size=2)
VALUES = st.recursive(
    SCALARS | LISTS | st.just(UNSET),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
DOCUMENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=5), max_size=4)
BELOW = st.dictionaries(st.sampled_from("cd"), SCALARS | LISTS, max_size=2)
PLAIN_DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "value": SCALARS | LISTS,
        "other": SCALARS | LISTS,
        "object": st.fixed_dictionaries({}, optional={"value": SCALARS, "object": BELOW}),
        "empty": st.just({}),
    },
)

Address = tuple[str, ...]


def is_marker(value: Any) -> bool:
    return json.dumps(value) == json.dumps(UNSET)


def without_markers(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: without_markers(v) for k, v in value.items() if not is_marker(v)}


def over(wide: Any, narrow: Any) -> Any:
    """Lay one value over another, by the rules as they are told to users."""
    if not isinstance(narrow, dict):
        return narrow
    if not isinstance(wide, dict):
        return without_markers(narrow)
    kept = {k: v for k, v in wide.items() if not is_marker(narrow.get(k))}
    said = {k: v for k, v in narrow.items() if not is_marker(v)}
    return {k: over(kept.get(k), said[k]) if k in said else kept[k] for k in [*kept, *said]}


def model(documents: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for document in documents:
        result = over(result, document)
    return result


def text(value: Any) -> str:
    """Write a value so that 1, 1.0 and true differ, and so do orders of members."""
    return json.dumps(value)


@given(DOCUMENTS)
def test_levels_merge_as_the_rules_say_in_content_and_order(documents: list[dict[str, Any]]):
    assert text(merge(documents)) == text(model(documents))


@given(DOCUMENTS)
def test_both_ways_to_merge_agree(documents: list[dict[str, Any]]):
    assert text(merge(documents)) == text(render(combine(documents)))


@given(DOCUMENTS)
def test_without_dots_every_value_is_explained_and_nothing_else(documents: list[dict[str, Any]]):
    def leaves(value: Any, path: Address) -> dict[Address, Any]:
        if isinstance(value, dict) and (value or not path):
            return {
                k: v for n, below in value.items() for k, v in leaves(below, (*path, n)).items()
            }
        return {path: value}

    found = {one.address: one.value for one in origins(documents)}
    expected = {".".join(path): value for path, value in leaves(merge(documents), ()).items()}
    assert {k: text(v) for k, v in found.items()} == {k: text(v) for k, v in expected.items()}


@given(DOCUMENTS)
def test_a_level_by_level_merge_is_the_merge_of_all(documents: list[dict[str, Any]]):
    for count in range(len(documents)):
        first = merge(documents[:count])
        if not any(map(_has_marker, first.values())):
            assert text(merge([first, *documents[count:]])) == text(merge(documents))


def _has_marker(value: Any) -> bool:
    if is_marker(value):
        return True
    return isinstance(value, dict) and any(map(_has_marker, value.values()))


@given(PLAIN_DOCUMENT, PLAIN_DOCUMENT, PLAIN_DOCUMENT)
def test_merging_is_associative_where_objects_stay_objects(a: dict, b: dict, c: dict):
    together = text(merge([a, b, c]))
    assert text(merge([merge([a, b]), c])) == together
    assert text(merge([a, merge([b, c])])) == together


@given(PLAIN_DOCUMENT)
def test_an_empty_or_equal_level_changes_nothing(document: dict[str, Any]):
    assert text(merge([document])) == text(document)
    assert text(merge([{}, document])) == text(document)
    assert text(merge([document, {}])) == text(document)
    assert text(merge([document, document])) == text(document)


# documents that spell their addresses in any way: each address once, none within another


@st.composite
def spelled(draw: st.DrawFn) -> tuple[dict[Address, Any], dict[str, Any]]:
    """Return what a document says by address, and the document."""
    step = st.sampled_from(["a", "b", "c"])
    addresses = draw(
        st.lists(st.lists(step, min_size=1, max_size=4).map(tuple), max_size=5, unique=True)
    )
    says: dict[Address, Any] = {}
    document: dict[str, Any] = {}
    for address in addresses:
        if any(address[: len(o)] == o or o[: len(address)] == address for o in says):
            continue
        says[address] = draw(SCALARS | st.just([1]) | st.just(UNSET))
        names = [address[0]]
        for name in address[1:]:
            if draw(st.booleans()):
                names[-1] += f".{name}"
            else:
                names.append(name)
        into = document
        for name in names[:-1]:
            into = into.setdefault(name, {})
        into[names[-1]] = copy.deepcopy(says[address])
    return says, document


SPELLED = st.lists(spelled(), min_size=1, max_size=4)


def said_of(levels: list[dict[Address, Any]], address: Address) -> Any:
    """Return what holds of an address, None where a narrower level says something of a part.

    `log` and `log.file` may both have a value: which of them survives depends on the spelling.
    """
    for says in reversed(levels):
        for other, value in says.items():
            if other == address:
                return ("gone",) if is_marker(value) else ("value", value)
            if address[: len(other)] == other:
                return ("gone",) if is_marker(value) else None
            if other[: len(address)] == address:
                return None
    return ("gone",)


@given(SPELLED)
def test_the_narrowest_level_that_says_something_holds_however_it_spells_it(
    levels: list[tuple[dict[Address, Any], dict[str, Any]]],
):
    merged = merge([document for _, document in levels])
    for address in {address for says, _ in levels for address in says}:
        outcome = said_of([says for says, _ in levels], address)
        found = look_up(merged, ".".join(address))
        if outcome == ("gone",):
            assert found is MISSING, (address, merged)
        elif outcome is not None:
            assert text(found) == text(outcome[1]), (address, merged)


@given(SPELLED)
def test_every_value_comes_from_the_narrowest_level_that_says_it(
    levels: list[tuple[dict[Address, Any], dict[str, Any]]],
):
    merged = merge([document for _, document in levels])
    for origin in origins([document for _, document in levels]):
        if origin.value == {}:
            continue
        says = [number for number, (one, _) in enumerate(levels) if _address(origin) in one]
        assert origin.level == says[-1]
        assert text(origin.value) == text(levels[origin.level][0][_address(origin)])
        assert text(look_up(merged, origin.address)) == text(origin.value)
        hiding = [level for level, _ in origin.hidden]
        assert hiding == sorted(set(hiding))
        assert all(level < origin.level for level in hiding)


def _address(origin: Any) -> Address:
    return tuple(origin.address.split("."))


@given(SPELLED)
def test_what_is_spelled_once_is_not_warned_of(
    levels: list[tuple[dict[Address, Any], dict[str, Any]]],
):
    for _, document in levels:
        assert spelled_twice(document) == []


@given(SPELLED)
def test_merging_leaves_its_arguments_alone(
    levels: list[tuple[dict[Address, Any], dict[str, Any]]],
):
    documents = [document for _, document in levels]
    before = text(documents)
    merged = merge(documents)
    origins(documents)
    for document in documents:
        spelled_twice(document)
        look_up(document, "a.b")
    assert text(documents) == before
    wipe(merged)
    assert text(documents) == before


@given(DOCUMENTS)
def test_what_is_done_to_the_result_does_not_reach_the_arguments(documents: list[dict[str, Any]]):
    before = text(documents)
    wipe(merge(documents))
    assert text(documents) == before


def wipe(value: Any) -> None:
    if isinstance(value, dict):
        for below in value.values():
            wipe(below)
        value.clear()


TIMEOUTS = [{"database.timeout": 30}, {"database": {"timeout": 60}}]


@pytest.mark.parametrize("wide", TIMEOUTS)
@pytest.mark.parametrize("narrow", TIMEOUTS)
def test_two_spellings_are_one_address(wide: dict, narrow: dict):
    expected = 60 if "database" in narrow else 30
    merged = merge([wide, narrow])
    assert look_up(merged, "database.timeout") == expected
    (origin,) = origins([wide, narrow])
    assert (origin.address, origin.value, origin.level) == ("database.timeout", expected, 1)
    assert list(origin.hidden) == [(0, 60 if "database" in wide else 30)]


@pytest.mark.parametrize(
    ("documents", "merged"),
    [
        ([{"a": {"b": 1, "c": 2}}, {"a.b": 9}], {"a": {"b": 9, "c": 2}, "a.b": 9}),
        ([{"a.b": 9}, {"a": {"b": 1, "c": 2}}], {"a": {"b": 1, "c": 2}}),
        ([{"a": {"b": 1, "c": 2}}, {"a.b": UNSET}], {"a": {"c": 2}}),
        ([{"a.b": 1, "a.c": 2}, {"a": {"b": UNSET}}], {"a.c": 2}),
        ([{"a.b": 1, "a.c": 2}, {"a": UNSET}], {}),
        ([{"a": {"b": {"c": 1}}}, {"a.b.c": 2}, {"a.b": {"c": 3}}], None),
        ([{"a.b": 1}, {"a.b": None}], {"a.b": None}),
        ([{"a.b": [1]}, {"a.b": [2, 3]}], {"a.b": [2, 3]}),
        ([{"a": {"b": 1}}, {"a.b": 2}, {"a.b": 3}], {"a": {"b": 3}, "a.b": 3}),
        ([{"a": {"b": 1}}, {"a.b": UNSET}, {"a.b": 3}], {"a.b": 3}),
        ([{"x": {"a": {"b": 1}}}, {"x": {"a.b": 2}}], {"x": {"a": {"b": 2}, "a.b": 2}}),
        ([{"a..b": 1}, {"a": {"": {"b": 2}}}], {"a": {"": {"b": 2}}}),
        ([{".": 1}, {"": {"": 2}}], {"": {"": 2}}),
    ],
)
def test_dotted_names_by_example(documents: list[dict], merged: dict | None):
    result = merge(documents)
    if merged is None:
        assert look_up(result, "a.b.c") == 3
        assert result["a"]["b"]["c"] == 3
    else:
        assert result == merged


@pytest.mark.parametrize(
    ("documents", "merged"),
    [
        ([{"a": 1}, {"a": None}], {"a": None}),
        ([{"a": None}, {"a": {"b": 1}}], {"a": {"b": 1}}),
        ([{"a": {"b": 1}}, {"a": None}], {"a": None}),
        ([{"a": [1, 2]}, {"a": [3]}], {"a": [3]}),
        ([{"a": [1]}, {"a": {"b": 1}}], {"a": {"b": 1}}),
        ([{"a": {"b": 1}}, {"a": {}}], {"a": {"b": 1}}),
        ([{"a": 1}, {"a": UNSET}], {}),
        ([{"a": 1}, {"a": UNSET}, {"a": 2}], {"a": 2}),
        ([{"a": {"b": 1}}, {"a": UNSET}, {"a": {"c": 2}}], {"a": {"c": 2}}),
        ([{"a": UNSET}], {}),
        ([{"a": {"b": UNSET}}], {"a": {}}),
        ([{"a": {"$unset": 1}}], {"a": {"$unset": 1}}),
        ([{"a": {"$unset": True, "b": 1}}], {"a": {"$unset": True, "b": 1}}),
        ([{"a": [UNSET]}], {"a": [UNSET]}),
        ([], {}),
    ],
)
def test_null_arrays_and_unset_by_example(documents: list[dict], merged: dict):
    assert text(merge(documents)) == text(merged)


def test_taking_away_what_is_not_there_leaves_what_is():
    wide = {"timeout": 5}
    assert look_up(merge([wide, {"timeout.read": UNSET}]), "timeout") == 5


@pytest.mark.parametrize(
    "documents",
    [
        [{"log": "info", "log.file": "a.txt"}],
        [{}, {"log": "info", "log.file": "a.txt"}],
        [{"log": "info", "log.file": "a.txt"}, {"other": 1}],
        [{"log": "info"}, {"log.file": "a.txt"}],
    ],
)
def test_a_dotted_name_takes_nothing_from_its_prefix(documents: list[dict]):
    merged = merge(documents)
    assert look_up(merged, "log.file") == "a.txt"
    assert look_up(merged, "log") == "info"


@pytest.mark.parametrize(
    "documents",
    [
        [{"a.b": {"c": 1, "d": 3}}, {"a": {"b": {"c": 2}}}],
        [{"a.b": {"c": 1, "d": 3}}, {"a.b.c": 2}],
        [{"a": {"b": {"c": 1, "d": 3}}}, {"a.b": {"c": 2}}],
        [{"a": {"b": {"c": 1, "d": 3}}}, {"a.b.c": 2}],
    ],
)
def test_an_object_is_found_whole_where_some_level_has_it(documents: list[dict]):
    assert look_up(merge(documents), "a.b") == {"c": 2, "d": 3}


def test_explain_tells_all_that_is_hidden_widest_first():
    documents = [{"t": 1}, {"t": None}, {"t": {"x": 1}}, {"t": [2]}]
    (origin,) = origins(documents)
    assert (origin.value, origin.level) == ([2], 3)
    assert list(origin.hidden) == [(0, 1), (1, None), (2, {"x": 1})]


def test_what_was_taken_away_in_between_is_not_hidden_by_what_comes_after():
    (origin,) = origins([{"t": 1}, {"t": UNSET}, {"t": 3}])
    assert (origin.value, origin.level, list(origin.hidden)) == (3, 2, [])


def test_empty_objects_have_an_origin():
    assert [(one.address, one.value) for one in origins([{"a": {"b": {}}}])] == [("a.b", {})]


@pytest.mark.parametrize(
    ("document", "twice"),
    [
        ({}, []),
        ({"a": {"b": 1}, "a.b": 2}, ["a.b"]),
        ({"a.b": 2, "a": {"b": 2}}, ["a.b"]),
        ({"a": {"b": 1}, "a.c": 2}, []),
        ({"x": {"a.b": 1, "a": {"b": 1}}}, ["x.a.b"]),
        ({"a.b": {"c": 1}, "a": {"b.c": 1}, "a.b.c": 3}, ["a.b.c"]),
        ({"a.b": {}, "a": {"b": {}}}, ["a.b"]),
        ({"a.b": UNSET, "a": {"b": 1}}, ["a.b"]),
    ],
)
def test_an_address_spelled_twice_is_noticed(document: dict, twice: list[str]):
    assert spelled_twice(document) == twice


@pytest.mark.parametrize(
    "document", [{"a": {"b": 1}, "a.b": 2}, {"a.b": 2, "a": {"b": 1}}], ids=["after", "before"]
)
def test_the_literal_name_holds_where_one_document_has_both(document: dict):
    assert look_up(document, "a.b") == 2
    assert look_up(merge([{}, document]), "a.b") == 2
    assert look_up(merge([document, {"a.b": UNSET}]), "a.b") is MISSING


@pytest.mark.parametrize(
    ("document", "key", "value"),
    [
        ({"a": {"b": {"c": 1}}}, "a.b.c", 1),
        ({"a.b": {"c": 1}}, "a.b.c", 1),
        ({"a": {"b.c": 1}}, "a.b.c", 1),
        ({"a": {"x": 1}, "a.b": {"c": 2}}, "a.b.c", 2),
        ({"a": {"b": {}}, "a.b": {"c": 2}}, "a.b.c", 2),
        ({"a": None}, "a", None),
        ({"a": None}, "a.b", MISSING),
        ({"a": [1]}, "a.0", MISSING),
        ({"a": "text"}, "a.b", MISSING),
        ({"": {"": 1}}, ".", 1),
        ({"": 1}, "", 1),
        ({}, "", MISSING),
        ({}, "...", MISSING),
        ({"a": {"b": 1}}, "a.", MISSING),
        ({"a": {"b": 1}}, "a", {"b": 1}),
    ],
)
def test_keys_are_looked_up_literally_and_then_by_dots(document: dict, key: str, value: Any):
    found = look_up(document, key)
    assert found is MISSING if value is MISSING else text(found) == text(value)


@pytest.mark.parametrize(
    ("value", "dotted"),
    [
        ({"a": 1}, False),
        ({"a.b": 1}, True),
        ({"a": {"b.c": 1}}, True),
        ({"a": [{"b.c": 1}]}, False),
        ({"a": "b.c"}, False),
        ({}, False),
    ],
)
def test_dots_count_in_names_of_objects(value: dict, dotted: bool):
    assert has_dotted_names(value) is dotted
