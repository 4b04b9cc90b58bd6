"""Two edits of one document, shown in one text where they contradict each other."""

import json
from dataclasses import dataclass
from typing import Any

from configsync.cli import output

ABSENT: Any = object()
"""In the place of a value that a side does not have."""
MARKS = ("<<<<<<< ", "||||||| ", "=======", ">>>>>>> ")


@dataclass(frozen=True)
class Contradiction:
    """What both sides changed differently."""

    base: Any
    ours: Any
    theirs: Any


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal as JSON: 1 is neither 1.0 nor true."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def merge(base: Any, ours: Any, theirs: Any) -> Any:
    """Return the merged value, with a Contradiction wherever the two sides differ.

    Objects merge member by member, everything else as a whole, as the server does it.
    """
    if same(ours, theirs) or same(base, theirs):
        return ours
    if same(base, ours):
        return theirs
    sides = ({} if base is ABSENT else base, ours, theirs)
    if not all(isinstance(one, dict) and "$secret" not in one for one in sides):
        return Contradiction(base, ours, theirs)
    names = [*theirs, *(one for one in ours if one not in theirs)]
    merged = {name: merge(*(one.get(name, ABSENT) for one in sides)) for name in names}
    return {name: one for name, one in merged.items() if one is not ABSENT}


def text_of(value: dict[str, Any], names: tuple[str, str, str]) -> str:
    """Return a merged document as JSON, contradictions between markers as git writes them."""
    return "\n".join(_object(value, names, "")) + "\n"


def _object(value: dict[str, Any], names: tuple[str, str, str], indent: str) -> list[str]:
    lines = ["{"]
    for number, (name, one) in enumerate(value.items(), 1):
        comma = "," if number < len(value) else ""
        lines += _member(name, one, names, f"{indent}  ", comma)
    return [*lines, f"{indent}}}"]


def _member(
    name: str, value: Any, names: tuple[str, str, str], indent: str, comma: str
) -> list[str]:
    if isinstance(value, Contradiction):
        sides = (value.ours, value.base, value.theirs)
        lines = []
        for mark, who, side in zip(MARKS, (names[0], names[1], ""), sides, strict=False):
            lines.append(f"{mark}{who}")
            lines += [] if side is ABSENT else _member(name, side, names, indent, comma)
        return [*lines, f"{MARKS[3]}{names[2]}"]
    head = f"{indent}{output.dumps(name)}: "
    if isinstance(value, dict) and value:
        first, *rest = _object(value, names, indent)
    else:
        first, *rest = output.dumps(value, indent=2).split("\n")
        rest = [f"{indent}{line}" for line in rest]
    lines = [head + first, *rest]
    return [*lines[:-1], lines[-1] + comma]


def is_marked(text: str) -> bool:
    """Tell whether a text still has the markers of a contradiction."""
    return any(line.startswith((MARKS[0], MARKS[3])) for line in text.splitlines())
