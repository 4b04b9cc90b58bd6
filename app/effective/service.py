"""The config as a service sees it. One level today; the merge of levels comes here."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.configs import crud
from app.configs.errors import ConfigNotFound
from app.configs.levels import Level
from app.workspaces.deps import Access

VERSION_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Effective:
    """What a service gets: the text, a short hash that changes exactly when the config does."""

    content: str
    version: str
    revision: int
    document_id: int
    document_version: int

    @property
    def etag(self) -> str:
        """Return the tag of this answer, which fits no write."""
        return f'"e{self.version}"'


def require_effective(
    session: Session, *, access: Access, level: Level, at: int | None = None
) -> Effective:
    """Return the effective config of a level, now or as of a revision; raise ConfigNotFound."""
    row = crud.get_document(session, workspace_id=access.workspace_id, level=level, at=at)
    if row is None:
        raise ConfigNotFound(level, access.slug)
    return Effective(
        content=row.content,
        version=row.checksum[:VERSION_LENGTH],
        revision=row.revision,
        document_id=row.id,
        document_version=row.version,
    )
