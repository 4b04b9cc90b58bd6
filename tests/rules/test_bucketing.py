"""Who is in which share: even, independent, and the same whatever grows."""

import math
import random
import subprocess
import sys
import uuid
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.hashing import bucket_of
from app.rules.rebucketing import moved
from app.rules.shares import BUCKETS, laid_out, read_split, relayout
from tests.rules.made import compiled, flag, rule, served, shares
from tests.rules.murmur import bucket, murmur3_32
from tests.rules.strategies import STEADY

IDS = (
    [str(number) for number in range(7_000)]
    + [f"user-{number}@example.org" for number in range(6_500)]
    + [str(uuid.UUID(int=number.getrandbits(128))) for number in [random.Random(4711)] * 6_500]
)
SALTS = [f"{number:016x}" for number in range(1, 35)]


def chi_square_limit(freedom: int, z: float = 3.09) -> float:
    """Return the value that chance passes once in 1,000 times (Wilson and Hilferty)."""
    return freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3


def chi_square(counts, expected):
    return sum((counts[place] - wanted) ** 2 / wanted for place, wanted in expected.items())


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0), (b"a", 0x3C2569B2), (b"abc", 0xB3DD93FA), (b"Hello, world!", 0xC0363E43)],
)
def test_the_second_opinion_is_murmur3(data, value):
    assert murmur3_32(data) == value


@STEADY
@given(salt=st.text(), unit=st.text())
def test_buckets_are_those_of_the_formula(salt, unit):
    assert bucket_of(salt, unit) == bucket(salt, unit)


def test_buckets_are_the_same_in_every_process():
    code = "from app.rules.hashing import bucket_of; print(bucket_of('salt', 'Zoë'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(said.stdout) == bucket("salt", "Zoë") == bucket_of("salt", "Zoë")


@pytest.mark.parametrize("salt", SALTS[:5])
def test_buckets_are_even(salt):
    counts = Counter(bucket_of(salt, unit) // 1_000 for unit in IDS)
    expected = dict.fromkeys(range(100), len(IDS) / 100)
    assert chi_square(counts, expected) < chi_square_limit(99)


def test_cohorts_of_different_flags_are_independent():
    cohorts = [{unit for unit in IDS if bucket_of(salt, unit) < BUCKETS // 10} for salt in SALTS]
    spread = math.sqrt(len(IDS) * 0.01 * 0.99)
    for one, other in combinations(cohorts, 2):
        expected = len(one) * len(other) / len(IDS)
        assert abs(len(one & other) - expected) / spread < 5


def test_variants_are_even_within_every_rollout():
    for percent in (1, 5, 10, 25, 50):
        split = shares(a=percent / 2, b=percent / 2, off=100 - percent)
        places = [served_by(split, bucket_of(SALTS[7], unit)) for unit in IDS]
        counts = Counter(places)
        expected = dict.fromkeys("ab", counts["a"] / 2 + counts["b"] / 2)
        assert chi_square(counts, expected) < chi_square_limit(1)


def test_two_flags_of_the_same_people_show_no_correlation():
    both = Counter((bucket_of("one", u) < 50_000, bucket_of("two", u) < 50_000) for u in IDS)
    quarter = dict.fromkeys(both, len(IDS) / 4)
    assert len(both) == 4
    assert chi_square(both, quarter) < chi_square_limit(3)


def test_growing_by_a_tenth_of_a_percent_moves_nobody_out():
    units = IDS[::40]
    inside: set[str] = set()
    for step in range(1_001):
        split = shares(on=step / 10, off=(1_000 - step) / 10)
        run = compiled(flag(rule("rollout", split))).evaluate
        now = {unit for unit in units if run({"targetingKey": unit}).value}
        assert inside <= now
        inside = now
    assert inside == {*units}


def test_growing_through_stored_ranges_moves_nobody_out():
    split = shares(a=0, b=0, off=100)
    owners: dict[int, str] = {}
    for step in range(0, 501, 5):
        split = relayout(split, shares(a=step / 10, b=step / 10, off=100 - step / 5))
        for number in range(0, BUCKETS, 997):
            owner = served_by(split, number)
            assert owners.get(number, "off") in {"off", owner}
            owners[number] = owner
    assert {*owners.values()} == {"a", "b"}


def served_by(split, number):
    return next(
        name
        for name, ranges in read_split(split, ())
        if any(min(pair) <= number < max(pair) for pair in ranges)
    )


@st.composite
def splits(draw, names="abcde"):
    """Return a split: some variants, in some order, with shares in steps of 0.001."""
    chosen = draw(st.permutations(names))[: draw(st.integers(1, len(names)))]
    cuts = sorted(
        draw(st.lists(st.integers(0, BUCKETS), min_size=len(chosen) - 1, max_size=len(chosen) - 1))
    )
    edges = [0, *cuts, BUCKETS]
    return [
        {"variant": name, "weight": (high - low) / 1_000}
        for name, low, high in zip(chosen, edges, edges[1:], strict=False)
    ]


def weights(split):
    return {entry["variant"]: round(entry["weight"] * 1_000) for entry in split}


@STEADY
@given(edits=st.lists(splits(), min_size=2, max_size=6))
def test_as_few_as_possible_move(edits):
    split = edits[0]
    for wanted in edits[1:]:
        after = relayout(split, wanted)
        assert [(e["variant"], e["weight"]) for e in after] == [
            (e["variant"], e["weight"]) for e in wanted
        ]
        before, now = weights(split), weights(after)
        lost = sum(max(0, share - now.get(name, 0)) for name, share in before.items())
        assert moved(split, after) == lost
        split = after


@STEADY
@given(first=splits(), second=splits())
def test_what_was_taken_last_is_given_back_first(first, second):
    there = relayout(first, second)
    grown = {n for n, share in weights(there).items() if share > weights(first).get(n, 0)}
    back = relayout(there, first)
    before, after = dict(read_split(first, ())), dict(read_split(back, ()))
    for name in grown & weights(first).keys():
        if weights(first)[name]:
            assert after[name] == before[name]


@STEADY
@given(first=splits(names="ab"), second=splits(names="ab"))
def test_two_variants_lie_as_their_order_says(first, second):
    """So a share of 30 % serves the same people whatever it was before, and elsewhere."""
    if [e["variant"] for e in first] == [e["variant"] for e in second]:
        assert relayout(first, second) == second


@STEADY
@given(first=splits(), second=splits())
def test_ranges_that_fit_are_kept(first, second):
    laid = relayout(first, second)
    if all("ranges" in entry for entry in laid):
        assert relayout(first, laid) == laid
        assert relayout(laid, second) == laid
    assert relayout(laid, laid) == laid


def test_a_variant_that_comes_later_only_extends():
    laid = relayout(shares(a=30, b=70), shares(a=30, b=50, c=20))
    assert laid == [
        {"variant": "a", "weight": 30, "ranges": [[0, 30_000]]},
        {"variant": "b", "weight": 50, "ranges": [[100_000, 50_000]]},
        {"variant": "c", "weight": 20, "ranges": [[50_000, 30_000]]},
    ]
    assert served(
        flag(rule("s", laid), variants=None, type="string")
        | {"variants": dict.fromkeys("abc", "x")},
        "u",
    ).bucket == bucket("5a17", "u")


def test_shares_lie_one_after_the_other():
    assert laid_out([30_000, 0, 70_000]) == [[(0, 30_000)], [], [(100_000, 30_000)]]
    third = read_split(shares(a=33.333, b=33.333, c=33.334), ())
    assert third[1] == ("b", [(33_333, 66_666)])
