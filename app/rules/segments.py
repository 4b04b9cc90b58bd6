"""Segments: conditions with a name, and lists of ids that are in or out."""

from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .conditions import Condition, compile_condition
from .contexts import UNIT, Context, unit_of
from .errors import Code, RuleError
from .hashing import told
from .limits import MAX_LIST, MAX_TEXT
from .reading import a_list, a_text, an_object

Listed = Callable[[str], bool]


def compile_segments(
    segments: Mapping[str, Any],
) -> tuple[dict[str, Condition], list[RuleError]]:
    """Compile the segments of a workspace, by name; return what is wrong with the others, too.

    Raise RuleError for a circle.
    """
    compiled: dict[str, Condition] = {}
    errors: list[RuleError] = []
    graph = {
        name: segments_in(segment.get("when")) if isinstance(segment, Mapping) else set()
        for name, segment in segments.items()
    }
    for name in ordered(graph, "segments", Code.SEGMENT_CYCLE):
        try:
            compiled[name] = compile_segment(segments[name], compiled)
        except RuleError as error:
            errors.append(error.under("segments", name))
    return compiled, errors


def compile_segment(segment: Any, segments: Mapping[str, Condition]) -> Condition:
    """Compile a segment: excluded goes before included, that before the condition."""
    segment = an_object(segment, (), Code.INVALID_SEGMENT)
    is_included, is_excluded = (_ids(segment.get(name), name) for name in ("included", "excluded"))
    when = segment.get("when")
    inner = None if when is None else compile_condition(when, segments, ("when",))
    test = inner.test if inner else _nobody
    # One list is often all there is.
    if is_included is None and is_excluded is None:
        return Condition(test, inner.depth if inner else 1, inner.comparisons if inner else 1)

    def is_in(context: Context) -> bool:
        unit = unit_of(context.get(UNIT))
        if unit is not None:
            if is_excluded is not None and is_excluded(unit):
                return False
            if is_included is not None and is_included(unit):
                return True
        return test(context)

    return Condition(is_in, inner.depth if inner else 1, 1 + (inner.comparisons if inner else 0))


def _nobody(_: Context) -> bool:
    return False


def _ids(listed: Any, name: str) -> Listed | None:
    """Compile a list of ids, or of their hashes; None for an empty one."""
    if not listed and isinstance(listed, list | None):
        return None
    if isinstance(listed, Mapping):
        return _hashed(listed, name)
    ids = [unit_of(value) for value in a_list(listed, (name,), Code.INVALID_SEGMENT, MAX_LIST)]
    texts = [a_text(text, (name,), Code.INVALID_SEGMENT, MAX_TEXT) for text in ids]
    return frozenset(texts).__contains__


def _hashed(listed: Mapping[str, Any], name: str) -> Listed:
    an_object(listed, (name,), Code.INVALID_SEGMENT, {"salt", "hashed"})
    salt = a_text(listed.get("salt"), (name, "salt"), Code.INVALID_SEGMENT)
    hashed = a_list(listed.get("hashed"), (name, "hashed"), Code.INVALID_SEGMENT, MAX_LIST)
    digests = frozenset(a_text(text, (name, "hashed"), Code.INVALID_SEGMENT) for text in hashed)
    return lambda unit: told(salt, unit) in digests


def segments_in(condition: Any) -> set[str]:
    """Return the names of the segments that a condition names itself."""
    found: set[str] = set()
    open_ = [condition]
    while open_:
        part = open_.pop()
        if isinstance(part, list):
            open_.extend(part)
        elif isinstance(part, Mapping):
            open_.extend(part[join] for join in ("all", "any", "not") if join in part)
            if isinstance(name := part.get("segment"), str):
                found.add(name)
    return found


def segments_of(definition: Mapping[str, Any]) -> set[str]:
    """Return the names of the segments that the rules of a flag name, which may be no rules."""
    rules = definition.get("rules")
    listed = rules if isinstance(rules, list) else []
    return segments_in([rule.get("when") for rule in listed if isinstance(rule, Mapping)])


def ordered(graph: Mapping[str, Iterable[str]], kind: str, code: Code) -> list[str]:
    """Return names so that each comes after those it needs; raise RuleError for a circle."""
    known = {name: [other for other in needed if other in graph] for name, needed in graph.items()}
    try:
        return list(TopologicalSorter(known).static_order())
    except CycleError as error:
        circle: list[str] = error.args[1]
        message = "they need each other in a circle"
        raise RuleError(code, (kind, min(circle)), message) from None
