"""Show the way of one evaluation: each rule, each condition, each bucket."""

from collections.abc import Mapping
from typing import Any

from .conditions import JOINS, Condition, compile_condition
from .contexts import UNIT, Context, getter, unit_of
from .flags import CompiledFlag, compile_flag
from .hashing import bucket_of

Steps = dict[str, Any]
MAX_SHOWN = 200
"""Characters of what a condition found."""
MOST_SHOWN = 10
"""Elements of what a condition found."""


def explain(
    definition: Mapping[str, Any],
    segments: Mapping[str, Condition],
    flags: Mapping[str, CompiledFlag],
    context: Context,
) -> Steps:
    """Return the result of a valid flag and all that led to it.

    `prerequisites` have what was served; `rules` whether each matched, its condition part by
    part, and for a split the unit and its bucket. Rules after the deciding one are shown, too.
    """
    result = compile_flag(definition, segments, flags).evaluate(context)
    return {
        "result": result._asdict(),
        "is_enabled": definition.get("is_enabled", True),
        "prerequisites": [
            _prerequisite(entry, flags, context) for entry in definition.get("prerequisites") or []
        ],
        "rules": [
            _rule(rule, definition, segments, context) for rule in definition.get("rules") or []
        ],
    }


def _prerequisite(
    entry: Mapping[str, Any], flags: Mapping[str, CompiledFlag], context: Context
) -> Steps:
    served = flags[entry["flag"]].evaluate(context)
    wanted = entry["variants"] if "variants" in entry else [entry["variant"]]
    met = served.error is None and served.variant in wanted
    return {**entry, "served": served.variant, "reason": served.reason, "met": met}


def _rule(
    rule: Mapping[str, Any],
    definition: Mapping[str, Any],
    segments: Mapping[str, Condition],
    context: Context,
) -> Steps:
    when = rule.get("when")
    shown: Steps = {"id": rule["id"], "description": rule.get("description", ""), "matched": True}
    if when is not None:
        shown["when"] = _condition(when, segments, context)
        shown["matched"] = shown["when"]["outcome"]
    if "split" in rule["serve"]:
        by = definition.get("bucket_by") or UNIT
        shown["bucket_by"], shown["unit"] = by, unit_of(getter(by)(context))
        shown["bucket"] = _bucket(definition["salt"], shown["unit"])
    return {**shown, "serve": rule["serve"]}


def _bucket(salt: str, unit: str | None) -> int | None:
    try:
        return None if unit is None else bucket_of(salt, unit)
    except UnicodeEncodeError:
        return None


def _condition(
    condition: Mapping[str, Any], segments: Mapping[str, Condition], context: Context
) -> Steps:
    """Return a condition with its outcome and that of each of its parts, tried or not."""
    shown: Steps = {"outcome": compile_condition(condition, segments).test(context)}
    join = next((name for name in JOINS if name in condition), None)
    if join in {"all", "any"}:
        return shown | {join: [_condition(part, segments, context) for part in condition[join]]}
    if join == "not":
        return shown | {join: _condition(condition[join], segments, context)}
    if join is None:
        shown["found"] = _shortened(getter(condition["attribute"])(context))
        listed = condition.get("values")
        if listed is not None:
            return shown | {**condition, "values": len(listed)}
    return {**shown, **condition}


def _shortened(found: Any) -> Any:
    """Return what was found, of a long text its beginning, of an object or a long list its size."""
    if isinstance(found, str) and len(found) > MAX_SHOWN:
        return f"{found[:MAX_SHOWN]}… ({len(found):,} characters)"
    if isinstance(found, dict):
        return f"(object of {len(found):,})"
    if isinstance(found, list) and (len(found) > MOST_SHOWN or any(map(_is_large, found))):
        return f"(list of {len(found):,})"
    return found


def _is_large(part: Any) -> bool:
    return isinstance(part, list | dict) or (isinstance(part, str) and len(part) > MAX_SHOWN)
