"""What cannot be compiled is refused with a code and its place."""

import copy
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.errors import RuleError
from app.rules.flags import compile_all
from app.rules.rebucketing import with_ranges
from tests.rules.made import ADA, GERMAN, compiled, flag, rule, shares
from tests.rules.strategies import STEADY

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def when(condition):
    return flag(rule("r", "on", condition))


def compare(op, **operand):
    return when({"attribute": "a", "op": op, **operand})


def nested(depth):
    condition = GERMAN
    for _ in range(depth):
        condition = {"not": condition}
    return condition


def split(*entries):
    return flag(rule("s", [{"variant": v, "weight": w} for v, w in entries]))


WRONG = {
    "shares below 100": (
        split(("on", 50), ("off", 49.999)),
        "invalid_shares",
        ("rules", 0, "serve", "split"),
    ),
    "shares above 100": (split(("on", 50), ("off", 50.001)), "invalid_shares", None),
    "no shares": (split(), "invalid_shares", None),
    "a finer share": (split(("on", 33.3333), ("off", 66.6667)), "invalid_shares", None),
    "a negative share": (split(("on", -10), ("off", 110)), "invalid_shares", None),
    "NaN share": (split(("on", float("nan")), ("off", 50)), "invalid_shares", None),
    "a share of true": (split(("on", True), ("off", 99)), "invalid_shares", None),
    "one variant twice": (split(("on", 50), ("on", 50)), "invalid_shares", None),
    "share of an unknown variant": (split(("on", 50), ("maybe", 50)), "unknown_variant", None),
    "unknown variant": (
        flag(rule("r", "maybe")),
        "unknown_variant",
        ("rules", 0, "serve", "variant"),
    ),
    "unknown off variant": (flag(off_variant="maybe"), "unknown_variant", ("off_variant",)),
    "unknown default variant": (flag(default_variant=[]), "unknown_variant", ("default_variant",)),
    "unknown segment": (when({"segment": "x"}), "unknown_segment", ("rules", 0, "when", "segment")),
    "unknown prerequisite": (
        flag(prerequisites=[{"flag": "x", "variant": "on"}]),
        "unknown_prerequisite",
        ("prerequisites", 0, "flag"),
    ),
    "no regular expression": (
        compare("matches", value="a("),
        "invalid_regex",
        ("rules", 0, "when"),
    ),
    "back reference": (compare("matches", value=r"(a)\1"), "invalid_regex", None),
    "look-around": (compare("matches", value="(?=a)"), "invalid_regex", None),
    "long regular expression": (compare("matches", value="a" * 1001), "invalid_regex", None),
    "very long regular expression": (compare("matches", value="a" * 10_000), "invalid_regex", None),
    "many regular expressions": (compare("matches", values=["a"] * 101), "too_large", None),
    "a large regular expression": (compare("matches", value=r"\pL{1,100}a"), "invalid_regex", None),
    "a long text": (compare("equals", value="x" * 10_001), "wrong_operand", None),
    "huge repetition": (compare("matches", value="((a{100}){100}){100}"), "invalid_regex", None),
    "too deep": (when(nested(16)), "too_deep", None),
    "much too deep": (when(nested(5_000)), "too_deep", None),
    "a long list": (compare("in", values=["x"] * 100_001), "too_large", None),
    "many to search": (compare("contains", values=["x"] * 1_001), "too_large", None),
    "many comparisons": (when({"any": [GERMAN] * 2_001}), "too_large", None),
    "unknown operator": (
        compare("like", value="x"),
        "unknown_operator",
        ("rules", 0, "when", "op"),
    ),
    "no operator": (when({"attribute": "a"}), "invalid_condition", None),
    "no attribute": (when({"op": "exists"}), "invalid_condition", None),
    "unknown member": (compare("exists", negated=True), "invalid_condition", None),
    "negate is no boolean": (compare("exists", negate=1), "invalid_condition", None),
    "two in one": (when({"all": [], "any": []}), "invalid_condition", None),
    "a join that is no list": (when({"all": GERMAN}), "invalid_condition", None),
    "a condition that is none": (when([GERMAN]), "invalid_condition", None),
    "no value": (compare("equals"), "wrong_operand", None),
    "values for value": (compare("equals", values=["x"]), "wrong_operand", None),
    "value for values": (compare("in", value="x"), "wrong_operand", None),
    "both": (compare("contains", value="x", values=["y"]), "wrong_operand", None),
    "an object": (compare("equals", value={}), "wrong_operand", None),
    "null": (compare("in", values=[None]), "wrong_operand", None),
    "half a character": (compare("equals", value="\ud800"), "wrong_operand", None),
    "an empty part": (compare("contains", value=""), "wrong_operand", None),
    "a text for a number": (compare("lt", value="5"), "wrong_operand", None),
    "NaN": (compare("lt", value=float("nan")), "wrong_operand", None),
    "infinity": (compare("equals", value=float("inf")), "wrong_operand", None),
    "no date": (compare("before", value="soon"), "wrong_operand", None),
    "no version": (compare("semver_lt", value="1.x"), "wrong_operand", None),
    "no network": (compare("cidr", value="10.0.0.0/33"), "wrong_operand", None),
    "a mask": (compare("cidr", value="10.0.0.0/0.255.255.255"), "wrong_operand", None),
    "exists with a value": (compare("exists", value=True), "wrong_operand", None),
    "a number in another case": (compare("lt", value=1, ignore_case=True), "wrong_operand", None),
    "hashes without salt": (compare("in_hashed", values=[]), "wrong_operand", None),
    "wrong type": (flag(type="number", variants={"a": True}), "wrong_type", ("variants", "a")),
    "a text for a boolean": (flag(variants={"on": "true", "off": False}), "wrong_type", None),
    "NaN variant": (flag(type="number", variants={"a": float("nan")}), "wrong_type", None),
    "null for an object": (flag(type="object", variants={"a": None}), "wrong_type", None),
    "unknown type": (flag(type="json"), "invalid_flag", ("type",)),
    "no variants": (flag(type="string"), "invalid_flag", ("variants",)),
    "empty variants": (flag(variants={}), "invalid_flag", ("variants",)),
    "rule without id": (flag({"serve": {"variant": "on"}}), "invalid_rule", ("rules", 0, "id")),
    "a long id": (flag(rule("r" * 256, "on")), "too_large", ("rules", 0, "id")),
    "half a character in an id": (flag(rule("\ud800", "on")), "invalid_rule", None),
    "a large rule set": (
        flag(*(rule(str(n), "on", {"any": [GERMAN] * 201}) for n in range(10))),
        "too_large",
        ("rules",),
    ),
    "ranges of one only": (
        flag(
            rule("s", [{"variant": "on", "weight": 50, "ranges": [[0, 50_000]]}, *shares(off=50)])
        ),
        "invalid_shares",
        None,
    ),
    "ranges that overlap": (
        flag(
            rule(
                "s",
                [
                    {"variant": "on", "weight": 50, "ranges": [[0, 50_000]]},
                    {"variant": "off", "weight": 50, "ranges": [[49_999, 99_999]]},
                ],
            )
        ),
        "invalid_shares",
        None,
    ),
    "ranges of other sizes": (
        flag(
            rule(
                "s",
                [
                    {"variant": "on", "weight": 40, "ranges": [[0, 50_000]]},
                    {"variant": "off", "weight": 60, "ranges": [[50_000, 100_000]]},
                ],
            )
        ),
        "invalid_shares",
        None,
    ),
    "one id twice": (flag(rule("r", "on"), rule("r", "off")), "invalid_rule", ("rules", 1, "id")),
    "serves nothing": (flag({"id": "r", "serve": {}}), "invalid_rule", None),
    "serves two things": (
        flag({"id": "r", "serve": {"variant": "on", "split": []}}),
        "invalid_rule",
        None,
    ),
    "unknown member of a rule": (flag({**rule("r", "on"), "whe": ADA}), "invalid_rule", None),
    "no salt": (flag(rule("s", shares(on=50, off=50)), salt=None), "invalid_flag", ("salt",)),
    "another hash version": (flag(hash_version=2), "invalid_flag", ("hash_version",)),
    "hash version of true": (flag(hash_version=True), "invalid_flag", ("hash_version",)),
    "no bucket_by": (flag(bucket_by=["a"]), "invalid_flag", ("bucket_by",)),
    "is_enabled is a text": (flag(is_enabled="yes"), "invalid_flag", ("is_enabled",)),
    "no object": ([], "invalid_flag", ()),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused(name):
    definition, code, path = WRONG[name]
    with pytest.raises(RuleError) as caught:
        compile_all({"f": definition}, {})
    assert caught.value.code == code
    assert caught.value.path[:2] == ("flags", "f")
    assert path is None or caught.value.path[2:] == path
    assert caught.value.message


def test_circles_are_refused():
    circle = {
        name: flag(prerequisites=[{"flag": other, "variant": "on"}])
        for name, other in ("ab", "bc", "ca")
    }
    with pytest.raises(RuleError) as caught:
        compile_all(circle, {})
    assert (caught.value.code, caught.value.path) == ("prerequisite_cycle", ("flags", "a"))
    with pytest.raises(RuleError) as caught:
        compile_all(
            {},
            {"a": {"when": {"not": {"segment": "b"}}}, "b": {"when": {"any": [{"segment": "a"}]}}},
        )
    assert (caught.value.code, caught.value.path) == ("segment_cycle", ("segments", "a"))
    with pytest.raises(RuleError) as caught:
        compile_all({"a": flag(prerequisites=[{"flag": "a", "variant": "on"}])}, {})
    assert caught.value.code == "prerequisite_cycle"


def test_a_prerequisite_wants_a_variant_that_is_there():
    for wrong in ({"flag": "g"}, {"flag": "g", "variant": "x"}, {"flag": "g", "variants": "on"}):
        with pytest.raises(RuleError):
            compiled(flag(prerequisites=[wrong]), g=flag())


def chain(length):
    flags = {"0": flag()}
    for number in range(1, length):
        flags[str(number)] = flag(prerequisites=[{"flag": str(number - 1), "variant": "on"}])
    return flags


def test_chains_and_trees_of_prerequisites_have_limits():
    assert compile_all(chain(16), {})["15"].evaluate({}).variant == "on"
    with pytest.raises(RuleError) as caught:
        compile_all(chain(17), {})
    assert caught.value.code == "too_deep"
    layers = {f"0-{n}": flag() for n in range(10)}
    for layer in (1, 2, 3):
        needed = [{"flag": f"{layer - 1}-{n}", "variant": "on"} for n in range(10)]
        layers |= {f"{layer}-{n}": flag(prerequisites=needed) for n in range(10)}
    with pytest.raises(RuleError) as caught:
        compile_all(layers, {})
    assert caught.value.code == "too_large"


def test_segments_within_segments_have_limits():
    segments = {"0": {"when": GERMAN}}
    segments |= {str(n): {"when": {"segment": str(n - 1)}} for n in range(1, 16)}
    compile_all({}, segments)
    with pytest.raises(RuleError) as caught:
        compile_all({}, segments | {"16": {"when": {"segment": "15"}}})
    assert (caught.value.code, caught.value.path[:2]) == ("too_deep", ("segments", "16"))
    turned = {"0": {"when": GERMAN}}
    turned |= {str(n): {"when": {"not": {"segment": str(n - 1)}}} for n in range(1, 9)}
    with pytest.raises(RuleError) as caught:
        compile_all({}, turned)
    assert (caught.value.code, caught.value.path[:2]) == ("too_deep", ("segments", "8"))
    wide = {"0": {"when": {"any": [GERMAN] * 10}}}
    wide |= {str(n): {"when": {"any": [{"segment": str(n - 1)}] * 10}} for n in range(1, 4)}
    with pytest.raises(RuleError) as caught:
        compile_all({}, wide)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "segment",
    [[], {"included": "ada"}, {"included": [1.5]}, {"excluded": [None]}, {"included": [""]},
     {"included": {"salt": "s"}}, {"when": []}, {"included": ["x"] * 100_001}],
    ids=lambda segment: str(segment)[:40],
)  # fmt: skip
def test_wrong_segments_are_refused(segment):
    with pytest.raises(RuleError) as caught:
        compile_all({}, {"s": segment})
    assert caught.value.path[:2] == ("segments", "s")


def test_hostile_contexts_have_an_answer():
    hard = compare("matches", value="(a|aa)*(b|bb)*c$", negate=False)
    hard["rules"].append(rule("s", shares(on=50, off=50)))
    deep: object = "x"
    for _ in range(64):
        deep = {"a": deep}
    run = compiled(hard).evaluate
    began = time.monotonic()
    for value in (
        "a" * 2**20,
        float("nan"),
        deep,
        [[]],
        10**5_000,
        "\ud800" * 100,
        b"\xff",
        object(),
    ):
        assert run({"a": value, "targetingKey": value}).reason in {
            "rollout_percentage",
            "targeting_key_missing",
        }
    assert time.monotonic() - began < 60  # patience: backtracking would take for ever


def test_very_long_texts_and_lists_are_like_objects():
    for op, operand in (
        ("equals", {"value": "x" * 10_000, "ignore_case": True}),
        ("in", {"values": ["x"]}),
        ("contains", {"value": "x"}),
        ("starts_with", {"value": "x"}),
        ("matches", {"value": "x"}),
    ):
        run = compiled(compare(op, **operand)).evaluate
        assert run({"a": "x" * 10_000}).value is (op != "in")
        assert run({"a": "x" * 10_001}).value is False
        assert run({"a": ["x"] * 1_000}).value is (op in {"in", "contains"})
        assert run({"a": ["x"] * 1_001}).value is False


def places(thing, path=()):
    yield path
    if isinstance(thing, dict | list):
        steps = thing if isinstance(thing, dict) else range(len(thing))
        for step in list(steps):
            yield from places(thing[step], (*path, step))


EITHER = {"any": [GERMAN, {"not": {"segment": "s"}}]}
OLDER = {"attribute": "v", "op": "semver_lt", "value": "2"}
LAID = [
    {"variant": "on", "weight": 20, "ranges": [[0, 20_000]]},
    {"variant": "off", "weight": 80, "ranges": [[100_000, 20_000]]},
]
WHOLE = flag(
    rule("target_users", "on", ADA),
    rule("r", "on", {"all": [EITHER, OLDER]}),
    rule("rollout", LAID),
    type="boolean",
    variants={"on": True, "off": False},
    off_variant="off",
    default_variant="on",
    prerequisites=[{"flag": "g", "variants": ["on"]}],
    bucket_by="targetingKey",
    hash_version=1,
)
PLACES = [path for path in places(WHOLE) if path]


@STEADY
@given(path=st.sampled_from(PLACES), value=JSON)
def test_whatever_stands_anywhere_is_taken_or_refused(path, value):
    broken = copy.deepcopy(WHOLE)
    at = broken
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    segments = {"s": {"when": GERMAN, "included": ["ada"]}}
    with suppress(RuleError):  # and nothing else
        laid = with_ranges(WHOLE, broken) if path[0] == "rules" else broken
        found = compile_all({"f": laid, "g": flag()}, segments)["f"]
        assert found.evaluate({"targetingKey": "ada"}).variant in found.variants
