"""What the client finds at an address is what the server finds, however it is spelled."""

import copy
import json
import pickle

import pytest
from configsync._document import BULLETS, FrozenDict, flatten, freeze, nested, without
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STEPS = st.sampled_from(["a", "b", "c", "d"])
NAMES = st.lists(STEPS, min_size=1, max_size=3).map(".".join)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("xy", max_size=2)
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=2),
    lambda below: st.dictionaries(NAMES, below, max_size=4),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)
ADDRESSES = st.lists(STEPS, min_size=1, max_size=6).map(".".join)
PLAIN = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@PLAIN
@given(wide=DOCUMENTS, narrow=DOCUMENTS, more=st.lists(ADDRESSES, max_size=5))
def test_every_address_gives_what_the_server_gives(desk, client, wide, narrow, more):
    desk.put(wide, environment=None)
    desk.put(narrow)
    one = client()
    one.initialize()
    addresses = [*one.snapshot().flat, *more]
    for address in addresses[:25]:
        try:
            expected = freeze(desk.value(address))
        except KeyError:
            expected = "nothing"
        assert json.dumps(one.get(address, "nothing")) == json.dumps(expected), address


def look_up(document, key):
    """Find a key as `app/effective/merge.py` says it."""
    if key in document:
        return document[key]
    steps = key.split(".")
    for place in range(1, len(steps)):
        below = document.get(".".join(steps[:place]))
        if isinstance(below, dict):
            try:
                return look_up(below, ".".join(steps[place:]))
            except KeyError:
                pass
    raise KeyError(key)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(DOCUMENTS, st.lists(ADDRESSES, max_size=20))
def test_the_flat_map_is_the_look_up(document, addresses):
    flat = flatten(document)
    for address in [*flat, *addresses]:
        try:
            expected = look_up(document, address)
        except KeyError:
            assert address not in flat
        else:
            assert flat[address] is expected


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(DOCUMENTS)
def test_frozen_documents_are_json_and_can_be_copied(document):
    frozen = freeze(document)
    assert json.loads(json.dumps(frozen)) == document
    for other in (pickle.loads(pickle.dumps(frozen)), copy.deepcopy(frozen), copy.copy(frozen)):
        assert other == frozen
        assert type(other) is FrozenDict


def test_frozen_documents_refuse_changes():
    frozen = freeze({"a": {"b": [1, {"c": 2}]}})
    for change in (
        lambda: frozen.update(a=1),
        lambda: frozen["a"].pop("b"),
        frozen["a"]["b"][1].clear,
        lambda: frozen.setdefault("x", 1),
        lambda: frozen.__setitem__("a", 1),
        lambda: frozen.__delitem__("a"),
        lambda: frozen.__ior__({}),
        lambda: frozen["a"]["b"].append(1),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert frozen == {"a": {"b": (1, {"c": 2})}}


def test_dotted_names_are_objects_for_models():
    document = {"a.b": 1, "a": {"c": 2, "d.e": 3}, "log": "x", "log.file": "y"}
    assert nested(document) == {"a": {"b": 1, "c": 2, "d": {"e": 3}}, "log": "x", "log.file": "y"}
    assert nested({"a": {"b": 1}}) == {"a": {"b": 1}}


def test_values_are_left_out_by_address():
    document = {"a": {"p": BULLETS, "q": 1}, "l": [{"p": BULLETS}, BULLETS], "x.y": 2}
    left = without(document, {"a.p", "l.0.p", "l.1", "x.y"})
    assert left == {"a": {"q": 1}, "l": [{}, None]}
