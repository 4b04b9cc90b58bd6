"""The flags of an environment with the segments that they use, compiled (reads SQL, no HTTP)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy.orm import Session

from app.core.answers import raw
from app.core.db import AnyRow
from app.flags import crud
from app.formats import json
from app.rules.conditions import Condition
from app.rules.errors import Code, RuleError
from app.rules.flags import CompiledFlag, compile_flag, prerequisites_of
from app.rules.segments import compile_segment, ordered, segments_in, segments_of

Definition = Mapping[str, Any]
TAG_LENGTH = 16


@dataclass(frozen=True, slots=True)
class RuledFlag:
    """A flag, ready. `texts`: the values of its variants as they were written."""

    name: str
    version: tuple[int, int]
    definition: Definition
    needs: frozenset[str]
    segments: frozenset[str]
    compiled: CompiledFlag
    texts: Mapping[str, orjson.Fragment]
    pieces: dict[object, bytes] = field(default_factory=dict)
    """Parts of answers that are the same for everybody, by what they depend on."""


@dataclass(frozen=True, slots=True)
class RuledSegment:
    """A segment, ready."""

    version: tuple[int, int]
    revision: int
    definition: Definition
    needs: frozenset[str]
    condition: Condition


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All that decides in an environment. `tag` changes when any of it does."""

    environment: str
    flags: Mapping[str, RuledFlag]
    segments: Mapping[str, RuledSegment]
    revision: int
    tag: str
    size: int
    """Bytes of the definitions."""


def load(
    session: Session,
    *,
    workspace_id: int,
    environment: str,
    at: int | None = None,
    before: Ruleset | None = None,
) -> tuple[Ruleset, Sequence[AnyRow]]:
    """Load the flags of an environment, now or as of a revision; return the flags' rows, too.

    What is unchanged since `before` is not compiled again.
    """
    flags = crud.list_flags(session, workspace_id=workspace_id, environments=[environment], at=at)
    segments = crud.list_segments(session, workspace_id=workspace_id, at=at)
    return _build(environment, flags, segments, before), flags


def _build(
    environment: str, flags: Sequence[AnyRow], segments: Sequence[AnyRow], before: Ruleset | None
) -> Ruleset:
    ruled_segments, changed = _segments(segments, before.segments if before else {})
    ruled_flags = _flags(flags, ruled_segments, before.flags if before else {}, changed)
    rows = (*flags, *segments)
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.name}\n{row.content}\n".encode())
    return Ruleset(
        environment,
        ruled_flags,
        ruled_segments,
        revision=max([row.revision for row in rows], default=0),
        tag=digest.hexdigest()[:TAG_LENGTH],
        size=sum(len(row.content) for row in rows),
    )


def _segments(
    rows: Sequence[AnyRow], before: Mapping[str, RuledSegment]
) -> tuple[dict[str, RuledSegment], set[str]]:
    """Return segments by name, and the names of those that are not as they were."""
    by_name = {row.name: row for row in rows}
    definitions = _definitions(by_name, before)
    graph = {name: segments_in(one.get("when")) for name, one in definitions.items()}
    found: dict[str, RuledSegment] = {}
    changed = before.keys() - by_name.keys()
    for name in ordered(graph, "segments", Code.SEGMENT_CYCLE):
        known = before.get(name)
        if (
            known is not None
            and known.definition is definitions[name]
            and not (changed & known.needs)
        ):
            found[name] = known
            continue
        changed.add(name)
        row, conditions = by_name[name], {name: one.condition for name, one in found.items()}
        try:
            condition = compile_segment(definitions[name], conditions)
        except RuleError:
            continue  # none that was saved; then its flags are not served either
        needs = frozenset(graph[name])
        version = (row.id, row.version)
        found[name] = RuledSegment(version, row.revision, definitions[name], needs, condition)
    return found, changed


def _flags(
    rows: Sequence[AnyRow],
    segments: Mapping[str, RuledSegment],
    before: Mapping[str, RuledFlag],
    changed_segments: set[str],
) -> dict[str, RuledFlag]:
    by_name = {row.name: row for row in rows}
    definitions = _definitions(by_name, before)
    graph = {name: prerequisites_of(one) for name, one in definitions.items()}
    conditions = {name: one.condition for name, one in segments.items()}
    found: dict[str, RuledFlag] = {}
    compiled: dict[str, CompiledFlag] = {}
    changed = before.keys() - by_name.keys()
    for name in ordered(graph, "flags", Code.PREREQUISITE_CYCLE):
        known = before.get(name)
        if (
            known is None
            or known.definition is not definitions[name]
            or (changed & known.needs or changed_segments & known.segments)
        ):
            changed.add(name)
            try:
                known = _flag(by_name[name], definitions[name], conditions, compiled)
            except RuleError:
                continue
        found[name] = known
        compiled[name] = known.compiled
    return {name: found[name] for name in sorted(found)}


def _definitions(
    rows: Mapping[str, AnyRow], before: Mapping[str, RuledFlag] | Mapping[str, RuledSegment]
) -> dict[str, Definition]:
    """Return parsed contents; of what is as it was, the very same objects."""
    found: dict[str, Definition] = {}
    for name, row in rows.items():
        known = before.get(name)
        if known is not None and known.version == (row.id, row.version):
            found[name] = known.definition
        else:
            found[name] = {**json.loads(row.content), "revision": row.revision}
    return found


def _flag(
    row: AnyRow,
    definition: Definition,
    conditions: Mapping[str, Condition],
    compiled: Mapping[str, CompiledFlag],
) -> RuledFlag:
    flag = compile_flag(definition, conditions, compiled)
    return RuledFlag(
        row.name,
        (row.id, row.version),
        definition,
        needs=frozenset(prerequisites_of(definition)),
        segments=frozenset(segments_of(definition)),
        compiled=flag,
        texts={name: raw_value(value) for name, value in flag.variants.items()},
    )


def raw_value(value: Any) -> orjson.Fragment:
    """Return a value as it was written, to be embedded."""
    text = raw(json.dumps(value))
    assert text is not None
    return text


def needed(
    ruleset: Ruleset, covers: Callable[[str], bool]
) -> tuple[list[str], list[str], list[str]]:
    """Return the names of the flags that are covered, the others that they need, and segments."""
    covered = [name for name in ruleset.flags if covers(name)]
    flags = _closure(covered, lambda name: ruleset.flags[name].needs & ruleset.flags.keys())
    named = {name for flag in flags for name in ruleset.flags[flag].segments}
    segments = _closure(named & ruleset.segments.keys(), lambda name: ruleset.segments[name].needs)
    return covered, sorted(flags.difference(covered)), sorted(segments)


def _closure(
    names: Sequence[str] | set[str], needs: Callable[[str], set[str] | frozenset[str]]
) -> set[str]:
    found = set(names)
    open_ = list(found)
    while open_:
        new = needs(open_.pop()) - found
        found |= new
        open_.extend(new)
    return found
