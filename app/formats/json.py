"""Strict JSON: what comes in is kept as it was written, or refused with a reason."""

import hashlib
import json
import math
import re
from typing import Any, NoReturn, Self

import orjson

MAX_DEPTH = 64
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class JsonError(ValueError):
    """Text that is not acceptable JSON; `args[0]` says why without quoting it."""


class Lexeme(float):
    """A number that remembers how it was written (`1e2`, `-0`, `1.50`)."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Read the number and keep its text."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __reduce__(self) -> tuple[type["Lexeme"], tuple[str]]:
        return (Lexeme, (self.text,))


def loads(raw: bytes | str) -> Any:
    """Parse strictly; raise JsonError.

    Refused: bytes that are not UTF-8, duplicate members, NaN and infinities, numbers that a
    double cannot hold, NUL and lone surrogates in strings, nesting deeper than 64.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonError("not valid UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(f"not valid JSON: {error.msg} at position {error.pos}") from None
    except RecursionError:
        raise JsonError(f"nested deeper than {MAX_DEPTH}") from None
    if not isinstance(raw, str) and text.startswith("\ufeff"):
        raise JsonError("not valid JSON: byte order mark")
    _check(value, strings=_SUSPECT_ESCAPE.search(text) is not None)
    return value


def read(raw: bytes) -> Any:
    """Parse as strictly as `loads`, but numbers forget how they were written; raise JsonError.

    Several times as fast for what is usual; all else is left to `loads`.
    """
    if b"\\" in raw:
        return loads(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return loads(raw)
    # What comes out the same when it is written again had no member twice, no -0, no integer
    # that orjson makes a float, and the like.
    compact = raw.replace(b'": ', b'":').replace(b", ", b",") if b" " in raw else raw
    is_usual = orjson.dumps(value) == compact
    return value if is_usual and raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH else loads(raw)


def dumps(value: Any) -> str:
    """Write compact JSON, numbers as they were written, members in their order."""
    if _has_lexeme(value):
        return _write(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """Write the one text that equal values share: members sorted, numbers normalized."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def checksum(value: Any) -> str:
    """Return the SHA-256 of the canonical text, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _integer(text: str) -> int | Lexeme:
    if text == "-0":
        return Lexeme(text)
    if not math.isfinite(float(text)):
        raise JsonError("a number is too large for a double")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError("a number is too large for a double")
    return value if repr(value) == text else Lexeme(text)


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonError("an object has the same member twice")
    return members


_DECODER = json.JSONDecoder(
    parse_float=_float,
    parse_int=_integer,
    parse_constant=_constant,
    object_pairs_hook=_members,
)


def _check(value: Any, *, strings: bool) -> None:
    """Refuse what the scanner lets pass: depth, and NUL or half a character in strings."""
    level: list[Any] = [value]
    depth = 0
    while level:
        below: list[Any] = []
        if depth == MAX_DEPTH and any(isinstance(item, dict | list) for item in level):
            raise JsonError(f"nested deeper than {MAX_DEPTH}")
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
                if strings:
                    below.extend(item)
            elif isinstance(item, list):
                below.extend(item)
            elif strings and isinstance(item, str):
                check_text(item)
        level = below
        depth += 1


def check_text(text: str) -> None:
    """Raise JsonError for a string that PostgreSQL or UTF-8 cannot hold."""
    if "\x00" in text:
        raise JsonError("a string contains NUL")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise JsonError("a string contains half a character (lone surrogate)") from None


def _has_lexeme(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_lexeme, value.values()))
    if isinstance(value, list):
        return any(map(_has_lexeme, value))
    return isinstance(value, Lexeme)


def _write(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{json.dumps(k, ensure_ascii=False)}:{_write(v)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, Lexeme):
        return value.text
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
