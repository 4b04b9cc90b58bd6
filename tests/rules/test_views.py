"""Two members that are a view of the rules, and saves that would move people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.errors import RuleError
from app.rules.rebucketing import rebuckets, with_ranges
from app.rules.view import BEYOND, rules_of, view_of
from tests.rules.made import ADA, GERMAN, compiled, flag, rule, shares
from tests.rules.strategies import STEADY

PERCENT = st.integers(0, 100_000).map(lambda steps: steps / 1_000)


@STEADY
@given(
    users=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True),
    percentage=st.none() | PERCENT | st.integers(0, 100),
)
def test_members_come_back_from_their_rules(users, percentage):
    definition = flag()
    definition["rules"] = rules_of(definition, users, percentage)
    assert view_of(definition) == (users, percentage, True)
    run = compiled(definition).evaluate
    assert all(run({"targetingKey": user}).reason == "user_targeted" for user in users)


@pytest.mark.parametrize("percentage", [-1, 100.1, 33.3333, float("nan"), True, "50"])
def test_a_percentage_is_one(percentage):
    with pytest.raises(RuleError):
        rules_of(flag(), None, percentage)


@pytest.mark.parametrize(
    "rules",
    [
        [rule("r", "on", GERMAN)],
        [rule("target_users", "on", ADA), rule("r", "on"), rule("rollout", shares(on=1, off=99))],
        [rule("rollout", shares(on=50, off=50)), rule("target_users", "on", ADA)],
        [rule("target_users", "off", ADA)],
        [rule("target_users", "on", GERMAN)],
        [rule("target_users", "on", {**ADA, "negate": True})],
        [rule("target_users", "on")],
        [rule("rollout", "on")],
        [rule("rollout", shares(off=50, on=50))],
        [rule("rollout", shares(on=50, off=50), GERMAN)],
        [rule("target_users", shares(on=50, off=50), ADA)],
    ],
    ids=lambda rules: "-".join(rule["id"] for rule in rules),
)
def test_rules_may_say_more(rules):
    assert view_of(flag(*rules)) == BEYOND


def test_descriptions_do_not_count():
    told = {**rule("rollout", shares(on=20, off=80)), "description": "slowly"}
    assert view_of(flag(told)) == ([], 20, True)


TEXTS = {"type": "string", "variants": dict.fromkeys("abcd", "x")}
BASE = flag(rule("s", shares(a=30, b=70)), **TEXTS)
ROLLING = flag(rule("rollout", shares(on=50, off=50)))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (BASE, {**BASE, "salt": "other"}, "salt"),
        (BASE, {**BASE, "bucket_by": "company"}, "bucket_by"),
        (BASE, {**BASE, "hash_version": 2}, "hash_version"),
        (BASE, flag(rule("s", shares(b=70, a=30)), **TEXTS), "variant_order"),
        (BASE, flag(rule("s", shares(a=31, b=69)), **TEXTS), "proportions"),
        (BASE, flag(rule("s", shares(a=30, b=60, c=10)), **TEXTS), "proportions"),
        (BASE, flag(rule("s", "b"), **TEXTS), "proportions"),
        (ROLLING, {**ROLLING, "salt": "other"}, "salt"),
        (BASE, BASE, None),
        (BASE, {**BASE, "is_enabled": False, "bucket_by": "targetingKey", "hash_version": 1}, None),
        (BASE, flag(rule("s", shares(a=30, b=70, c=0)), **TEXTS), None),
        (BASE, flag(rule("t", shares(a=1, b=99)), **TEXTS), None),
        (BASE, flag(rule("s", shares(a=30, b=70), GERMAN), **TEXTS), None),
        (BASE, flag(salt="other", **dict(TEXTS.items())), None),
        (ROLLING, flag(rule("rollout", shares(on=10, off=90))), None),
        (ROLLING, flag(rule("target_users", "on", ADA), *ROLLING["rules"]), None),
        (ROLLING, flag(), None),
        (flag(), {**ROLLING, "salt": "other"}, None),
        (
            flag(rule("rollout", shares(on=100, off=0))),
            {**flag(rule("rollout", shares(on=100, off=0))), "salt": "x"},
            None,
        ),
        (flag(rule("s", "a"), **TEXTS), BASE, None),
    ],
)
def test_only_what_moves_people_must_be_accepted(old, new, why):
    assert rebuckets(old, with_ranges(old, new)) == why


def test_ranges_come_from_the_rule_that_was_there():
    first = flag(rule("s", shares(a=30, b=30, c=40)), rule("r", "a", GERMAN), **TEXTS)
    second = with_ranges(
        first, {**first, "rules": [rule("s", shares(a=40, b=30, c=30)), *first["rules"][1:]]}
    )
    assert second["rules"][0]["serve"]["split"] == [
        {"variant": "a", "weight": 40, "ranges": [[0, 30_000], [60_000, 70_000]]},
        {"variant": "b", "weight": 30, "ranges": [[30_000, 60_000]]},
        {"variant": "c", "weight": 30, "ranges": [[100_000, 70_000]]},
    ]
    assert second["rules"][1] == first["rules"][1]
    old, new = compiled(first).evaluate, compiled(second).evaluate
    for number in range(500):
        before, after = (run({"targetingKey": str(number)}).variant for run in (old, new))
        assert before == after or (before, after) == ("c", "a")
    assert with_ranges(None, first)["rules"] == first["rules"]


def test_a_variant_that_becomes_a_split_lies_as_its_order_says():
    split = flag(rule("s", shares(a=30, b=70)), **TEXTS)
    assert with_ranges(flag(rule("s", "b"), **TEXTS), split) == split
