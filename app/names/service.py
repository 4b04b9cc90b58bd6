"""Versioned names: a service's document for all environments, in the words of surface D."""

from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Edit, Edited, Precondition, Stored, document_etag
from app.changes.service import apply
from app.configs import crud
from app.configs.errors import ConfigExists, ConfigNotFound, VersionNotFound
from app.configs.levels import Level
from app.core.answers import Written, raw
from app.core.db import AnyRow
from app.versions import crud as versions_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def create(
    session: Session, *, access: Access, name: str, data: dict[str, Any], precondition: Precondition
) -> Written:
    """Create a document, or revive a deleted one; raises ConfigExists."""
    level = Level.of(name, None)

    def edit(stored: Stored) -> Edited:
        if stored.exists:
            raise ConfigExists(level, access.slug)
        return edits.store(data)(stored)

    return _commit(session, access, Change(level, edit, precondition, creates=True))


def replace(
    session: Session, *, access: Access, name: str, data: dict[str, Any], precondition: Precondition
) -> Written:
    """Replace a document; raises ConfigNotFound."""
    level = Level.of(name, None)
    edit: Edit = edits.transform(lambda _: data, missing=ConfigNotFound(level, access.slug))
    return _commit(session, access, Change(level, edit, precondition))


def _commit(session: Session, access: Access, change: Change) -> Written:
    level = change.target
    assert isinstance(level, Level)
    applied = apply(session, access=access, changes=[change])
    if applied.at is not None:
        content, at = applied.pending[level].edited.content, applied.at
    else:
        row = crud.get_document(session, workspace_id=access.workspace_id, level=level)
        assert row is not None
        content, at = row.content, row.updated_at
    version = applied.version(level)
    members = {
        "name": level.name,
        "version": version,
        "data": raw(content) if access.allows(Permission.READ, level) else None,
        "created_at": int(at.timestamp()),
    }
    return Written(members, document_etag(applied.pending[level].stored.id, version))


def require_version(session: Session, *, access: Access, name: str, version: int | None) -> AnyRow:
    """Return the current version of a document, or one by number, also of a deleted one.

    Raises ConfigNotFound, VersionNotFound.
    """
    level = Level.of(name, None)
    access.require(Permission.READ, level)
    config_id = crud.get_config_id(session, workspace_id=access.workspace_id, level=level)
    if config_id is None:
        raise ConfigNotFound(level, access.slug)
    if version is None:
        document = crud.get_document(session, workspace_id=access.workspace_id, level=level)
        if document is None:
            raise ConfigNotFound(level, access.slug)
        version = document.version
    row = versions_crud.get_version(session, object_id=config_id, version=version)
    if row is None or row.content is None:
        raise VersionNotFound(level)
    return row


def list_versions(session: Session, *, access: Access, name: str) -> list[int]:
    """Return the numbers of the versions with content, oldest first; raises ConfigNotFound."""
    level = Level.of(name, None)
    access.require(Permission.READ, level)
    config_id = crud.get_config_id(session, workspace_id=access.workspace_id, level=level)
    if config_id is None:
        raise ConfigNotFound(level, access.slug)
    return versions_crud.list_numbers(session, object_id=config_id)
