"""Documents: what surface A does, as proposals to the write pipeline."""

from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from sqlalchemy.orm import Session

from app.changes import plan
from app.changes.plan import Change, Edited, Precondition, Stored, document_etag
from app.changes.service import apply
from app.configs import crud
from app.configs.errors import ConfigNotFound, NotDeleted, VersionEmpty, VersionNotFound
from app.configs.levels import Level
from app.core.db import AnyRow
from app.documents import presenters
from app.models import Action
from app.versions import crud as versions_crud
from app.workspaces.deps import Access


@dataclass(frozen=True, slots=True)
class Written:
    """The document as the wire has it after a write, and its tag."""

    members: dict[str, Any]
    etag: str


def write(
    session: Session,
    *,
    access: Access,
    level: Level,
    document: dict[str, Any],
    message: str | None,
    precondition: Precondition,
    expected_version: int | None,
) -> Written:
    """Replace or create the document of a level; equal content makes no version."""
    change = Change(
        level,
        plan.replace(document),
        precondition=evolve(precondition, version=expected_version),
        creates=True,
    )
    return _apply(session, access=access, change=change, message=message)


def delete(session: Session, *, access: Access, level: Level, precondition: Precondition) -> None:
    """Append a version without content; raises ConfigNotFound if there is nothing."""

    def edit(stored: Stored) -> Edited:
        if not stored.exists:
            raise ConfigNotFound(level, access.slug)
        return Edited(None, None, Action.DELETE)

    apply(session, access=access, changes=[Change(level, edit, precondition)])


def restore(
    session: Session, *, access: Access, level: Level, precondition: Precondition
) -> Written:
    """Bring a deleted document back as it was before; raises NotDeleted."""

    def edit(stored: Stored) -> Edited:
        last = versions_crud.get_last_content(session, object_id=stored.id)
        if last is None:
            raise ConfigNotFound(level, access.slug)
        if stored.exists:
            raise NotDeleted(level)
        return Edited(last.content, last.checksum, Action.RESTORE)

    return _apply(session, access=access, change=Change(level, edit, precondition))


def rollback(
    session: Session,
    *,
    access: Access,
    level: Level,
    version: int | None = None,
    version_id: int | None = None,
    message: str | None = None,
    precondition: Precondition,
    expected_version: int | None = None,
) -> Written:
    """Make a new version with the content of an old one, named by number or by id."""

    def edit(stored: Stored) -> Edited:
        old = (
            versions_crud.get_version(session, object_id=stored.id, version=version)
            if version is not None
            else versions_crud.get_version_by_id(
                session, object_id=stored.id, version_id=version_id or 0
            )
        )
        if old is None:
            raise VersionNotFound(level)
        if old.content is None:
            raise VersionEmpty(old.version)
        return Edited(old.content, old.checksum, Action.ROLLBACK, always=True)

    change = Change(level, edit, evolve(precondition, version=expected_version))
    return _apply(session, access=access, change=change, message=message)


def _apply(
    session: Session, *, access: Access, change: Change, message: str | None = None
) -> Written:
    """Commit one change; what is written needs no second look, which would hold the locks."""
    applied = apply(session, access=access, changes=[change], message=message)
    one = applied.outcomes[0]
    if one.changed:
        members = presenters.outcome(access, applied)
    else:
        row = require_document(session, access=access, level=change.level)
        members = presenters.config(row)
    return Written(members, document_etag(one.id, one.version))


def require_document(
    session: Session, *, access: Access, level: Level, at: int | None = None
) -> AnyRow:
    """Return the stored document of a level, or raise ConfigNotFound."""
    row = crud.get_document(session, workspace_id=access.workspace_id, level=level, at=at)
    if row is None:
        raise ConfigNotFound(level, access.slug)
    return row


def require_versions(
    session: Session, *, access: Access, level: Level, version_ids: tuple[int, int]
) -> list[AnyRow]:
    """Return two versions of a level's config by their ids, or raise VersionNotFound."""
    config_id = crud.get_config_id(session, workspace_id=access.workspace_id, level=level)
    rows = [
        versions_crud.get_version_by_id(session, object_id=config_id, version_id=version_id)
        for version_id in version_ids
        if config_id is not None
    ]
    found = [row for row in rows if row is not None]
    if len(found) != len(version_ids):
        raise VersionNotFound(level)
    return found
