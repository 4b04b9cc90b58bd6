"""One history for every kind of object (docs/adr/0004-history.md)."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Kind(StrEnum):
    """What has versions."""

    CONFIG = "config"
    ENVIRONMENT = "environment"
    FLAG = "flag"
    SEGMENT = "segment"


class Action(StrEnum):
    """How a version came to be."""

    CREATE = "create"
    UPDATE = "update"
    ROLLBACK = "rollback"
    DELETE = "delete"
    RESTORE = "restore"
    ROTATE = "rotate"


class Object(Base):
    """Anything with versions: its lock, its current version, its last revision.

    Version 0 is an object that is being created. `checksum` is that of the current
    content, null when deleted. `history_from` is the first revision whose state of it is
    still known: older versions may have been pruned.
    """

    __tablename__ = "objects"
    __table_args__ = (
        UniqueConstraint("workspace_id", "id"),
        CheckConstraint("kind IN ('config', 'environment', 'flag', 'segment')", name="kind"),
        Index("ix_objects_workspace_id_revision", "workspace_id", "revision"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    kind: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="0")
    revision: Mapped[int] = mapped_column(server_default="0")
    checksum: Mapped[str | None]
    history_from: Mapped[int] = mapped_column(server_default="0")


class Revision(Base):
    """One commit of a workspace: gapless numbers in commit order."""

    __tablename__ = "revisions"
    __table_args__ = (Index("ix_revisions_workspace_id_at", "workspace_id", "at"),)

    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor_id: Mapped[int | None]
    actor_name: Mapped[str]
    message: Mapped[str | None]
    request_id: Mapped[str]


class Version(Base):
    """An immutable snapshot of one object; who, when and why stand in its revision.

    `content` is the text as it was written; null where the object was deleted.
    """

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("object_id", "version"),
        ForeignKeyConstraint(["workspace_id", "object_id"], ["objects.workspace_id", "objects.id"]),
        ForeignKeyConstraint(
            ["workspace_id", "revision"], ["revisions.workspace_id", "revisions.n"]
        ),
        Index("ix_versions_object_id_revision", "object_id", "revision"),
        Index("ix_versions_workspace_id_revision", "workspace_id", "revision"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int]
    object_id: Mapped[int]
    version: Mapped[int]
    revision: Mapped[int]
    action: Mapped[str]
    content: Mapped[str | None]
    checksum: Mapped[str | None]


class Epoch(Base):
    """A line of history; a restore of the database begins a new one. The newest row counts."""

    __tablename__ = "epochs"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    epoch: Mapped[str] = mapped_column(unique=True)
    reason: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
