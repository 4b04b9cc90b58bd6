"""Workspaces: creating them."""

from sqlalchemy.orm import Session

from app.models import Workspace
from app.workspaces import crud
from app.workspaces.errors import WorkspaceNotFound

DEFAULT = "default"
ENVIRONMENTS = ("development", "staging", "production")


def create_workspace(
    session: Session, *, slug: str, name: str, owner_id: int | None = None
) -> Workspace:
    """Create a workspace with the three first environments. The slug is unique (409)."""
    return crud.create_workspace(
        session, slug=slug, name=name, owner_id=owner_id, environments=ENVIRONMENTS
    )


def require_default(session: Session) -> Workspace:
    """Return the workspace `default`, which every server has."""
    workspace = crud.get_workspace(session, slug=DEFAULT)
    if workspace is None:
        raise WorkspaceNotFound(DEFAULT)
    return workspace
