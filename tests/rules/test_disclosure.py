"""Clients are told no ids, and come to the same results."""

import json

from hypothesis import given
from hypothesis import strategies as st

from app.rules.contexts import context_of
from app.rules.disclosure import disclose_flag, disclose_segment
from app.rules.flags import compile_all
from tests.rules.made import GERMAN, flag, rule, served, shares
from tests.rules.strategies import CONTEXTS, STEADY, UNITS, conditions

IDS = st.lists(st.sampled_from(["ada", "bob", "Zoë", "7", 7, "ADA"]), max_size=3)


@STEADY
@given(
    when=conditions(),
    units=st.lists(UNITS, min_size=1),
    context=CONTEXTS,
    included=IDS,
    excluded=IDS,
)
def test_what_is_told_evaluates_to_the_same(when, units, context, included, excluded):
    segments = {"s": {"included": included, "excluded": excluded, "when": GERMAN}}
    definition = flag(rule("r", "on", when), rule("s", shares(on=50, off=50)))
    told_segments = {"s": disclose_segment(segments["s"], "salt")}
    plain = compile_all({"f": definition}, segments)["f"]
    told = compile_all({"f": disclose_flag(definition, "salt")}, told_segments)["f"]
    for unit in units:
        asked = context_of(unit, context)
        assert told.evaluate(asked) == plain.evaluate(asked)
        raw = {**context, "targetingKey": unit}
        assert told.evaluate(raw) == plain.evaluate(raw)


def test_case_can_be_ignored_among_hashes():
    listed = {"attribute": "user_id", "op": "in", "values": ["ADA"], "ignore_case": True}
    told = disclose_flag(flag(rule("r", "on", listed)), "salt")
    assert served(told, "Ada").variant == "on"
    assert served(told, "bob").variant == "off"


def test_no_id_is_told():
    people = {"attribute": "user_id", "op": "equals", "value": "ada.lovelace", "negate": True}
    listed = {
        "attribute": "targetingKey",
        "op": "in",
        "values": ["bob", "4711"],
        "ignore_case": True,
    }
    segment = {"included": ["eve"], "excluded": ["ada.lovelace"], "when": {"not": people}}
    definition = flag(rule("target_users", "on", {"any": [{"all": [people]}, listed]}))
    text = json.dumps([disclose_flag(definition, "s"), disclose_segment(segment, "s")])
    assert not any(name in text for name in ("ada.lovelace", "bob", "4711", "eve"))
    assert "in_hashed" in text


def test_other_conditions_stay_as_they_are():
    definition = flag(rule("r", "on", GERMAN), rule("s", "on"))
    assert disclose_flag(definition, "s") == definition


@STEADY
@given(
    values=st.lists(st.sampled_from(["ada", 7, True, False, 1.5, 2.0]), min_size=1),
    who=st.sampled_from(["ada", "bob", 7, 8, True, False, 1.5, 2.5, None]),
    negate=st.booleans(),
)
def test_what_is_no_id_does_not_show_the_others(values, who, negate):
    listed = {"attribute": "targetingKey", "op": "in", "values": values, "negate": negate}
    plain = flag(rule("r", "on", listed))
    told = disclose_flag(plain, "salt")
    assert "ada" not in json.dumps(told["rules"])
    assert served(told, who) == served(plain, who)
