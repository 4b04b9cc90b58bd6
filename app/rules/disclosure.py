"""What clients are told: lists of people as hashes, so that only who knows an id finds it."""

from collections.abc import Mapping
from typing import Any

from .contexts import WHO, unit_of
from .hashing import told

Definition = Mapping[str, Any]


def disclose_flag(definition: Definition, salt: str) -> dict[str, Any]:
    """Return a valid flag with the people in its conditions hashed; it evaluates to the same."""
    rules = [
        {**rule, "when": disclose_condition(rule["when"], salt)} if rule.get("when") else rule
        for rule in definition.get("rules") or []
    ]
    return {**definition, "rules": rules}


def disclose_segment(segment: Definition, salt: str) -> dict[str, Any]:
    """Return a valid segment with its lists and the people in its condition hashed."""
    told_of = dict(segment)
    for name in ("included", "excluded"):
        if isinstance(ids := segment.get(name), list):
            told_of[name] = {"salt": salt, "hashed": _hashed(ids, salt)}
    if segment.get("when"):
        told_of["when"] = disclose_condition(segment["when"], salt)
    return told_of


def disclose_condition(condition: Definition, salt: str) -> dict[str, Any]:
    """Return a valid condition with the people in it hashed.

    Parts of ids (`starts_with` and the like) stay as they are: they cannot be found by a hash.
    """
    for join in ("all", "any"):
        if join in condition:
            return {join: [disclose_condition(inner, salt) for inner in condition[join]]}
    if "not" in condition:
        return {"not": disclose_condition(condition["not"], salt)}
    if condition.get("op") not in {"equals", "in"} or condition["attribute"] not in WHO:
        return dict(condition)
    values = condition["values"] if condition["op"] == "in" else [condition["value"]]
    units = [unit_of(value) for value in values]
    texts = [unit for unit in units if unit is not None]
    others = [value for value, unit in zip(values, units, strict=True) if unit is None]
    if not texts:
        return dict(condition)
    folded = [text.casefold() for text in texts] if condition.get("ignore_case") else texts
    kept = {name: condition[name] for name in condition if name not in {"value", "values"}}
    hashed = {**kept, "op": "in_hashed", "salt": salt, "values": _hashed(folded, salt)}
    if not others:
        return hashed
    # Switches and fractions among them are nobody's ids, and are told as they are.
    parts = [{**one, "negate": False} for one in (hashed, {**kept, "op": "in", "values": others})]
    return {"not": {"any": parts}} if condition.get("negate") else {"any": parts}


def _hashed(ids: list[Any], salt: str) -> list[str]:
    """Return the hashes in their own order, which says nothing of that of the ids."""
    return sorted({told(salt, str(unit_of(value))) for value in ids})
