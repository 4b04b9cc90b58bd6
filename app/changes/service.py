"""The write pipeline: every change of every object, from every surface, goes through `apply`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.changes import checks, crud
from app.changes.plan import Change, Edited, Outcome, Precondition, Stored
from app.configs.errors import (
    ConfigNotFound,
    EtagOfEffective,
    PreconditionFailed,
    UnknownEnvironment,
)
from app.configs.levels import Level
from app.core import context
from app.core.db import AnyRow
from app.core.errors import Invalid
from app.outbox import events
from app.versions import crud as versions_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


class DuplicateChange(Invalid):
    """One commit touches an object once."""

    code = "duplicate_change"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a commit did. Without any difference no revision is taken: `at` is None."""

    revision: int
    at: datetime | None
    outcomes: list[Outcome]


def apply(
    session: Session, *, access: Access, changes: Sequence[Change], message: str | None = None
) -> Applied:
    """Apply a list of changes as one commit: all of them, or none.

    Steps: authorize, lock (addresses of what is new, then objects by ascending id), check
    preconditions, edit, run the checks, write under the workspace's next revision. Raises
    NotAllowed, DuplicateChange, UnknownEnvironment, ConfigNotFound, PreconditionFailed, and
    whatever an edit or a check raises; then the transaction must be rolled back.
    """
    access.require(Permission.WRITE)
    levels = [change.level for change in changes]
    if len(set(levels)) != len(levels):
        raise DuplicateChange("The same object is changed twice.")
    stored = _lock(session, access=access, changes=changes)
    edited: dict[Level, Edited] = {}
    for change in changes:
        now = stored[change.level]
        check_precondition(change.precondition, now)
        edited[change.level] = change.edit(now)
    checks.run(session, access=access, edits=edited)
    items = [
        _item(level, stored[level], edit)
        for level, edit in edited.items()
        if edit.always or edit.checksum != stored[level].checksum
    ]
    if not items:
        return Applied(access.head, None, [_unchanged(level, stored[level]) for level in levels])
    written = crud.write(session, commit=_commit(access, message), items=items)
    events.mark(session)
    session.info["revision"] = written.revision
    outcomes = [_outcome(level, stored[level], edited[level], written) for level in levels]
    return Applied(written.revision, written.at, outcomes)


def _commit(access: Access, message: str | None) -> crud.Commit:
    request = context.current()
    return crud.Commit(
        workspace_id=access.workspace_id,
        actor_id=access.caller.user_id,
        actor_name=access.caller.username,
        message=message,
        request_id=request.request_id,
        address=request.address,
        user_agent=request.user_agent,
    )


def _item(level: Level, stored: Stored, edit: Edited) -> crud.Item:
    return crud.Item(
        id=stored.id,
        action=edit.action,
        content=edit.content,
        checksum=edit.checksum,
        service=level.name,
        environment=level.environment,
    )


def _outcome(level: Level, stored: Stored, edit: Edited, written: crud.Written) -> Outcome:
    version = written.versions.get(stored.id)
    if version is None:
        return _unchanged(level, stored)
    return Outcome(level, stored.id, version, edit.content, stored.created_by, changed=True)


def _unchanged(level: Level, stored: Stored) -> Outcome:
    return Outcome(level, stored.id, stored.version, None, stored.created_by, changed=False)


def _lock(session: Session, *, access: Access, changes: Sequence[Change]) -> dict[Level, Stored]:
    """Lock everything that is touched, creating what may be created.

    Addresses of new objects come first, in order, then objects by ascending id, so that no
    two commits wait for each other in a circle.
    """
    workspace_id = access.workspace_id
    if len(changes) == 1:
        row = crud.lock_config(session, workspace_id=workspace_id, level=changes[0].level)
        if row is not None:
            return {changes[0].level: _stored(session, row)}
        found: dict[Level, int] = {}
    else:
        levels = [change.level for change in changes]
        found = crud.find_ids(session, workspace_id=workspace_id, levels=levels)
    missing = {change.level: change for change in changes if change.level not in found}
    for level in sorted(missing, key=str):
        if not missing[level].creates:
            raise ConfigNotFound(level, access.slug)
        crud.lock_address(session, workspace_id=workspace_id, level=level)
    if missing:
        found |= crud.find_ids(session, workspace_id=workspace_id, levels=sorted(missing, key=str))
    rows = crud.lock_objects(session, ids=sorted(found.values()))
    by_id = {row.id: _stored(session, row) for row in rows}
    return {
        level: by_id[found[level]] if level in found else _create(session, access, level)
        for level in (change.level for change in changes)
    }


def _create(session: Session, access: Access, level: Level) -> Stored:
    environment_id = service_id = None
    if level.environment is not None:
        environment_id = crud.get_environment_id(
            session, workspace_id=access.workspace_id, name=level.environment
        )
        if environment_id is None:
            raise UnknownEnvironment(level.environment, access.slug)
    if level.service is not None:
        service_id = crud.require_service_id(
            session, workspace_id=access.workspace_id, name=level.service
        )
    object_id = crud.create_config(
        session,
        workspace_id=access.workspace_id,
        service_id=service_id,
        environment_id=environment_id,
        created_by=access.caller.user_id,
    )
    return Stored(
        id=object_id,
        version=0,
        checksum=None,
        created_by=access.caller.user_id,
        read=_nothing,
    )


def _nothing() -> str:
    raise AssertionError("a new object has no content to read")


def _stored(session: Session, row: AnyRow) -> Stored:
    return Stored(
        id=row.id,
        version=row.version,
        checksum=row.checksum,
        created_by=row.created_by,
        read=_reader(session, row),
    )


def _reader(session: Session, row: AnyRow) -> Callable[[], str]:
    """Read the content in a statement of its own, which sees what the lock waited for."""

    def read() -> str:
        version = versions_crud.get_version(session, object_id=row.id, version=row.version)
        assert version is not None
        return str(version.content)

    return read


def check_precondition(wanted: Precondition, stored: Stored) -> None:
    """Raise PreconditionFailed (412) with `current` unless the stored object is as expected."""
    current = _current(stored)
    if wanted.etags is not None and not _matches(wanted.etags, stored):
        if any(tag.startswith('"e') for tag in wanted.etags):
            raise EtagOfEffective(
                "If-Match carries the tag of an effective config. Use `document_etag`, or the "
                "ETag of /config/get.",
                current=current,
            )
        raise PreconditionFailed(_told("If-Match names another version", stored), current=current)
    if wanted.version is not None and wanted.version != (stored.version if stored.exists else 0):
        raise PreconditionFailed(
            _told(f"You expected version {wanted.version}", stored), current=current
        )
    if wanted.must_not_exist and stored.exists:
        raise PreconditionFailed(_told("It must not exist", stored), current=current)


def _matches(etags: tuple[str, ...], stored: Stored) -> bool:
    return stored.exists and ("*" in etags or stored.etag in etags)


def _told(reason: str, stored: Stored) -> str:
    state = f"it is at version {stored.version}" if stored.exists else "it does not exist"
    return f"{reason}, but {state}. Read it again and repeat your change on top."


def _current(stored: Stored) -> dict[str, Any] | None:
    if not stored.exists:
        return None
    return {"id": stored.id, "version": stored.version, "etag": stored.etag}
