"""The check that flags and segments fit together after a commit, whoever changed which."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.changes.pending import Pending
from app.changes.plan import FlagTarget, SegmentTarget, Target
from app.flags import crud
from app.flags.errors import InvalidFlag, StillNeeded
from app.formats import json
from app.rules.errors import Code, RuleError
from app.rules.flags import compile_all, prerequisites_of
from app.rules.segments import segments_in, segments_of
from app.workspaces.deps import Access

Definitions = dict[str, Mapping[str, Any]]
Graph = Mapping[str, set[str]]
CIRCLES = frozenset({Code.PREREQUISITE_CYCLE, Code.SEGMENT_CYCLE})


def rulesets(session: Session, access: Access, pending: Mapping[Target, Pending]) -> None:
    """Refuse flags and segments that cannot be evaluated (422), or break others (409).

    Only what changed, what needs it, and what that needs is compiled.
    """
    segments = {one.segment for one in pending if isinstance(one, SegmentTarget)}
    flags: dict[str, set[str]] = {}
    for target in pending:
        if isinstance(target, FlagTarget):
            flags.setdefault(target.environment, set()).add(target.flag)
    if not segments and not flags:
        return
    workspace_id = access.workspace_id
    crud.lock_rules(session, workspace_id=workspace_id)
    if segments:
        for name in crud.list_environments_with_flags(session, workspace_id=workspace_id):
            flags.setdefault(name, set())
    known = _segments(session, workspace_id, pending)
    _check(None, {}, known, set(), segments)
    for environment, changed in sorted(flags.items()):
        definitions = _flags(session, workspace_id, environment, pending)
        _check(environment, definitions, known, changed, segments)


def _flags(
    session: Session, workspace_id: int, environment: str, pending: Mapping[Target, Pending]
) -> Definitions:
    rows = crud.list_flags(session, workspace_id=workspace_id, environments=[environment])
    found: Definitions = {row.name: json.read(row.content.encode()) for row in rows}
    for target, one in pending.items():
        if isinstance(target, FlagTarget) and target.environment == environment:
            _put(found, target.flag, one)
    return found


def _segments(
    session: Session, workspace_id: int, pending: Mapping[Target, Pending]
) -> Definitions:
    rows = crud.list_segments(session, workspace_id=workspace_id)
    found: Definitions = {row.name: json.read(row.content.encode()) for row in rows}
    for target, one in pending.items():
        if isinstance(target, SegmentTarget):
            _put(found, target.segment, one)
    return found


def _put(found: Definitions, name: str, one: Pending) -> None:
    found.pop(name, None)
    if one.edited.content is not None:
        found[name] = json.read(one.edited.content.encode())


def _check(
    environment: str | None,
    flags: Definitions,
    segments: Definitions,
    changed: set[str],
    changed_segments: set[str],
) -> None:
    needs = {name: prerequisites_of(definition) for name, definition in flags.items()}
    of_segments = {name: segments_in(one.get("when")) for name, one in segments.items()}
    of_flags = {name: segments_of(definition) for name, definition in flags.items()}
    reached = _reached(changed_segments, _turned(of_segments))
    touched = changed | {name for name, used in of_flags.items() if used & reached}
    touched = _reached(touched, _turned(needs))
    wanted = _reached(touched, needs) & flags.keys()
    used = set().union(reached, *(of_flags[name] for name in wanted))
    used = _reached(used, of_segments) & segments.keys()
    try:
        compile_all({name: flags[name] for name in wanted}, {name: segments[name] for name in used})
    except RuleError as error:
        of_flag = error.path[0] == "flags"
        own, graph = (changed, needs) if of_flag else (changed_segments, of_segments)
        raise _refusal(error, environment if of_flag else None, own, graph) from None


def _refusal(
    error: RuleError, environment: str | None, own: set[str], graph: Graph
) -> InvalidFlag | StillNeeded:
    """Return the error of a flag in an environment, or of a segment.

    A circle is the fault of those that changed, whichever of its members is named.
    """
    name = str(error.path[1])
    if error.code in CIRCLES:
        name = min(one for one in own if one in _reached(graph.get(one, ()), graph))
    inner = RuleError(error.code, error.path[2:], error.message)
    if name not in own:
        return StillNeeded("flag" if environment else "segment", name, inner)
    target = FlagTarget(name, environment) if environment else SegmentTarget(name)
    return InvalidFlag(inner, about=str(target))


def _turned(graph: Graph) -> Graph:
    """Return who needs what, the other way round."""
    turned: dict[str, set[str]] = {}
    for name, needed in graph.items():
        for other in needed:
            turned.setdefault(other, set()).add(name)
    return turned


def _reached(begin: Iterable[str], graph: Graph) -> set[str]:
    """Return all names that can be reached from some, those included."""
    found, open_ = set(begin), list(begin)
    while open_:
        for name in graph.get(open_.pop(), ()):
            if name not in found:
                found.add(name)
                open_.append(name)
    return found
