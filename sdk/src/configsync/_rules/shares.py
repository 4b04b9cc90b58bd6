"""Splits: who gets which share, and how shares change while as few as possible move.

A split is a list of `{"variant", "weight", "ranges"?}`, weights in percent in steps of 0.001.
`ranges` are the buckets of a variant, `[[from, to], …]` in the order in which they were taken;
with from > to they were taken downwards. Without ranges the variants lie one after the other, in
their order, the last of them taken downwards: it is what the others grow into.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .errors import Code, Path, RuleError
from .hashing import BUCKETS
from .limits import MAX_VARIANTS
from .reading import a_list, a_text, an_object, is_number

Range = tuple[int, int]
Ranges = list[Range]
Entry = Mapping[str, Any]

STEPS = 1_000  # of one percent
MAX_RANGES = 10_000
MEMBERS = frozenset({"variant", "weight", "ranges"})


def steps_of(weight: Any, path: Path) -> int:
    """Return a percentage as a number of buckets."""
    if not is_number(weight) or not 0 <= weight <= BUCKETS // STEPS:
        raise RuleError(Code.INVALID_SHARES, path, "a share is a number from 0 to 100")
    steps: int = round(weight * STEPS)
    if steps / STEPS != weight:
        raise RuleError(Code.INVALID_SHARES, path, "shares are in steps of 0.001")
    return steps


def shares_of(split: Any, path: Path) -> tuple[list[str], list[int]]:
    """Return the variants of a split and how many buckets each has; raise RuleError."""
    split = a_list(split, path, Code.INVALID_RULE, MAX_VARIANTS)
    weights = [_weight(entry, (*path, number)) for number, entry in enumerate(split)]
    names = [a_text(e.get("variant"), (*path, n), Code.INVALID_RULE) for n, e in enumerate(split)]
    if len({*names}) != len(names):
        raise RuleError(Code.INVALID_SHARES, path, "a variant has one share")
    if sum(weights) != BUCKETS:
        raise RuleError(Code.INVALID_SHARES, path, "shares must sum to 100")
    return names, weights


def read_split(split: Any, path: Path) -> list[tuple[str, Ranges]]:
    """Return the variants of a split with their ranges; raise RuleError."""
    names, weights = shares_of(split, path)
    if not any("ranges" in entry for entry in split):
        return list(zip(names, laid_out(weights), strict=True))
    ranges = [
        read_ranges(entry.get("ranges"), (*path, number, "ranges"))
        for number, entry in enumerate(split)
    ]
    if not _fit(ranges, weights):
        raise RuleError(Code.INVALID_SHARES, path, "the ranges are not those of the shares")
    return list(zip(names, ranges, strict=True))


def _weight(entry: Any, path: Path) -> int:
    an_object(entry, path, Code.INVALID_RULE, MEMBERS)
    return steps_of(entry.get("weight"), (*path, "weight"))


def read_ranges(ranges: Any, path: Path) -> Ranges:
    """Return stored ranges; raise RuleError."""
    for pair in a_list(ranges, path, Code.INVALID_SHARES, MAX_RANGES):
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2  # noqa: PLR2004
        if not is_pair or not all(type(end) is int for end in pair) or pair[0] == pair[1]:
            message = "a range is two different integers"
            raise RuleError(Code.INVALID_SHARES, path, message)
    return [(first, last) for first, last in ranges]


def _fit(ranges: Sequence[Ranges], weights: Sequence[int]) -> bool:
    """Tell whether ranges have the sizes of their weights and cover every bucket once."""
    if [sum(map(size, taken)) for taken in ranges] != [*weights]:
        return False
    every = sorted((min(pair), max(pair)) for taken in ranges for pair in taken)
    ends = [(0, 0), *every, (BUCKETS, BUCKETS)]
    return all(before[1] == after[0] for before, after in pairwise(ends))


def size(taken: Range) -> int:
    """Return how many buckets a range has."""
    return abs(taken[1] - taken[0])


def laid_out(weights: Sequence[int]) -> list[Ranges]:
    """Lay shares one after the other, the last one downwards."""
    found: list[Ranges] = []
    low = 0
    for weight in weights:
        found.append([(low, low + weight)] if weight else [])
        low += weight
    if found and found[-1]:
        ((low, high),) = found[-1]
        found[-1] = [(high, low)]
    return found


def relayout(old: Sequence[Entry] | None, new: Any, path: Path = ()) -> list[dict[str, Any]]:
    """Return the new split with the ranges that move the fewest; raise RuleError.

    The old one, if there is one, is valid. Ranges of the new one that fit are kept. Else a
    share that grows keeps what it has, one that shrinks gives back what it took last, one that
    is new takes what others give. Ranges are told only where they are not those of the order.
    """
    names, weights = shares_of(new, path)
    told = [entry.get("ranges") for entry in new]
    if all(isinstance(ranges, list) for ranges in told):
        kept = [read_ranges(ranges, path) for ranges in told]
        if _fit(kept, weights):
            return _entries(new, kept)
    if old is None:
        return _entries(new, laid_out(weights))
    before = dict(read_split(list(old), ()))
    ranges = [list(before.pop(name, [])) for name in names]
    free = [(min(pair), max(pair)) for taken in before.values() for pair in taken]
    for taken, weight in zip(ranges, weights, strict=True):
        free += _give(taken, sum(map(size, taken)) - weight)
    pool = _merged(sorted(free))
    for number, (taken, weight) in enumerate(zip(ranges, weights, strict=True)):
        _take(taken, weight - sum(map(size, taken)), pool, down=number == len(ranges) - 1)
    return _entries(new, ranges)


def _give(taken: Ranges, count: int) -> Ranges:
    """Give back so many buckets, those that were taken last first."""
    given: Ranges = []
    while count > 0:
        first, last = taken.pop()
        part = min(count, abs(last - first))
        count -= part
        cut = last - part if last > first else last + part
        given.append((min(cut, last), max(cut, last)))
        if cut != first:
            taken.append((first, cut))
    return given


def _take(taken: Ranges, count: int, pool: Ranges, *, down: bool) -> None:
    """Take so many buckets from the pool, from its top where `down`."""
    while count > 0:
        low, high = pool.pop(-1 if down else 0)
        part = min(count, high - low)
        count -= part
        if down:
            _append(taken, (high, high - part))
            rest = (low, high - part)
        else:
            _append(taken, (low, low + part))
            rest = (low + part, high)
        if rest[0] < rest[1]:
            pool.insert(len(pool) if down else 0, rest)


def _append(taken: Ranges, more: Range) -> None:
    """Append a range, as part of the last one where it goes on."""
    if taken and taken[-1][1] == more[0] and (taken[-1][0] < taken[-1][1]) == (more[0] < more[1]):
        more = (taken.pop()[0], more[1])
    taken.append(more)


def _merged(ranges: Ranges) -> Ranges:
    merged: Ranges = []
    for pair in ranges:
        _append(merged, pair)
    return merged


def _entries(split: Sequence[Entry], ranges: Sequence[Ranges]) -> list[dict[str, Any]]:
    """Return entries, with ranges where the order alone does not say them."""
    bare = [{"variant": entry["variant"], "weight": entry["weight"]} for entry in split]
    if [*ranges] == laid_out([round(entry["weight"] * STEPS) for entry in bare]):
        return bare
    return [
        {**entry, "ranges": [list(pair) for pair in taken]}
        for entry, taken in zip(bare, ranges, strict=True)
    ]
