"""Conditions over a context, compiled to closures."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .contexts import Context, getter
from .errors import Code, Path, RuleError
from .limits import MAX_CONDITIONS, MAX_DEPTH, MAX_TEXT
from .operators import OF_TEXTS, OPERATORS, Operand, cost_of
from .reading import a_list, a_switch, a_text, an_object

MEMBERS = frozenset({"attribute", "op", "value", "values", "negate", "ignore_case"})
JOINS = ("all", "any", "not", "segment")


class Condition(NamedTuple):
    """A compiled condition, how deep it is and how many comparisons it may make."""

    test: Callable[[Context], bool]
    depth: int
    comparisons: int


def compile_condition(
    condition: Any, segments: Mapping[str, Condition], path: Path = (), depth: int = 1
) -> Condition:
    """Compile a condition with the segments it may name; raise RuleError."""
    if depth > MAX_DEPTH:
        raise RuleError(Code.TOO_DEEP, path, f"conditions are at most {MAX_DEPTH} deep")
    condition = an_object(condition, path, Code.INVALID_CONDITION)
    join = next((name for name in JOINS if name in condition), None)
    if join is None:
        return _comparison(condition, path)
    if len(condition) > 1:
        message = f"{join} stands alone in a condition"
        raise RuleError(Code.INVALID_CONDITION, path, message)
    path = (*path, join)
    if join == "segment":
        return _segment(condition[join], segments, path)
    if join == "not":
        inner = compile_condition(condition[join], segments, path, depth + 1)
        return _checked(_negated(inner), path)
    listed = a_list(condition[join], path, Code.INVALID_CONDITION, MAX_CONDITIONS)
    inners = [
        compile_condition(inner, segments, (*path, number), depth + 1)
        for number, inner in enumerate(listed)
    ]
    return _checked(_joined(inners, is_all=join == "all"), path)


def _checked(condition: Condition, path: Path) -> Condition:
    """Refuse what became too large by the segments in it."""
    if condition.depth > MAX_DEPTH:
        message = f"conditions are at most {MAX_DEPTH} deep, with the segments in them"
        raise RuleError(Code.TOO_DEEP, path, message)
    if condition.comparisons > MAX_CONDITIONS:
        message = f"at most {MAX_CONDITIONS:,} comparisons, with those of segments"
        raise RuleError(Code.TOO_LARGE, path, message)
    return condition


def _segment(name: Any, segments: Mapping[str, Condition], path: Path) -> Condition:
    found = segments.get(a_text(name, path, Code.INVALID_CONDITION))
    if found is None:
        raise RuleError(Code.UNKNOWN_SEGMENT, path, "there is no such segment")
    return _checked(found._replace(depth=found.depth + 1), path)


def _negated(inner: Condition) -> Condition:
    test = inner.test
    return Condition(lambda context: not test(context), inner.depth + 1, inner.comparisons)


def _joined(inners: list[Condition], *, is_all: bool) -> Condition:
    """Join by and, or by or: the first that decides is the last that is tried."""
    tests = tuple(inner.test for inner in inners)
    decisive = not is_all

    def joined(context: Context) -> bool:
        for test in tests:
            if test(context) is decisive:
                return decisive
        return is_all

    depth = 1 + max((inner.depth for inner in inners), default=0)
    return Condition(joined, depth, sum(inner.comparisons for inner in inners))


def _comparison(condition: Mapping[str, Any], path: Path) -> Condition:
    name = a_text(condition.get("op"), (*path, "op"), Code.INVALID_CONDITION)
    make = OPERATORS.get(name)
    if make is None:
        raise RuleError(Code.UNKNOWN_OPERATOR, (*path, "op"), "there is no such operator")
    allowed = MEMBERS | {"salt"} if name == "in_hashed" else MEMBERS
    an_object(condition, path, Code.INVALID_CONDITION, allowed)
    attribute = a_text(
        condition.get("attribute"), (*path, "attribute"), Code.INVALID_CONDITION, MAX_TEXT
    )
    switches = {
        switch: a_switch(condition.get(switch, False), (*path, switch), Code.INVALID_CONDITION)
        for switch in ("negate", "ignore_case")
    }
    if switches["ignore_case"] and name not in OF_TEXTS:
        message = "only operators of texts can ignore case"
        raise RuleError(Code.WRONG_OPERAND, (*path, "ignore_case"), message)
    matches = make(Operand(condition, getter(attribute), path, switches["ignore_case"]))
    test = (lambda context: not matches(context)) if switches["negate"] else matches
    return _checked(Condition(test, 1, cost_of(condition)), path)
