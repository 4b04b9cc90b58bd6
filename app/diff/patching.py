"""Change a JSON document by a patch: operations (RFC 6902) or a partial document (RFC 7396)."""

import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from app.diff.structural import pointer, same
from app.formats.json import MAX_DEPTH, Lexeme

Kind = Literal["malformed", "missing", "test"]
Tokens = tuple[str, ...]

MAX_OPERATIONS = 10_000
MAX_COPIED = 1_000_000
_TEXT_OF_ONE_VALUE = 32  # characters; longer texts count as several values
_SHOWN = 200

_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")
_WITH_VALUE = ("add", "replace", "test")
_WITH_SOURCE = ("move", "copy")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


class PatchError(ValueError):
    """A patch that was refused: `args[0]` says why, `index` at which operation.

    The index is -1 where the patch as a whole is at fault. `kind` is "malformed" for a patch that
    no document could take, "missing" where this document lacks a path, "test" where a test failed.
    """

    def __init__(self, reason: str, index: int, kind: Kind) -> None:
        super().__init__(reason)
        self.index = index
        self.kind: Kind = kind

    def __reduce__(self) -> tuple[type["PatchError"], tuple[str, int, Kind]]:
        return (PatchError, (self.args[0], self.index, self.kind))


def apply_patch(document: Any, patch: Any) -> Any:
    """Return the document changed by all operations of an RFC 6902 patch, or raise PatchError.

    Every operation is checked before the first is applied, so "malformed" comes before "missing"
    and "test". Values of a `test` are compared by `structural.same`. Refused as malformed: more
    than 10,000 operations, more than 1,000,000 values copied, nesting deeper than 64, and the
    removal of the whole document. The result shares nothing with the arguments.
    """
    if not isinstance(patch, list):
        raise PatchError("A patch must be an array of operations.", -1, "malformed")
    if len(patch) > MAX_OPERATIONS:
        reason = f"A patch may have at most {MAX_OPERATIONS} operations."
        raise PatchError(reason, MAX_OPERATIONS, "malformed")
    operations = [_operation(index, raw) for index, raw in enumerate(patch)]
    patching = _Patching({"": clone(document)})
    for operation in operations:
        patching.apply(operation)
    return patching.root[""]


def merge_patch(document: Any, patch: Any) -> Any:
    """Return the document changed by an RFC 7396 merge patch, sharing nothing with either."""
    return _merge(clone(document), patch)


def clone(value: Any) -> Any:
    """Copy a JSON value's objects and arrays; its scalars stay, as they never change."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return clone(patch)
    merged = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


@dataclass(frozen=True, slots=True)
class _Operation:
    """A checked operation; its paths begin with the token "", which leads to the document."""

    index: int
    name: str
    path: Tokens
    source: Tokens = ()
    value: Any = None

    def refuse(self, kind: Kind, reason: str) -> NoReturn:
        raise PatchError(reason, self.index, kind)

    def refuse_missing(self, path: Tokens) -> NoReturn:
        self.refuse("missing", f"The document has no value at {_shown(path)}.")

    def refuse_place(self) -> NoReturn:
        self.refuse("missing", f"The document cannot take a value at {_shown(self.path)}.")


def _operation(index: int, raw: Any) -> _Operation:
    """Check one operation by itself; members that its kind does not define are ignored."""
    if not isinstance(raw, dict):
        raise PatchError("An operation must be an object.", index, "malformed")
    name = raw.get("op")
    if not isinstance(name, str) or name not in _OPERATIONS:
        reason = f"An operation's `op` must be one of {', '.join(_OPERATIONS)}."
        raise PatchError(reason, index, "malformed")
    if name in _WITH_VALUE and "value" not in raw:
        raise PatchError(f"The operation {name} needs a `value`.", index, "malformed")
    path = _tokens(index, raw, "path")
    source = _tokens(index, raw, "from") if name in _WITH_SOURCE else ()
    operation = _Operation(index, name, path, source, raw.get("value"))
    if name == "remove" and len(path) == 1:
        operation.refuse("malformed", "The whole document cannot be removed.")
    if name == "move" and len(source) < len(path) and path[: len(source)] == source:
        operation.refuse("malformed", f"Cannot move {_shown(source)} into itself.")
    return operation


def _tokens(index: int, raw: dict[str, Any], member: Literal["path", "from"]) -> Tokens:
    text = raw.get(member)
    if not isinstance(text, str):
        reason = f"The operation {raw['op']} needs a `{member}` that is a string."
        raise PatchError(reason, index, "malformed")
    if text and not text.startswith("/"):
        reason = f"An operation's `{member}` must be empty or begin with a slash."
        raise PatchError(reason, index, "malformed")
    if _BAD_ESCAPE.search(text):
        reason = f"In an operation's `{member}`, a tilde must be written ~0 and a slash ~1."
        raise PatchError(reason, index, "malformed")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/"))


@dataclass(slots=True)
class _Patching:
    """The document, as the only member of `root`, between two operations."""

    root: dict[str, Any]
    copied: int = 0

    def apply(self, operation: _Operation) -> None:
        match operation.name:
            case "add":
                self.add(operation, clone(operation.value), _depth(operation.value))
            case "replace":
                self.replace(operation)
            case "remove":
                self.take(operation, operation.path)
            case "move":
                self.move(operation)
            case "copy":
                value = self.at(operation, operation.source)
                depth = self.account(operation, value)
                self.add(operation, clone(value), depth)
            case _:
                if not same(self.at(operation, operation.path), operation.value):
                    operation.refuse("test", f"The test of {_shown(operation.path)} failed.")

    def at(self, operation: _Operation, path: Tokens) -> Any:
        value: Any = self.root
        for token in path:
            place = _place(value, token)
            if place is None:
                operation.refuse_missing(path)
            value = value[place]
        return value

    def add(self, operation: _Operation, value: Any, depth: int) -> None:
        path = operation.path
        container = self.at(operation, path[:-1])
        _check_depth(operation, depth)
        if isinstance(container, dict):
            container[path[-1]] = value
        elif isinstance(container, list):
            place = len(container) if path[-1] == "-" else _index(path[-1])
            if place is None or place > len(container):
                operation.refuse_place()
            container.insert(place, value)
        else:
            operation.refuse_place()

    def replace(self, operation: _Operation) -> None:
        container, place = self.existing(operation, operation.path)
        _check_depth(operation, _depth(operation.value))
        container[place] = clone(operation.value)

    def move(self, operation: _Operation) -> None:
        value = self.take(operation, operation.source)
        deeper = len(operation.path) > len(operation.source)
        depth = self.account(operation, value) if deeper else 0
        self.add(operation, value, depth)

    def take(self, operation: _Operation, path: Tokens) -> Any:
        container, place = self.existing(operation, path)
        return container.pop(place)

    def existing(self, operation: _Operation, path: Tokens) -> tuple[Any, str | int]:
        container = self.at(operation, path[:-1])
        place = _place(container, path[-1])
        if place is None:
            operation.refuse_missing(path)
        return container, place

    def account(self, operation: _Operation, value: Any) -> int:
        """Count what a copy or a move into the depth walks over; return the value's depth."""
        levels = _levels(value)
        self.copied += sum(_weight(item) for level in levels for item in level)
        if self.copied > MAX_COPIED:
            operation.refuse("malformed", f"A patch may copy at most {MAX_COPIED} values.")
        return _container_levels(levels)


def _place(container: Any, token: str) -> str | int | None:
    """Return the key or index of an existing member or element, None if there is none."""
    if isinstance(container, dict):
        return token if token in container else None
    if isinstance(container, list):
        index = _index(token)
        return index if index is not None and index < len(container) else None
    return None


def _index(token: str) -> int | None:
    return int(token) if _INDEX.fullmatch(token) else None


def _levels(value: Any) -> list[list[Any]]:
    """Return the value, then what is directly in it, then what is in that, and so on."""
    levels: list[list[Any]] = []
    level = [value]
    while level:
        levels.append(level)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below
    return levels


def _container_levels(levels: list[list[Any]]) -> int:
    innermost = any(isinstance(item, dict | list) for item in levels[-1])
    return len(levels) if innermost else len(levels) - 1


def _depth(value: Any) -> int:
    return _container_levels(_levels(value))


def _check_depth(operation: _Operation, depth: int) -> None:
    if len(operation.path) - 1 + depth > MAX_DEPTH:
        reason = f"The document would be nested deeper than {MAX_DEPTH} levels."
        operation.refuse("malformed", reason)


def _weight(value: Any) -> int:
    """Count a value as one, or as several where few values would write much text."""
    if isinstance(value, dict):
        characters = sum(map(len, value))
    elif isinstance(value, str):
        characters = len(value)
    elif isinstance(value, Lexeme):
        characters = len(value.text)
    else:
        characters = value.bit_length() // 3 if isinstance(value, int) else 0
    return 1 + characters // _TEXT_OF_ONE_VALUE


def _shown(path: Tokens) -> str:
    text = pointer(path[1:])
    if len(text) > _SHOWN:
        text = text[: _SHOWN - 1] + "…"
    return text or "the whole document"
