"""`target_users` and `rollout_percentage`: two members that are a view of the rules.

Target users are the first rule, with the id `target_users`; a percentage is the last one, with
the id `rollout`. A flag with any other rule says more than they can.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .contexts import UNIT
from .definitions import ROLLOUT, TARGET_USERS, off_variant_of, on_variant_of
from .hashing import BUCKETS
from .shares import STEPS, steps_of

Rules = list[dict[str, Any]]
WHOLE = BUCKETS // STEPS


class View(NamedTuple):
    """What the two members show; None in both where the rules say more."""

    target_users: list[str] | None
    rollout_percentage: float | None
    is_representable: bool


BEYOND = View(None, None, is_representable=False)


def rules_of(
    definition: Mapping[str, Any],
    target_users: Sequence[str] | None,
    rollout_percentage: float | None,
) -> Rules:
    """Return the rules that the two members stand for, with the variants of a definition.

    No percentage: everybody; 0: only the target users. Raise RuleError for a percentage that is
    none.
    """
    on, off = on_variant_of(definition), off_variant_of(definition)
    rules: Rules = []
    if target_users:
        when = {"attribute": UNIT, "op": "in", "values": list(target_users)}
        rules.append(_rule(TARGET_USERS, {"variant": on}) | {"when": when})
    if rollout_percentage is not None:
        inside = steps_of(rollout_percentage, ("rollout_percentage",))
        outside = _percent(BUCKETS - inside)
        split = [
            {"variant": on, "weight": rollout_percentage},
            {"variant": off, "weight": outside},
        ]
        rules.append(_rule(ROLLOUT, {"split": split}))
    return rules


def _rule(rule_id: str, serve: Any) -> dict[str, Any]:
    return {"id": rule_id, "description": "", "when": None, "serve": serve}


def _percent(steps: int) -> float:
    whole, part = divmod(steps, STEPS)
    return steps / STEPS if part else whole


def view_of(definition: Mapping[str, Any]) -> View:
    """Return what the two members show of a valid definition's rules."""
    rules = list(definition.get("rules") or [])
    users: list[str] = []
    percentage: float | None = None
    if rules and rules[0]["id"] == TARGET_USERS:
        users = _values(rules.pop(0))
    if rules and rules[-1]["id"] == ROLLOUT:
        percentage = _share(rules.pop())
    if _bare(rules_of(definition, users, percentage)) != _bare(definition.get("rules")):
        return BEYOND
    return View(users, percentage, is_representable=True)


def _bare(rules: Any) -> list[tuple[Any, ...]]:
    """Return rules as they are compared: without descriptions."""
    return [(rule["id"], rule.get("when"), rule["serve"]) for rule in rules or []]


def _values(rule: Mapping[str, Any]) -> list[str]:
    values = (rule.get("when") or {}).get("values")
    return values if isinstance(values, list) else []


def _share(rule: Mapping[str, Any]) -> float | None:
    split = rule["serve"].get("split")
    return split[0]["weight"] if split else None
