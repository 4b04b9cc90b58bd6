"""Types of key values, and the marker that takes an inherited value away."""

from enum import StrEnum
from typing import Any

UNSET = "$unset"


class ValueType(StrEnum):
    """What a key's value is; null and containers are `json`."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"


def infer(value: Any) -> ValueType:
    """Return the type of a JSON value."""
    if isinstance(value, str):
        return ValueType.STRING
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    if isinstance(value, int | float):
        return ValueType.NUMBER
    return ValueType.JSON


def fits(wanted: str, found: str) -> bool:
    """Say whether a value of a type may stand under another; `json` takes every value."""
    return wanted in {ValueType.JSON, found}


def is_unset(value: Any) -> bool:
    """Say whether a value is the marker `{"$unset": true}`."""
    return isinstance(value, dict) and len(value) == 1 and value.get(UNSET) is True
