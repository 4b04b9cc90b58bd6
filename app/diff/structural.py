"""The difference between two JSON values, member by member and in linear time."""

from dataclasses import dataclass, field
from typing import Any, Literal

from app.formats import json

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


def changes(old: Any, new: Any) -> list[Change]:
    """Return the changes from `old` to `new`, to be applied one after the other.

    Members come in the order of `old`, added ones after them in the order of `new`. Array
    elements are paired by place between the common head and tail; what is left over is removed
    from the end, or added in order.
    """
    comparison = _Comparison()
    classes: dict[Any, int] = {}
    _number(old, comparison.numbers, classes)
    _number(new, comparison.numbers, classes)
    comparison.walk(old, new)
    return comparison.found


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


@dataclass(slots=True)
class _Comparison:
    """One walk over two values whose subtrees are numbered."""

    numbers: dict[int, int] = field(default_factory=dict)
    path: list[str | int] = field(default_factory=list)
    found: list[Change] = field(default_factory=list)

    def alike(self, old: Any, new: Any) -> bool:
        return self.numbers[id(old)] == self.numbers[id(new)]

    def report(self, op: Op, step: str | int, old: Any, new: Any) -> None:
        self.found.append(Change((*self.path, step), op, old, new))

    def walk(self, old: Any, new: Any) -> None:
        if self.alike(old, new):
            return
        if isinstance(old, dict) and isinstance(new, dict):
            self.walk_object(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            self.walk_array(old, new)
        else:
            self.found.append(Change(tuple(self.path), "replace", old, new))

    def descend(self, step: str | int, old: Any, new: Any) -> None:
        self.path.append(step)
        self.walk(old, new)
        self.path.pop()

    def walk_object(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        for key, value in old.items():
            if key in new:
                self.descend(key, value, new[key])
            else:
                self.report("remove", key, value, None)
        for key, value in new.items():
            if key not in old:
                self.report("add", key, None, value)

    def walk_array(self, old: list[Any], new: list[Any]) -> None:
        head, tail = self.common(old, new)
        old_end, new_end = len(old) - tail, len(new) - tail
        paired = min(old_end, new_end)
        for place in range(head, paired):
            self.descend(place, old[place], new[place])
        for place in range(old_end - 1, paired - 1, -1):
            self.report("remove", place, old[place], None)
        for place in range(paired, new_end):
            self.report("add", place, None, new[place])

    def common(self, old: list[Any], new: list[Any]) -> tuple[int, int]:
        """Count the elements that both begin with, and those of the rest that both end with."""
        shortest = min(len(old), len(new))
        head = 0
        while head < shortest and self.alike(old[head], new[head]):
            head += 1
        tail = 0
        while tail < shortest - head and self.alike(old[~tail], new[~tail]):
            tail += 1
        return head, tail


def patch_text(old_text: str, new_text: str) -> str:
    """Return the RFC 6902 patch between two JSON documents as JSON text."""
    return json.dumps(json_patch(json.loads(old_text), json.loads(new_text)))
