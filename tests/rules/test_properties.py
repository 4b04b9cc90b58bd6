"""What holds for whatever conditions and contexts."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from app.rules.conditions import compile_condition
from app.rules.contexts import context_of
from app.rules.explaining import explain
from app.rules.flags import compile_all
from app.rules.segments import compile_segments
from tests.rules.made import GERMAN, flag, rule, shares
from tests.rules.strategies import CONTEXTS, STEADY, UNITS, VALUES, conditions

SEGMENTS = {"s": {"included": ["ada", 7], "excluded": ["bob"], "when": GERMAN}}
COMPILED, _ = compile_segments(SEGMENTS)


@STEADY
@given(condition=conditions(), unit=UNITS, context=CONTEXTS)
def test_a_negation_negates(condition, unit, context):
    asked = context_of(unit, context)
    outcome = compile_condition(condition, COMPILED).test(asked)
    assert outcome is not compile_condition({"not": condition}, COMPILED).test(asked)
    if "op" in condition:
        turned = {**condition, "negate": not condition.get("negate", False)}
        assert outcome is not compile_condition(turned, COMPILED).test(asked)


@STEADY
@given(parts=st.lists(conditions(), max_size=3), context=CONTEXTS)
def test_joins_are_those_of_logic(parts, context):
    each = [compile_condition(part, COMPILED).test(context) for part in parts]
    assert compile_condition({"all": parts}, COMPILED).test(context) is all(each)
    assert compile_condition({"any": parts}, COMPILED).test(context) is any(each)


@STEADY
@given(
    conditions=st.lists(conditions(), max_size=3),
    unit=VALUES,
    context=st.dictionaries(st.text(), VALUES) | CONTEXTS,
    by=st.sampled_from(["targetingKey", "a.b", "country"]),
)
def test_every_context_has_an_answer(conditions, unit, context, by):
    rules = [rule(str(number), "on", when) for number, when in enumerate(conditions)]
    definition = flag(*rules, rule("s", shares(on=50, off=50)), bucket_by=by)
    run = compile_all({"f": definition}, SEGMENTS)["f"].evaluate
    asked = context_of(unit, context)
    result = run(asked)
    assert result.variant in {"on", "off"}
    assert (result.bucket is None) or 0 <= result.bucket < 100_000
    assert run(dict(asked)) == result
    assert explain(definition, COMPILED, {}, asked)["result"] == result._asdict()


def test_the_deepest_definition_fits_the_stack():
    deep = GERMAN
    for _ in range(15):
        deep = {"all": [deep]}
    flags = {"0": flag(rule("r", "on", deep))}
    for number in range(1, 16):
        needed = [{"flag": str(number - 1), "variant": "on"}]
        flags[str(number)] = flag(rule("r", "on", deep), prerequisites=needed)
    run = compile_all(flags, {})["15"].evaluate
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(frames()) + 120)
    try:
        assert run({"country": "DE"}).value is True
    finally:
        sys.setrecursionlimit(limit)


def frames():
    found, frame = [], sys._getframe()
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
