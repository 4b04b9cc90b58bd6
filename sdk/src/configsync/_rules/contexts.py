"""Who asks: the context, its attributes, and the unit that is bucketed."""

from collections.abc import Callable, Mapping
from operator import methodcaller
from typing import Any

UNIT = "targetingKey"
ALIAS = "user_id"
WHO = frozenset({UNIT, ALIAS})
MAX_BITS = 1024  # of an integer that a double can hold

Context = Mapping[str, Any]
Get = Callable[[Context], Any]


def context_of(user_id: Any = None, context: Context | None = None) -> dict[str, Any]:
    """Return the context to evaluate with, `targetingKey` and `user_id` being the same in it.

    The argument goes before the context's `targetingKey`, that before its `user_id`. An integer
    becomes its decimal text.
    """
    merged = dict(context) if context else {}
    for who in (user_id, merged.get(UNIT), merged.get(ALIAS)):
        if who is not None:
            unit = unit_of(who)
            merged[UNIT] = merged[ALIAS] = who if unit is None else unit
            break
    return merged


def unit_of(value: Any) -> str | None:
    """Return a text as it is and an integer in decimal; anything else is no unit."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= MAX_BITS:
        return str(int(value))
    return None


def getter(attribute: str) -> Get:
    """Return what reads an attribute: by its literal name, else as a dotted path; else None."""
    if "." not in attribute:
        return methodcaller("get", attribute)
    first, *others = attribute.split(".")

    def get(context: Context) -> Any:
        if attribute in context:
            return context[attribute]
        value = context.get(first)
        for step in others:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        return value

    return get
