"""Read parts of a definition, or say what is wrong with them."""

from collections.abc import Collection, Mapping
from typing import Any

from .errors import Code, Path, RuleError
from .limits import MAX_NAME


def an_object(
    value: Any, path: Path, code: Code, allowed: Collection[str] | None = None
) -> Mapping[str, Any]:
    """Return an object, with no members but those allowed."""
    if not isinstance(value, Mapping):
        raise RuleError(code, path, "must be an object")
    if allowed is not None and any(name not in allowed for name in value):
        raise RuleError(code, path, f"may have the members {', '.join(sorted(allowed))} only")
    return value


def a_list(value: Any, path: Path, code: Code, limit: int) -> list[Any]:
    """Return a list that is not too long."""
    if not isinstance(value, list):
        raise RuleError(code, path, "must be a list")
    if len(value) > limit:
        raise RuleError(Code.TOO_LARGE, path, f"must have at most {limit:,} elements")
    return value


def listed(definition: Mapping[str, Any], member: str, limit: int) -> list[Any]:
    """Return a flag's list; absent and null are the empty one."""
    found = definition.get(member)
    return [] if found is None else a_list(found, (member,), Code.INVALID_FLAG, limit)


def a_text(value: Any, path: Path, code: Code, limit: int = MAX_NAME) -> str:
    """Return a text of at least one character that UTF-8 can hold."""
    if not isinstance(value, str) or not value:
        raise RuleError(code, path, "must be a text of at least one character")
    if len(value) > limit:
        raise RuleError(Code.TOO_LARGE, path, f"must have at most {limit:,} characters")
    if not is_writable(value):
        raise RuleError(code, path, "contains half a character (lone surrogate)")
    return value


def a_switch(value: Any, path: Path, code: Code) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise RuleError(code, path, "must be true or false")
    return value


def is_writable(text: str) -> bool:
    """Tell whether a text has a form in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Tell whether a value is a number of JSON: not a boolean, NaN or an infinity."""
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and value - value == 0  # neither is 0 for NaN, infinities
