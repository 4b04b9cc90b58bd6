"""What a commit must pass before it is written. Later features add theirs to `CHECKS`."""

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from app.changes.plan import Edited
from app.configs.errors import DocumentTooLarge
from app.configs.levels import Level
from app.core.settings import get_settings
from app.workspaces.deps import Access

Check = Callable[[Session, Access, Mapping[Level, Edited]], None]


def document_size(_session: Session, _access: Access, edits: Mapping[Level, Edited]) -> None:
    """Refuse documents that are too large (422)."""
    limit = get_settings().max_document_bytes
    for edit in edits.values():
        if edit.content is not None and len(edit.content.encode()) > limit:
            raise DocumentTooLarge(limit)


CHECKS: tuple[Check, ...] = (document_size,)


def run(session: Session, *, access: Access, edits: Mapping[Level, Edited]) -> None:
    """Run all checks; the first that raises refuses the commit."""
    for check in CHECKS:
        check(session, access, edits)
