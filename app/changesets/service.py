"""Change sets: many keys of many documents in one commit."""

from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.edits import KeyOperation
from app.changes.plan import Change, Precondition
from app.changes.service import DuplicateChange, apply
from app.changesets.schemas import KeyChange
from app.configs.levels import GLOBAL, Level
from app.keys import presenters
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def apply_changes(
    session: Session, *, access: Access, changes: list[KeyChange], message: str | None
) -> tuple[int, list[dict[str, Any]]]:
    """Apply changes of keys as one commit; return its revision and the keys after it.

    Raises DuplicateChange, KeyNotFound, PreconditionFailed, and what the pipeline raises.
    """
    places: dict[tuple[Level, str], KeyChange] = {}
    for change in changes:
        level = Level.of(change.service or GLOBAL, change.environment)
        if (level, change.key) in places:
            raise DuplicateChange(f"Key '{change.key}' of {level} is changed twice.")
        places[level, change.key] = change
    by_level: dict[Level, list[KeyOperation]] = {}
    for (level, _), change in places.items():
        by_level.setdefault(level, []).append(_operation(change))
    applied = apply(
        session,
        access=access,
        changes=[
            Change(
                level,
                edits.edit_keys(operations, level=level, slug=access.slug),
                creates=True,
            )
            for level, operations in by_level.items()
        ],
        message=message,
    )
    readable = {level: access.allows(Permission.READ, level) for level in by_level}
    return applied.revision, [
        presenters.state(applied.key(level, name), readable=readable[level])
        for level, name in places
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
