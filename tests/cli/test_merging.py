"""The three-way merge that `edit` shows, and what the run rule makes of names."""

import json

import pytest
from configsync._errors import ConfigSyncError
from configsync.cli import formats, merging
from hypothesis import example, given
from hypothesis import strategies as st

from app.diff.three_way import three_way

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", 1.0])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES)


@example({"a": None}, {"a": {}}, {"a": {"a": None}})
@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_it_merges_as_the_server_does(base, ours, theirs):
    merged = merging.merge(base, ours, theirs)
    text = merging.text_of(merged, ("yours", "before", "theirs"))
    expected, conflicts = three_way(base, ours, theirs)
    assert merging.is_marked(text) == bool(conflicts)
    if not conflicts:
        assert merging.same(json.loads(text), expected)


@given(DOCUMENTS)
def test_what_nobody_else_changed_stays_as_it_is(document):
    assert merging.merge({}, document, {}) == document
    assert merging.merge(document, document, {}) == {}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("database.host", "DATABASE_HOST"),
        ("a-b c", "A_B_C"),
        ("9lives", "_9LIVES"),
        ("größe", "GR__E"),
        ("already_GOOD", "ALREADY_GOOD"),
    ],
)
def test_names_of_variables(address, name):
    assert formats.variable(address) == name


def test_two_addresses_of_one_name():
    assert formats.variables({"a.b": 1, "a": {"b": 1}}) == {"A_B": "1"}
    with pytest.raises(ConfigSyncError, match=r"'a.b' and 'a-b' would both be A_B"):
        formats.variables({"a.b": 1, "a-b": "2"})
