"""The difference between two JSON values, member by member and in linear time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Path = tuple[str | int, ...]
Op = Literal["add", "remove", "replace"]

_COUNTED: dict[str, str] = {"add": "added", "remove": "removed", "replace": "changed"}


@dataclass(frozen=True, slots=True)
class Change:
    """Say that the value at `path` went from `old` to `new` (None where there was none)."""

    path: Path
    op: Op
    old: Any
    new: Any


def same(a: Any, b: Any) -> bool:
    """Tell whether two JSON values are equal, `true`, `1`, `1.0`, `0.0` and `-0.0` all apart.

    The order of an object's members does not count, that of an array's elements does. Floats
    are compared by value and sign, not by how a document spells them.
    """
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and len(a) == len(b)
            and all(key in b and same(value, b[key]) for key, value in a.items())
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return not isinstance(b, (dict, list)) and _scalar(a) == _scalar(b)


def json_patch(old: Any, new: Any) -> list[dict[str, Any]]:
    """Return the RFC 6902 operations (add, remove, replace) that turn `old` into `new`.

    Empty if and only if both are the `same`. Values in it are those of `new`, not copies.
    """
    return [_operation(change) for change in changes(old, new)]


def summary(patch: list[dict[str, Any]]) -> dict[str, int]:
    """Count a patch's operations as `{"added", "removed", "changed"}`."""
    counts = dict.fromkeys(_COUNTED.values(), 0)
    for operation in patch:
        counts[_COUNTED[operation["op"]]] += 1
    return counts


def pointer(path: Path) -> str:
    """Render a path as a JSON Pointer (RFC 6901); the whole document is the empty string."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def changes(old: Any, new: Any) -> Iterator[Change]:
    """Yield the changes from `old` to `new`, to be applied one after the other.

    Members come in the order of `old`, added ones after them in the order of `new`. Array
    elements are paired by place between the common head and tail; what is left over is removed
    from the end, or added in order.
    """
    numbers: dict[int, int] = {}
    classes: dict[Any, int] = {}
    _number(old, numbers, classes)
    _number(new, numbers, classes)
    return _walk(old, new, (), numbers)


def _operation(change: Change) -> dict[str, Any]:
    operation = {"op": change.op, "path": pointer(change.path)}
    return operation if change.op == "remove" else operation | {"value": change.new}


def _scalar(value: Any) -> Any:
    # bool before int: True is an int in Python; repr keeps the sign of zero
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, float):
        return ("float", float.__repr__(value))
    return ("int", value)


def _number(value: Any, numbers: dict[int, int], classes: dict[Any, int]) -> int:
    """Give equal subtrees equal numbers, found by `id`, so that comparing two costs nothing."""
    if isinstance(value, dict):
        members = ((key, _number(item, numbers, classes)) for key, item in value.items())
        content: Any = ("object", frozenset(members))
    elif isinstance(value, list):
        content = ("array", *[_number(item, numbers, classes) for item in value])
    else:
        content = _scalar(value)
    number = numbers[id(value)] = classes.setdefault(content, len(classes))
    return number


def _walk(old: Any, new: Any, path: Path, numbers: dict[int, int]) -> Iterator[Change]:
    if numbers[id(old)] == numbers[id(new)]:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _walk_object(old, new, path, numbers)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _walk_array(old, new, path, numbers)
    else:
        yield Change(path, "replace", old, new)


def _walk_object(
    old: dict[str, Any], new: dict[str, Any], path: Path, numbers: dict[int, int]
) -> Iterator[Change]:
    for key, value in old.items():
        if key in new:
            yield from _walk(value, new[key], (*path, key), numbers)
        else:
            yield Change((*path, key), "remove", value, None)
    for key, value in new.items():
        if key not in old:
            yield Change((*path, key), "add", None, value)


def _walk_array(
    old: list[Any], new: list[Any], path: Path, numbers: dict[int, int]
) -> Iterator[Change]:
    head, tail = _common(old, new, numbers)
    old_end, new_end = len(old) - tail, len(new) - tail
    paired = min(old_end, new_end)
    for place in range(head, paired):
        yield from _walk(old[place], new[place], (*path, place), numbers)
    for place in range(old_end - 1, paired - 1, -1):
        yield Change((*path, place), "remove", old[place], None)
    for place in range(paired, new_end):
        yield Change((*path, place), "add", None, new[place])


def _common(old: list[Any], new: list[Any], numbers: dict[int, int]) -> tuple[int, int]:
    """Count the elements that both arrays begin with, and those of the rest they end with."""
    shortest = min(len(old), len(new))
    head = 0
    while head < shortest and numbers[id(old[head])] == numbers[id(new[head])]:
        head += 1
    tail = 0
    while tail < shortest - head and numbers[id(old[~tail])] == numbers[id(new[~tail])]:
        tail += 1
    return head, tail
