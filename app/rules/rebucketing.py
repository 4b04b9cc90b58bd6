"""Find out whether a save would move people who are already served."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any

from .contexts import UNIT
from .definitions import ROLLOUT
from .shares import read_split, relayout, size

Definition = Mapping[str, Any]
Split = list[dict[str, Any]]


class Rebucketing(StrEnum):
    """What would move people."""

    SALT = "salt"
    BUCKET_BY = "bucket_by"
    HASH_VERSION = "hash_version"
    VARIANT_ORDER = "variant_order"
    PROPORTIONS = "proportions"


def rebuckets(old: Definition, new: Definition) -> Rebucketing | None:
    """Say why a save would move people from one variant to another; None if it would not.

    Both are valid, the new one with the ranges that it will have (`with_ranges`). On and off,
    the percentage of the rule `rollout` and target lists are there to move people, so they do
    not count; nor do rules that come or go, and conditions.
    """
    after = _splits(new)
    splits = {
        rule_id: split
        for rule_id, split in _splits(old).items()
        if rule_id in after and _divides(split)
    }
    if not splits:
        return None
    for member, default, why in (
        ("salt", None, Rebucketing.SALT),
        ("bucket_by", UNIT, Rebucketing.BUCKET_BY),
        ("hash_version", 1, Rebucketing.HASH_VERSION),
    ):
        if (old.get(member) or default) != (new.get(member) or default):
            return why
    changes = (_moves(rule_id, splits[rule_id], after[rule_id]) for rule_id in splits)
    return next((why for why in changes if why), None)


def _splits(definition: Definition) -> dict[str, Split]:
    """Return what each rule serves as a split, by the rule's id."""
    found: dict[str, Split] = {}
    for rule in definition.get("rules") or []:
        serve = rule["serve"]
        found[rule["id"]] = serve.get("split") or [{"variant": serve["variant"], "weight": 100}]
    return found


def _divides(split: Split) -> bool:
    return len([entry for entry in split if entry["weight"] > 0]) > 1


def _moves(rule_id: str, old: Split, new: Split) -> Rebucketing | None:
    """Compare the splits of one rule."""
    before, after = ([entry["variant"] for entry in split] for split in (old, new))
    if rule_id == ROLLOUT and before == after and len(before) == 2 and _only_grows(old, new):  # noqa: PLR2004
        return None
    if [name for name in before if name in after] != [name for name in after if name in before]:
        return Rebucketing.VARIANT_ORDER
    return Rebucketing.PROPORTIONS if moved(old, new) else None


def _only_grows(old: Split, new: Split) -> bool:
    """Say whether a split is laid out as another percentage makes it, not by ranges of its own."""
    plain = [{name: entry[name] for name in entry if name != "ranges"} for entry in new]
    return dict(read_split(relayout(old, plain), ())) == dict(read_split(new, ()))


def moved(old: Split, new: Split) -> int:
    """Return how many of the 100,000 buckets get another variant."""
    places = [dict(read_split(split, ())) for split in (old, new)]
    edges = sorted(
        {end for place in places for taken in place.values() for p in taken for end in p}
    )
    served = [_at(place, edges) for place in places]
    return sum(
        size(edge)
        for edge, a, b in zip(pairwise(edges), served[0], served[1], strict=True)
        if a != b
    )


def _at(place: Mapping[str, list[tuple[int, int]]], edges: list[int]) -> list[str]:
    """Return the variant from each edge to the next."""
    starts = {min(pair): name for name, taken in place.items() for pair in taken}
    found, name = [], ""
    for edge in edges[:-1]:
        name = starts.get(edge, name)
        found.append(name)
    return found


def with_ranges(old: Definition | None, new: Definition) -> dict[str, Any]:
    """Return the new definition with its splits laid out so that the fewest move.

    Rules are the same where their ids are. The old definition is valid; the new one may hold
    anything: RuleError for shares that are none, the rest is for `compile_flag` to refuse.
    """
    listed = new.get("rules")
    if not isinstance(listed, list):
        return dict(new)
    rules = [] if old is None else old.get("rules") or []
    before = {rule["id"]: rule["serve"]["split"] for rule in rules if "split" in rule["serve"]}
    return {**new, "rules": [_laid(rule, before, number) for number, rule in enumerate(listed)]}


def _laid(rule: Any, before: Mapping[str, Split], number: int) -> Any:
    """Return a rule with its split laid out, or as it is."""
    serve = rule.get("serve") if isinstance(rule, Mapping) else None
    rule_id = rule.get("id") if isinstance(rule, Mapping) else None
    if not isinstance(serve, Mapping) or "split" not in serve:
        return rule
    path = ("rules", number, "serve", "split")
    was = before.get(rule_id) if isinstance(rule_id, str) else None
    return {**rule, "serve": {**serve, "split": relayout(was, serve["split"], path)}}
