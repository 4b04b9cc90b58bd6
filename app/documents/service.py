"""Documents: what surface A does, as proposals to the write pipeline."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Precondition, document_etag
from app.changes.service import apply
from app.configs import crud
from app.configs.errors import ConfigNotFound, HistoryPruned, VersionEmpty, VersionNotFound
from app.configs.levels import Level
from app.core.answers import Written
from app.core.db import AnyRow
from app.diff.patching import PatchError, apply_patch, merge_patch
from app.diff.three_way import three_way
from app.documents import presenters
from app.documents.errors import InvalidPatch, MergeConflict, PatchFailed, PatchTestFailed
from app.formats import json
from app.secrets import markers
from app.versions import crud as versions_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

Transformation = Callable[[dict[str, Any]], dict[str, Any]]


def write(
    session: Session,
    *,
    access: Access,
    level: Level,
    document: dict[str, Any],
    message: str | None,
    precondition: Precondition,
) -> Written:
    """Replace or create the document of a level; equal content makes no version."""
    change = Change(level, edits.store(document), precondition, creates=True)
    return commit(session, access=access, change=change, message=message)


def delete(session: Session, *, access: Access, level: Level, precondition: Precondition) -> None:
    """Append a version without content; raises ConfigNotFound if there is nothing."""
    edit = edits.remove(missing=ConfigNotFound(level, access.slug))
    apply(session, access=access, changes=[Change(level, edit, precondition)])


def restore(
    session: Session, *, access: Access, level: Level, precondition: Precondition
) -> Written:
    """Bring a deleted document back as it was before; raises NotDeleted."""
    edit = edits.restore(session, level=level, missing=ConfigNotFound(level, access.slug))
    return commit(session, access=access, change=Change(level, edit, precondition))


def roll_back(
    session: Session,
    *,
    access: Access,
    level: Level,
    version: int | None = None,
    version_id: int | None = None,
    message: str | None = None,
    precondition: Precondition,
) -> Written:
    """Make a new version with the content of an old one, named by number or by id."""
    edit = edits.roll_back(session, level=level, version=version, version_id=version_id)
    return commit(session, access=access, change=Change(level, edit, precondition), message=message)


def patch(
    session: Session,
    *,
    access: Access,
    level: Level,
    change: Transformation,
    message: str | None,
    precondition: Precondition,
) -> Written:
    """Change the stored document by a function of it, which needs the right to read it too.

    Raises ConfigNotFound, and what the function raises.
    """
    access.require(Permission.READ, level)
    edit = edits.transform(change, missing=ConfigNotFound(level, access.slug))
    return commit(session, access=access, change=Change(level, edit, precondition), message=message)


def json_patch(operations: list[Any]) -> Transformation:
    """Return the function that applies an RFC 6902 patch; it raises InvalidPatch, PatchFailed."""

    def change(document: dict[str, Any]) -> dict[str, Any]:
        try:
            return _object(apply_patch(document, operations))
        except PatchError as error:
            raise _PATCH_ERRORS[error.kind](f"Operation {error.index}: {error}") from None

    return change


_PATCH_ERRORS = {"malformed": InvalidPatch, "missing": PatchFailed, "test": PatchTestFailed}


def merge_into(changes: Any) -> Transformation:
    """Return the function that applies an RFC 7396 merge patch; it raises InvalidPatch."""
    return lambda document: _object(merge_patch(document, changes))


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidPatch("After the patch the document would not be a JSON object.")
    return document


def merge(
    session: Session,
    *,
    access: Access,
    level: Level,
    base_version: int,
    document: dict[str, Any],
    message: str | None,
    precondition: Precondition,
) -> Written:
    """Bring changes made to an old version into the current one.

    Raises VersionNotFound, VersionEmpty, MergeConflict.
    """
    access.require(Permission.READ, level)
    markers.read(document)  # what is no right secret must not stand among the conflicts
    config_id = crud.get_config_id(session, workspace_id=access.workspace_id, level=level)
    if config_id is None:
        raise ConfigNotFound(level, access.slug)
    base = versions_crud.get_version(session, object_id=config_id, version=base_version)
    if base is None:
        raise VersionNotFound(level)
    if base.content is None:
        raise VersionEmpty(base.version)

    def change(theirs: dict[str, Any]) -> dict[str, Any]:
        merged, conflicts = three_way(
            json.loads(base.content), document, theirs, is_whole=markers.is_marked
        )
        if conflicts:
            raise MergeConflict(conflicts)
        return _object(merged)

    return patch(
        session,
        access=access,
        level=level,
        change=change,
        message=message,
        precondition=precondition,
    )


def commit(
    session: Session, *, access: Access, change: Change, message: str | None = None
) -> Written:
    """Commit one change; what is written needs no second look, which would hold the locks."""
    applied = apply(session, access=access, changes=[change], message=message)
    level = change.target
    assert isinstance(level, Level)
    if applied.wrote(level):
        members = presenters.outcome(applied, level)
    else:
        row = crud.get_document(session, workspace_id=access.workspace_id, level=level)
        assert row is not None
        members = presenters.config(row)
    if not access.allows(Permission.READ, level):
        members["config"] = None
    object_id = applied.pending[level].stored.id
    return Written(members, document_etag(object_id, applied.version(level)))


def require_document(
    session: Session, *, access: Access, level: Level, at: int | None = None
) -> AnyRow:
    """Return the stored document of a level, or raise ConfigNotFound, HistoryPruned."""
    access.require(Permission.READ, level)
    row = crud.get_document(session, workspace_id=access.workspace_id, level=level, at=at)
    if row is None:
        if at is not None:
            refuse_pruned(session, access=access, level=level, at=at)
        raise ConfigNotFound(level, access.slug)
    return row


def refuse_pruned(session: Session, *, access: Access, level: Level, at: int) -> None:
    """Raise HistoryPruned if a level's history does not go back to a revision."""
    first = crud.get_history_start(session, workspace_id=access.workspace_id, level=level)
    if first is not None and first > at:
        raise HistoryPruned(at)


def require_versions(
    session: Session, *, access: Access, level: Level, version_ids: tuple[int, int]
) -> list[AnyRow]:
    """Return two versions of a level's config by their ids, or raise VersionNotFound."""
    access.require(Permission.READ, level)
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
