"""Flags and conditions in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from configsync.cli import output

WIDTH = 40
MARKS = {True: "✓ ", False: "✗ ", None: ""}

Part = Mapping[str, Any]


def count(number: int, what: str) -> str:
    """Return a number of things."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def audience(flag: Part) -> str:
    """Return who gets the on variant of a flag, or of an old version of one, while it is on."""
    rules = list(flag.get("rules") or [])
    parts = []
    if rules and rules[0]["id"] == "target_users" and "values" in (rules[0].get("when") or {}):
        parts.append(count(len(rules.pop(0)["when"]["values"]), "user"))
    rollout = rules.pop() if rules and rules[-1]["id"] == "rollout" else None
    is_simple = flag.get("is_simple", True)
    if rules or not is_simple or (rollout and "split" not in rollout["serve"]):
        return count(len(flag["rules"]), "rule")
    if rollout is None and flag.get("default_variant") in {None, *_on_variants(flag)}:
        return "everybody"
    weight = rollout["serve"]["split"][0]["weight"] if rollout else 0
    if weight:
        parts.append(f"{weight:g} %")
    return " + ".join(parts) or "nobody"


def _on_variants(flag: Part) -> set[str]:
    variants = flag.get("variants") or {"on": True, "off": False}
    false = (name for name, value in variants.items() if value is False)
    likely = (flag.get("off_variant"), *false, "off", *reversed(list(variants)))
    return set(variants) - {next(name for name in likely if name in variants)}


def state(flag: Part) -> str:
    """Return whether a flag is on, and for whom."""
    is_on = flag.get("is_enabled", True)
    return f"on for {audience(flag)}" if is_on else f"off (for {audience(flag)} when on)"


def served(serve: Part) -> str:
    """Return what a rule serves."""
    if "split" not in serve:
        return str(serve["variant"])
    return ", ".join(f"{one['variant']} to {one['weight']:g} %" for one in serve["split"])


def condition(one: Part, depth: int = 0) -> Iterator[tuple[bool | None, str]]:
    """Yield a condition as indented lines, each with its outcome where it is an explained one."""
    outcome = one.get("outcome")
    mark = "  " * depth + MARKS[outcome]
    if "all" in one or "any" in one:
        join = "all" if "all" in one else "any"
        yield outcome, f"{mark}{join} of"
        for part in one[join]:
            yield from condition(part, depth + 1)
    elif "not" in one:
        yield outcome, f"{mark}not"
        yield from condition(one["not"], depth + 1)
    elif "segment" in one:
        yield outcome, f"{mark}in segment {one['segment']}"
    else:
        found = "" if outcome is None else f": {_found(one.get('found'))}"
        yield outcome, f"{mark}{comparison(one)}{found}"


def comparison(one: Part) -> str:
    """Return a comparison in words; of long operands the beginning."""
    operand = one.get("values", one.get("value"))
    is_number_of_values = "values" in one and isinstance(operand, int)
    words = [one["attribute"], "not" if one.get("negate") else "", one["op"]]
    if one["op"] != "exists":
        words.append(count(operand, "value") if is_number_of_values else _short(operand))
    words.append("(ignoring case)" if one.get("ignore_case") else "")
    return " ".join(filter(None, words))


def _short(value: Any) -> str:
    return output.short(value, WIDTH)


def _found(value: Any) -> str:
    return "it is not there" if value is None else f"it is {_short(value)}"
