"""The rules of values in plain Python: equality, types, levels, patches, addresses."""

import json
from collections.abc import Mapping
from typing import Any

GLOBAL = "_global"
GONE: Any = object()


def text(value: Any) -> str:
    """Write a value so that equal values, and only they, read the same: 1, 1.0 and true differ."""
    return "gone" if value is GONE else json.dumps(value, sort_keys=True)


def clone(value: Any) -> Any:
    return json.loads(json.dumps(value))


def kind(value: Any) -> str:
    kinds = {str: "string", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "json")


def is_unset(value: Any) -> bool:
    return text(value) == '{"$unset": true}'


def overlay(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a narrower document over a wider one."""
    for name, value in above.items():
        if is_unset(value):
            below.pop(name, None)
        elif isinstance(value, dict):
            wider = below.get(name)
            below[name] = overlay(wider if isinstance(wider, dict) else {}, value)
        else:
            below[name] = value
    return below


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a merge patch as RFC 7396 has it."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge_patch(target.get(name), value)
    return target


def dig(document: Mapping[str, Any], address: str) -> Any:
    """Find a key literally, else a member of an object."""
    head, _, rest = address.partition(".")
    below = document.get(head)
    inside = below.get(rest, GONE) if isinstance(below, dict) else GONE
    return document.get(address, inside)
