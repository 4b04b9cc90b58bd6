"""Workspaces and what gives them their shape: members, environments, services, the head."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name


class Workspace(Base):
    """The tenant: every other row of configuration belongs to one.

    `owner_id` is set in a personal workspace (no foreign key: users refer to workspaces).
    A deleted one keeps its rows and gives its slug free.
    """

    __tablename__ = "workspaces"
    __table_args__ = (
        Index(
            "uq_workspaces_slug",
            "slug",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    slug: Mapped[Name]
    name: Mapped[str]
    owner_id: Mapped[int | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class WorkspaceHead(Base):
    """The counter of revisions. No foreign keys: it is the lock that orders commits.

    `rights` counts what changes for callers without a revision: keys revoked or rotated,
    the workspace or a service renamed, the workspace deleted.
    """

    __tablename__ = "workspace_heads"
    __table_args__ = {"postgresql_with": {"fillfactor": "50"}}  # noqa: RUF012

    workspace_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
    at: Mapped[datetime]
    rights: Mapped[int] = mapped_column(server_default="0")


class Member(Base):
    """A user's role in a workspace."""

    __tablename__ = "members"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'editor', 'admin', 'owner')", name="role"),
    )

    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Environment(Base):
    """A stage of a workspace: development, staging, production, or its own.

    Its history is that of an object; this row is the present of it.
    """

    __tablename__ = "environments"
    __table_args__ = (
        Index(
            "uq_environments_workspace_id_name",
            "workspace_id",
            "name",
            unique=True,
            postgresql_where=text("NOT deleted"),
        ),
        UniqueConstraint("workspace_id", "id"),
        ForeignKeyConstraint(["workspace_id", "id"], ["objects.workspace_id", "objects.id"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    workspace_id: Mapped[int]
    name: Mapped[Name]
    description: Mapped[str] = mapped_column(server_default="")
    protected: Mapped[bool] = mapped_column(server_default=false())
    deleted: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Service(Base):
    """An application that a config is for. `_global` is the absence of one."""

    __tablename__ = "services"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        UniqueConstraint("workspace_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[Name]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
