"""The difference between two JSON values as text for people."""

import re
from typing import Any

from app.diff.structural import Change, Path, changes
from app.formats import json

_SHOWN = 200
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
# JSON leaves these as they are, but they end a line
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\u0085\u2028\u2029"}


def readable(old: Any, new: Any) -> str:
    """Return the changes from `old` to `new`, one a line, as `structural.changes` orders them.

    Lines are `+ path: value`, `- path: value` or `~ path: old -> new`, without a line end after
    the last; empty if both are the `same`. The path of the whole document is `$`. Values are JSON
    of at most 200 characters, the last of them `…` where there was more.
    """
    return "\n".join(map(_line, changes(old, new)))


def _line(change: Change) -> str:
    path = _path(change.path)
    if change.op == "add":
        return f"+ {path}: {_value(change.new)}"
    if change.op == "remove":
        return f"- {path}: {_value(change.old)}"
    return f"~ {path}: {_value(change.old)} -> {_value(change.new)}"


def _path(path: Path) -> str:
    return "".join(map(_step, path)).removeprefix(".") or "$"


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN.fullmatch(step) else f"[{_text(step)}]"


def _text(value: Any) -> str:
    return json.dumps(value).translate(_LINE_ENDS)


def _value(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
