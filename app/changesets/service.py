"""Change sets: many keys of many documents, flags and segments, in one commit."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.edits import KeyOperation
from app.changes.plan import Change, FlagTarget, Precondition, SegmentTarget, Target
from app.changes.service import Applied, DuplicateChange, apply
from app.changesets import flags
from app.changesets.schemas import FlagChange, KeyChange, SegmentChange
from app.configs.levels import GLOBAL, Level
from app.flags.errors import InvalidFlag
from app.keys import presenters
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

Place = tuple[Level, str] | FlagTarget | SegmentTarget
Entry = KeyChange | FlagChange | SegmentChange


def apply_changes(
    session: Session, *, access: Access, changes: Sequence[Entry], message: str | None
) -> tuple[int, list[dict[str, Any]]]:
    """Apply changes as one commit; return its revision and what they left, in their order.

    Raises DuplicateChange, KeyNotFound, FlagNotFound, PreconditionFailed, InvalidFlag,
    WouldRebucket, and what the pipeline raises.
    """
    entries = _placed(changes)
    wanted = [*_of_keys(entries, access), *flags.changes(session, access=access, entries=entries)]
    try:
        applied = apply(session, access=access, changes=wanted, message=message)
    except InvalidFlag as error:
        numbers = {str(place): number for number, place in enumerate(entries)}
        raise error.numbered(numbers[error.about]) from None
    return applied.revision, _told(session, access, applied, [*entries])


def _placed(changes: Sequence[Entry]) -> dict[Place, Entry]:
    """Return the changes by what they change; raise DuplicateChange."""
    entries: dict[Place, Entry] = {}
    for change in changes:
        place = _place(change)
        if place in entries:
            name = f"Key '{place[1]}' of {place[0]}" if isinstance(place, tuple) else f"The {place}"
            raise DuplicateChange(f"{name} is changed twice.")
        entries[place] = change
    return entries


def _place(change: Entry) -> Place:
    if isinstance(change, FlagChange):
        return FlagTarget(change.flag, change.environment)
    if isinstance(change, SegmentChange):
        return SegmentTarget(change.segment)
    return Level.of(change.service or GLOBAL, change.environment), change.key


def _of_keys(entries: Mapping[Place, Entry], access: Access) -> list[Change]:
    """Return one change for each document of which keys change."""
    by_level: dict[Level, list[KeyOperation]] = {}
    for place, change in entries.items():
        if isinstance(place, tuple) and isinstance(change, KeyChange):
            by_level.setdefault(place[0], []).append(_operation(change))
    return [
        Change(level, edits.edit_keys(operations, level=level, slug=access.slug), creates=True)
        for level, operations in by_level.items()
    ]


def _operation(change: KeyChange) -> KeyOperation:
    precondition = Precondition(version=change.expected_version)
    if change.op == "delete":
        return edits.delete_key(change.key, precondition=precondition)
    if change.op == "unset":
        return edits.unset_key(change.key, precondition=precondition)
    return edits.set_key(
        change.key,
        change.value,
        precondition=precondition,
        is_active=True,
        secret=change.is_encrypted,
    )


def _told(
    session: Session, access: Access, applied: Applied, places: Sequence[Place]
) -> list[dict[str, Any]]:
    """Return what the changes left, as the wire has it."""
    targets = [place for place in places if not isinstance(place, tuple)]
    told: dict[Target, dict[str, Any]] = flags.told(session, access, applied, targets)
    readable = {
        place[0]: access.allows(Permission.READ, place[0])
        for place in places
        if isinstance(place, tuple)
    }
    return [
        presenters.state(applied.key(*place), readable=readable[place[0]])
        if isinstance(place, tuple)
        else told[place]
        for place in places
    ]
