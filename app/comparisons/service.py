"""Comparing any two documents, stored or effective."""

from sqlalchemy.orm import Session

from app.comparisons.references import InvalidReference, Reference
from app.configs import crud
from app.configs.deps import revision_of
from app.configs.errors import VersionNotFound
from app.documents.service import require_document
from app.effective.service import require_effective
from app.versions import crud as versions_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def require_content(
    session: Session, *, access: Access, reference: Reference, effective: bool
) -> str:
    """Return the text that a reference names; a deleted version is an empty document.

    Raises OutsideScope, ConfigNotFound, VersionNotFound, HistoryPruned, InvalidReference.
    """
    level = reference.level
    access.require(Permission.READ, level)
    at = revision_of(session, access=access, at=reference.at) if reference.at else None
    if effective:
        if reference.version is not None:
            raise InvalidReference(
                "An effective config has no version numbers: name a revision or time.",
                loc=("query", "effective"),
            )
        return require_effective(session, access=access, level=level, at=at).content
    if reference.version is not None:
        config_id = crud.get_config_id(session, workspace_id=access.workspace_id, level=level)
        row = config_id and versions_crud.get_version(
            session, object_id=config_id, version=reference.version
        )
        if not row:
            raise VersionNotFound(level)
        return row.content or "{}"
    document = require_document(session, access=access, level=level, at=at)
    content: str = document.content
    return content
