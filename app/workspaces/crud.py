"""SQL of workspaces."""

from functools import lru_cache
from typing import Any

from sqlalchemy import and_, bindparam, func, literal, select
from sqlalchemy.orm import Session

from app.auth.crud import select_login
from app.core.db import AnyRow, AnySelect
from app.models import Environment, Epoch, Member, User, Workspace, WorkspaceHead

EPOCH = select(Epoch.epoch).order_by(Epoch.id.desc()).limit(1).scalar_subquery()


WANTED = {
    "owner": Workspace.owner_id == bindparam("wanted"),
    "slug": Workspace.slug == bindparam("wanted"),
    "home": Workspace.id == User.home_workspace_id,
}


@lru_cache
def _login_access(wanted: str) -> AnySelect:
    return (
        select_login()
        .add_columns(
            Workspace.id.label("workspace_id"),
            Workspace.slug,
            Workspace.owner_id,
            Member.role.label("member_role"),
            WorkspaceHead.revision,
            EPOCH.label("epoch"),
        )
        .outerjoin(Workspace, WANTED[wanted])
        .outerjoin(Member, and_(Member.workspace_id == Workspace.id, Member.user_id == User.id))
        .outerjoin(WorkspaceHead, WorkspaceHead.workspace_id == Workspace.id)
    )


def get_login_access(
    session: Session, *, jti: str, slug: str | None, owner_id: int | None
) -> AnyRow | None:
    """Return, in one query, the user of a session and the workspace that is asked for.

    That is the one with this slug, or the personal one of this user, or else the caller's
    own. Columns of the workspace are null when there is none; `member_role` when not a member.
    """
    values: dict[str, Any] = {"jti": jti}
    wanted = "owner" if owner_id is not None else "slug" if slug is not None else "home"
    if wanted != "home":
        values["wanted"] = owner_id if owner_id is not None else slug
    return session.connection().execute(_login_access(wanted), values).one_or_none()


def get_open_access(session: Session, *, slug: str) -> AnyRow | None:
    """Return a workspace for a caller without a login."""
    return session.execute(
        select(
            Workspace.id.label("workspace_id"),
            Workspace.slug,
            Workspace.owner_id,
            literal(None).label("member_role"),
            WorkspaceHead.revision,
            EPOCH.label("epoch"),
        )
        .join(WorkspaceHead, WorkspaceHead.workspace_id == Workspace.id)
        .where(Workspace.slug == slug)
    ).one_or_none()


def get_workspace(session: Session, *, slug: str) -> Workspace | None:
    """Return a workspace by slug."""
    return session.execute(select(Workspace).where(Workspace.slug == slug)).scalar_one_or_none()


def create_workspace(
    session: Session, *, slug: str, name: str, owner_id: int | None, environments: tuple[str, ...]
) -> Workspace:
    """Insert a workspace with its head and environments."""
    workspace = Workspace(slug=slug, name=name, owner_id=owner_id)
    session.add(workspace)
    session.flush()
    session.add(WorkspaceHead(workspace_id=workspace.id, revision=0, at=func.clock_timestamp()))
    session.add_all(Environment(workspace_id=workspace.id, name=name) for name in environments)
    session.flush()
    return workspace


def get_head(session: Session, *, workspace_id: int) -> int:
    """Return the newest revision of a workspace."""
    return session.execute(
        select(WorkspaceHead.revision).where(WorkspaceHead.workspace_id == workspace_id)
    ).scalar_one()
