"""The operators of conditions: docs/flags-evaluation.md has the table of what comes out."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from . import parsing
from .contexts import WHO, Context, Get, unit_of
from .errors import Code, Path, RuleError
from .hashing import told
from .limits import (
    MAX_ELEMENTS,
    MAX_LIST,
    MAX_REGEX,
    MAX_SEARCHED,
    MAX_TEXT,
    REGEX_COST,
    REGEX_MEMORY,
)
from .reading import a_list, a_text, is_number, is_writable

Test = Callable[[Any], bool]  # of a value
Matches = Callable[[Context], bool]
Compare = Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Operand:
    """What an operator compares with: the condition's `value` or `values`."""

    condition: Mapping[str, Any]
    get: Get
    path: Path
    ignore_case: bool

    @property
    def is_of_people(self) -> bool:
        """Tell whether the attribute is who asks."""
        return self.condition["attribute"] in WHO

    def one(self) -> Any:
        """Return `value`."""
        if "value" not in self.condition or "values" in self.condition:
            raise self.wrong("needs value, and no values")
        return self.condition["value"]

    def many(self, limit: int) -> list[Any]:
        """Return `values`."""
        if "values" not in self.condition or "value" in self.condition:
            raise self.wrong("needs values, and no value")
        return a_list(self.condition["values"], (*self.path, "values"), Code.WRONG_OPERAND, limit)

    def some(self) -> list[Any]:
        """Return `values`, or `value` as the only one."""
        return self.many(MAX_SEARCHED) if "values" in self.condition else [self.one()]

    def scalars(self, values: list[Any]) -> list[Any]:
        """Return values if they are texts, numbers and booleans; of people, numbers as texts."""
        if not all(isinstance(value, str | bool) or is_number(value) for value in values):
            raise self.wrong("compares with texts, numbers, true and false only")
        texts = [value for value in values if isinstance(value, str)]
        if not all(is_text(text) and is_writable(text) for text in texts):
            raise self.wrong(f"got a text of more than {MAX_TEXT:,} characters, or of a half one")
        if self.is_of_people:
            return [value if (text := unit_of(value)) is None else text for value in values]
        return values

    def texts(self) -> list[str]:
        """Return some texts, none of them empty."""
        return [a_text(text, self.path, Code.WRONG_OPERAND, MAX_TEXT) for text in self.some()]

    def on(self, test: Test) -> Matches:
        """Return a test of a context by that of the attribute in it."""
        get = self.get
        return lambda context: test(get(context))

    def folded(self, text: str) -> str:
        """Return a text as it is compared."""
        return text.casefold() if self.ignore_case else text

    def parsed(self, parse: Callable[[Any], Any], value: Any, what: str) -> Any:
        """Return a value as it is compared, parsed."""
        found = parse(value)
        if found is None:
            raise self.wrong(f"needs {what}")
        return found

    def wrong(self, what: str) -> RuleError:
        """Return an error about the operand."""
        return RuleError(Code.WRONG_OPERAND, self.path, f"this operator {what}")


def is_text(value: Any) -> bool:
    """Tell whether a value is a text, and short enough to be searched."""
    return isinstance(value, str) and len(value) <= MAX_TEXT


def is_list(value: Any) -> bool:
    """Tell whether a value is a list, and short enough to be looked through."""
    return isinstance(value, list) and len(value) <= MAX_ELEMENTS


def cost_of(condition: Mapping[str, Any]) -> int:
    """Return how many comparisons a valid comparison counts for."""
    name, values = condition["op"], condition.get("values")
    tried = 1 if values is None or name in {"in", "in_hashed"} else len(values)
    return tried * (REGEX_COST if name == "matches" else 1)


def _equals(operand: Operand) -> Matches:
    values = operand.scalars([operand.one()])
    return _texts_first(operand, values, _among(operand, values))


def _in(operand: Operand) -> Matches:
    values = operand.scalars(operand.many(MAX_LIST))
    is_among = _among(operand, values)
    if operand.is_of_people:  # of whom a list is none
        return _texts_first(operand, values, is_among)

    def test(value: Any) -> bool:
        return any(map(is_among, value)) if is_list(value) else is_among(value)

    return _texts_first(operand, values, test)


def _texts_first(operand: Operand, values: list[Any], test: Test) -> Matches:
    """Look up texts at once: this is the path that is measured (bench/rules.py)."""
    get, texts = operand.get, frozenset(value for value in values if isinstance(value, str))
    if operand.ignore_case:
        return operand.on(test)

    def matches(context: Context) -> bool:
        value = get(context)
        return value in texts if type(value) is str else test(value)

    return matches


def _among(operand: Operand, values: list[Any]) -> Test:
    """Compare with scalars; `true`, `1` and `"1"` are all apart."""
    texts = frozenset(operand.folded(value) for value in values if isinstance(value, str))
    switches = frozenset(value for value in values if isinstance(value, bool))
    numbers = frozenset(value for value in values if is_number(value))
    fold = operand.ignore_case

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return is_text(value) and (value.casefold() if fold else value) in texts
        if isinstance(value, bool):
            return value in switches
        return isinstance(value, int | float) and value in numbers

    return test


def _in_hashed(operand: Operand) -> Matches:
    """Compare with ids that are told as hashes only (`disclosure`)."""
    path = (*operand.path, "salt")
    salt = a_text(operand.condition.get("salt"), path, Code.WRONG_OPERAND)
    digests = frozenset(
        a_text(digest, operand.path, Code.WRONG_OPERAND) for digest in operand.many(MAX_LIST)
    )

    def test(value: Any) -> bool:
        return is_text(value) and told(salt, operand.folded(value)) in digests

    return operand.on(test)


def _contains(operand: Operand) -> Matches:
    values = operand.scalars(operand.some())
    is_element = _among(operand, values)
    parts = [operand.folded(value) for value in values if isinstance(value, str)]
    if not all(parts):
        raise operand.wrong("needs texts of at least one character")

    def test(value: Any) -> bool:
        if is_text(value):
            text = operand.folded(value)
            return any(part in text for part in parts)
        return is_list(value) and any(map(is_element, value))

    return operand.on(test)


def _on_texts(operand: Operand, is_so: Callable[[str, tuple[str, ...]], bool]) -> Matches:
    """Compare a text with texts by a method of texts."""
    parts = tuple(map(operand.folded, operand.texts()))
    return operand.on(lambda value: is_text(value) and is_so(operand.folded(value), parts))


def _matches(operand: Operand) -> Matches:
    searches = [_regex(text, operand) for text in operand.texts()]

    def test(value: Any) -> bool:
        if not is_text(value):
            return False
        data = value.encode(errors="replace")
        return any(search(data) is not None for search in searches)

    return operand.on(test)


def _regex(pattern: str, operand: Operand) -> Callable[[bytes], Any]:
    if len(pattern) > MAX_REGEX:
        message = f"a regular expression must have at most {MAX_REGEX:,} characters"
        raise RuleError(Code.INVALID_REGEX, operand.path, message)
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = REGEX_MEMORY
    options.case_sensitive = not operand.ignore_case
    try:
        found: Callable[[bytes], Any] = re2.compile(pattern, options).search
    except re2.error:
        message = "not a regular expression of RE2, or too large a one"
        raise RuleError(Code.INVALID_REGEX, operand.path, message) from None
    return found


def _number(operand: Operand, compare: Compare) -> Matches:
    limit = operand.one()
    if not is_number(limit):
        raise operand.wrong("needs a number")
    get = operand.get

    def matches(context: Context) -> bool:
        value = get(context)
        # The common type first: this is the path that is measured, too.
        return (type(value) is int or is_number(value)) and compare(value, limit)

    return matches


def _date(operand: Operand, compare: Compare) -> Matches:
    limit = operand.parsed(parsing.moment, operand.one(), "a date or time of RFC 3339")

    def test(value: Any) -> bool:
        if is_number(value):
            return compare(value * parsing.SECOND, limit)
        at = parsing.moment(value)
        return at is not None and compare(at, limit)

    return operand.on(test)


def _semver(operand: Operand, compare: Compare) -> Matches:
    limit = operand.parsed(parsing.version, operand.one(), "a semantic version")

    def test(value: Any) -> bool:
        version = parsing.version(value)
        return version is not None and compare(version, limit)

    return operand.on(test)


def _cidr(operand: Operand) -> Matches:
    what = "IP addresses or networks in CIDR form"
    networks = [operand.parsed(parsing.network, value, what) for value in operand.some()]

    def test(value: Any) -> bool:
        address = parsing.address(value)
        return address is not None and any(address in network for network in networks)

    return operand.on(test)


def _exists(operand: Operand) -> Matches:
    if operand.condition.keys() & {"value", "values"}:
        raise operand.wrong("compares with nothing")
    return operand.on(lambda value: value is not None)


ORDERS: Final[dict[str, Compare]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
}
OPERATORS: Final[dict[str, Callable[[Operand], Matches]]] = {
    "equals": _equals,
    "in": _in,
    "in_hashed": _in_hashed,
    "contains": _contains,
    "starts_with": partial(_on_texts, is_so=str.startswith),
    "ends_with": partial(_on_texts, is_so=str.endswith),
    "matches": _matches,
    **{name: partial(_number, compare=order) for name, order in ORDERS.items()},
    "before": partial(_date, compare=operator.lt),
    "after": partial(_date, compare=operator.gt),
    **{f"semver_{name}": partial(_semver, compare=order) for name, order in ORDERS.items()},
    "cidr": _cidr,
    "exists": _exists,
}
OF_TEXTS: Final = frozenset(
    {"equals", "in", "in_hashed", "contains", "starts_with", "ends_with", "matches"}
)
