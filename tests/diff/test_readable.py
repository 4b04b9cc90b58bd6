import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.diff.readable import readable
from app.diff.structural import changes, same
from app.formats import json as formats

NAMES = st.sampled_from(["", "a", "b-c", "x y", "a.b", "0", "é", '"', "\n", "\u2028", "$"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, 1.0, -0.0]), st.text(st.characters(codec="utf-8"))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ({}, {}, ""),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ""),
        ({}, {"a": {"x": [1, "é"]}}, '+ a: {"x":[1,"é"]}'),
        ({"a": None}, {}, "- a: null"),
        ({"a": {"b-c": {"D_1": 1}}}, {"a": {"b-c": {"D_1": 1.0}}}, "~ a.b-c.D_1: 1 -> 1.0"),
        ({"l": [1, {"x": 1}]}, {"l": [1, {"x": 2}]}, "~ l[1].x: 1 -> 2"),
        ([[0, 1]], [[0, 2]], "~ [0][1]: 1 -> 2"),
        ({}, {"0": 1}, "+ 0: 1"),
        ({}, {"": 1}, '+ [""]: 1'),
        ({}, {"$": 1}, '+ ["$"]: 1'),
        ({"a": {}}, {"a": {"x.y": 1}}, '+ a["x.y"]: 1'),
        ({"x y": {}}, {"x y": {"z": 1}}, '+ ["x y"].z: 1'),
        ({}, {"é": 1}, '+ ["é"]: 1'),
        ({}, {'a"\n': "\n"}, '+ ["a\\"\\n"]: "\\n"'),
        ({}, {"a\n": 1}, '+ ["a\\n"]: 1'),
        ({}, {"a": "\u2028\x85"}, '+ a: "\\u2028\\u0085"'),
        (1, [], "~ $: 1 -> []"),
        ({"z": 1, "y": 2, "l": [1, 2, 3]}, {"z": 2, "l": [1], "n": 0}, None),
    ],
)
def test_examples(old, new, text):
    expected = text
    if text is None:
        expected = "~ z: 1 -> 2\n- y: 2\n- l[2]: 3\n- l[1]: 2\n+ n: 0"
    before = json.dumps([old, new])
    assert readable(old, new) == expected
    assert json.dumps([old, new]) == before


def test_long_values_are_cut():
    assert readable({}, {"a": "x" * 198}) == f'+ a: "{"x" * 198}"'
    cut = f'"{"x" * 198}…'
    assert readable({"a": 1}, {"a": "x" * 199}) == f"~ a: 1 -> {cut}"
    assert readable({"a": "x" * 1000}, {"a": 1}) == f"~ a: {cut} -> 1"
    assert readable({"a": ["x" * 1000]}, {}) == f'- a: ["{"x" * 197}…'


def test_numbers_are_shown_as_they_were_written():
    old, new = formats.loads('{"a": 1e2, "b": 1.50}'), formats.loads('{"a": 1.010, "b": 1.5}')
    assert readable(old, new) == "~ a: 1e2 -> 1.010"


@given(VALUES, VALUES)
def test_one_line_for_each_change(old, new):
    before = json.dumps([old, new])
    text = readable(old, new)
    assert json.dumps([old, new]) == before
    assert len(text.splitlines()) == len(changes(old, new))
    assert (text == "") == same(old, new)
    assert all(line[:2] in {"+ ", "- ", "~ "} and ": " in line for line in text.splitlines())
