"""Merge two documents that derive from the same base."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.diff.patching import clone
from app.diff.structural import Path, pointer, same


class _Absent:
    """The type of ABSENT, of which there is one object, also after copying and pickling."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> Literal["ABSENT"]:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two different changes of one value; a side that has no such member is ABSENT."""

    path: str
    base: Any
    ours: Any
    theirs: Any


def three_way(
    base: Any, ours: Any, theirs: Any, *, is_whole: Callable[[Any], bool] = lambda _: False
) -> tuple[Any, list[Conflict]]:
    """Return the merged document and the conflicts, in which the merged document follows theirs.

    Objects merge member by member, arrays and scalars as wholes, compared by `structural.same`.
    Members come in their order in `theirs`, then those that `ours` added. Paths are JSON Pointers.
    Nothing is shared between the arguments, the document and the conflicts.
    """
    merge = _Merge(is_whole)
    return merge.walk(base, ours, theirs), merge.conflicts


def _alike(a: Any, b: Any) -> bool:
    return a is b if a is ABSENT or b is ABSENT else same(a, b)


@dataclass(slots=True)
class _Merge:
    """One walk over three values."""

    is_whole: Callable[[Any], bool]
    """Says of an object that it is one value."""
    path: list[str | int] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def walk(self, base: Any, ours: Any, theirs: Any) -> Any:
        # objects are only compared where the walk ends, or time would grow with depth
        if self._has_members(ours) and self._has_members(theirs):
            if self._has_members(base):
                return self.walk_objects(base, ours, theirs)
            if base is ABSENT:
                return self.walk_objects({}, ours, theirs)
        if _alike(base, ours) or _alike(ours, theirs):
            return clone(theirs)
        if _alike(base, theirs):
            return clone(ours)
        at: Path = tuple(self.path)
        self.conflicts.append(Conflict(pointer(at), clone(base), clone(ours), clone(theirs)))
        return clone(theirs)

    def _has_members(self, value: Any) -> bool:
        return isinstance(value, dict) and not self.is_whole(value)

    def walk_objects(
        self, base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
    ) -> dict[str, Any]:
        merged = {}
        for key in theirs | ours:
            sides = (side.get(key, ABSENT) for side in (base, ours, theirs))
            self.path.append(key)
            value = self.walk(*sides)
            self.path.pop()
            if value is not ABSENT:
                merged[key] = value
        return merged
