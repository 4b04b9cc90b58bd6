"""Feature flags: as proposals to the write pipeline, with the history of everything else."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Edit, Edited, FlagTarget, Precondition, Stored
from app.changes.service import apply
from app.configs.errors import HistoryPruned
from app.core.answers import Written
from app.core.db import AnyRow
from app.core.errors import AppError, Invalid
from app.feature_flags import presenters
from app.feature_flags.definitions import said, saved
from app.feature_flags.schemas import FlagCreate, FlagMembers, FlagUpdate
from app.flags import crud
from app.flags.errors import (
    FlagExists,
    FlagIdNotFound,
    FlagNotFound,
    FlagTypeDiffers,
    FlagVersionNotFound,
)
from app.formats import json
from app.models import Action
from app.rules.definitions import BOOLEAN
from app.versions import comparing
from app.versions import crud as versions_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def create(
    session: Session, *, access: Access, new: FlagCreate, precondition: Precondition
) -> Written:
    """Create a flag in an environment, or revive a deleted one.

    Raises FlagExists, FlagTypeDiffers, UnknownEnvironment, InvalidFlag, StillNeeded.
    """
    target = FlagTarget(new.name, new.environment)
    base = claim(session, access=access, target=target, kind=new.type)
    edit = creating(target, base, new, access=access)
    return _commit(session, access, target, edit, new.message, precondition, creates=True)


def update(
    session: Session,
    *,
    access: Access,
    flag_id: int,
    change: FlagUpdate,
    precondition: Precondition,
) -> Written:
    """Change a flag, by id.

    Raises FlagIdNotFound, PreconditionFailed, WouldRebucket, InvalidFlag, StillNeeded.
    """
    target = require_place(session, access=access, flag_id=flag_id)
    missing = FlagIdNotFound(flag_id, access.slug)
    edit = changing(
        target, change, access=access, accepted=change.accept_rebucketing, missing=missing
    )
    return _commit(session, access, target, edit, change.message, precondition)


def claim(
    session: Session, *, access: Access, target: FlagTarget, kind: str | None
) -> dict[str, Any]:
    """Return what a new flag has of its name: its type, and its salt.

    Without a type it is that of the name, or boolean. Raises NotAllowed, OutsideScope,
    FlagTypeDiffers.
    """
    access.require_flag(Permission.WRITE, target.flag, target.environment)
    name = crud.claim_name(
        session, workspace_id=access.workspace_id, name=target.flag, kind=kind or BOOLEAN
    )
    if kind is not None and name.type != kind:
        raise FlagTypeDiffers(target.flag, name.type)
    return {"type": name.type, "salt": name.salt}


def creating(
    target: FlagTarget, base: Mapping[str, Any], new: FlagMembers, *, access: Access
) -> Edit:
    """Return the edit that stores a new flag; raises FlagExists, InvalidFlag, FlagOutsideScope."""

    def edit(stored: Stored) -> Edited:
        if stored.exists:
            raise FlagExists(target.flag, target.environment)
        if new.is_enabled is None:
            raise Invalid(f"A new {target} needs is_enabled.", loc=("body", "is_enabled"))
        wanted = said(target, base, new)
        return saved(target, stored, None, wanted, access=access, accepted=True)

    return edit


def changing(
    target: FlagTarget, change: FlagMembers, *, access: Access, accepted: bool, missing: AppError
) -> Edit:
    """Return the edit that changes a flag.

    Raises `missing`, WouldRebucket, InvalidFlag, FlagOutsideScope.
    """

    def edit(stored: Stored) -> Edited:
        if not stored.exists:
            raise missing
        old = json.loads(stored.read())
        wanted = said(target, old, change)
        return saved(target, stored, old, wanted, access=access, accepted=accepted)

    return edit


def delete(session: Session, *, access: Access, flag_id: int, precondition: Precondition) -> None:
    """Delete a flag in its environment, by id; raises FlagIdNotFound, StillNeeded."""
    target = _place(session, access, flag_id)
    edit = edits.remove(missing=FlagIdNotFound(flag_id, access.slug))
    apply(session, access=access, changes=[Change(target, edit, precondition)])


def roll_back(
    session: Session,
    *,
    access: Access,
    flag_id: int,
    version: int,
    message: str | None,
    accepted: bool,
) -> Written:
    """Give a flag the definition of an old version; raises FlagVersionNotFound, WouldRebucket."""
    target = require_place(session, access=access, flag_id=flag_id)

    def edit(stored: Stored) -> Edited:
        row = _require_version(session, stored.id, target, version)
        if row.content is None:
            raise FlagVersionNotFound(target.flag, version)
        old = json.loads(stored.read()) if stored.exists else None
        wanted = json.loads(row.content)
        action = Action.ROLLBACK
        return saved(target, stored, old, wanted, access=access, accepted=accepted, action=action)

    return _commit(session, access, target, edit, message, Precondition())


def require_flag(
    session: Session, *, access: Access, name: str, environment: str, at: int | None = None
) -> AnyRow:
    """Return a flag by its name, now or as of a revision.

    Raises OutsideScope, HistoryPruned, FlagNotFound.
    """
    access.require_flag(Permission.READ, name, environment)
    row = crud.get_flag(
        session, workspace_id=access.workspace_id, name=name, environment=environment, at=at
    )
    if row is None or (at is not None and row.history_from > at):
        require_past(session, access=access, at=at, environments=[environment])
    if row is None:
        raise FlagNotFound(name, environment, access.slug)
    return row


def require_place(session: Session, *, access: Access, flag_id: int) -> FlagTarget:
    """Return which flag an id means, also a deleted one; raises FlagIdNotFound, NotAllowed."""
    target = _place(session, access, flag_id)
    access.require_flag(Permission.READ, target.flag, target.environment)
    return target


def list_flags(
    session: Session,
    *,
    access: Access,
    environment: str | None,
    tag: str | None,
    text: str | None,
    at: int | None = None,
) -> list[AnyRow]:
    """List the flags that a caller may see, by name; in one environment or in all.

    Raises HistoryPruned.
    """
    access.require(Permission.READ)
    environments = None if environment is None else [environment]
    rows = crud.list_flags(
        session, workspace_id=access.workspace_id, environments=environments, at=at
    )
    require_past(session, access=access, at=at, environments=environments)
    return [
        row
        for row in rows
        if _is_covered(access, row)
        and (text is None or text in row.name)
        and (tag is None or tag in json.loads(row.content).get("tags", ()))
    ]


def require_versions(
    session: Session, *, access: Access, flag_id: int, versions: tuple[int, int]
) -> tuple[str, str]:
    """Return the definitions of two versions of a flag, also of a deleted one, as JSON.

    That of a deletion is empty. Raises FlagIdNotFound, FlagVersionNotFound.
    """
    target = require_place(session, access=access, flag_id=flag_id)
    rows = [_require_version(session, flag_id, target, version) for version in versions]
    old, new = (row.content or comparing.NOTHING for row in rows)
    return old, new


def _require_version(session: Session, flag_id: int, target: FlagTarget, version: int) -> AnyRow:
    row = versions_crud.get_version(session, object_id=flag_id, version=version)
    if row is None:
        raise FlagVersionNotFound(target.flag, version)
    return row


def require_past(
    session: Session, *, access: Access, at: int | None, environments: list[str] | None
) -> None:
    """Raise HistoryPruned where versions that a revision had are gone."""
    if at is not None and crud.is_pruned(
        session, workspace_id=access.workspace_id, at=at, environments=environments
    ):
        raise HistoryPruned(at)


def _place(session: Session, access: Access, flag_id: int) -> FlagTarget:
    """Return which flag an id means; ids beyond a key's scope are as if absent."""
    row = crud.get_place(session, workspace_id=access.workspace_id, flag_id=flag_id)
    if row is None or not _is_covered(access, row):
        raise FlagIdNotFound(flag_id, access.slug)
    return FlagTarget(row.name, row.environment)


def _is_covered(access: Access, row: AnyRow) -> bool:
    return access.scopes.covers_flag(row.name, row.environment, to_write=False)


def _commit(
    session: Session,
    access: Access,
    target: FlagTarget,
    edit: Edit,
    message: str | None,
    precondition: Precondition,
    *,
    creates: bool = False,
) -> Written:
    change = Change(target, edit, precondition, creates=creates)
    applied = apply(session, access=access, changes=[change], message=message)
    stored = applied.pending[target].stored
    row = crud.get_flag_by_id(session, workspace_id=access.workspace_id, flag_id=stored.id)
    assert row is not None
    members = presenters.flag(row)
    return Written(members, etag_of(row))


def etag_of(row: AnyRow) -> str:
    """Return the tag of a stored flag."""
    return f'"d{row.id}-{row.version}"'
