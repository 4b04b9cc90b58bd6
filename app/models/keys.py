"""Keys: the top-level members of a config, each with its own id, version and history."""

from datetime import datetime

from sqlalchemy import (
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name

LIVE = text("value IS NOT NULL")
PARKED = text("value IS NOT NULL AND is_active IS false")


class Key(Base):
    """A key as it is now. `value` is JSON text, null when deleted.

    An inactive key keeps its value here; its document does not have it. The parts of the
    level stand here too, because they never change and lists filter by them.
    """

    __tablename__ = "keys"
    __table_args__ = (
        UniqueConstraint("config_id", "name"),
        UniqueConstraint("workspace_id", "id"),
        ForeignKeyConstraint(["workspace_id", "config_id"], ["configs.workspace_id", "configs.id"]),
        Index("ix_keys_name", "workspace_id", "name", "id", postgresql_where=LIVE),
        Index(
            "ix_keys_environment_id_name",
            *("workspace_id", "environment_id", "name", "id"),
            postgresql_where=LIVE,
        ),
        Index(
            "ix_keys_checksum",
            *("workspace_id", "checksum", "name", "id"),
            postgresql_where=LIVE,
        ),
        Index("ix_keys_inactive", "workspace_id", "name", "id", postgresql_where=PARKED),
        Index("ix_keys_revision", "workspace_id", "revision"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int]
    config_id: Mapped[int]
    service_id: Mapped[int | None]
    environment_id: Mapped[int | None]
    name: Mapped[Name]
    value: Mapped[str | None]
    checksum: Mapped[str | None]
    value_type: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    is_active: Mapped[bool] = mapped_column(server_default=true())
    version: Mapped[int]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class KeyName(Base):
    """A name that keys of a workspace have or had, for the search by a part of it."""

    __tablename__ = "key_names"

    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    name: Mapped[Name] = mapped_column(primary_key=True)


class KeyVersion(Base):
    """One change of a key; who, when and why stand in its revision."""

    __tablename__ = "key_versions"
    __table_args__ = (
        UniqueConstraint("key_id", "version"),
        ForeignKeyConstraint(["workspace_id", "key_id"], ["keys.workspace_id", "keys.id"]),
        ForeignKeyConstraint(
            ["workspace_id", "revision"], ["revisions.workspace_id", "revisions.n"]
        ),
        Index("ix_key_versions_key_id_revision", "key_id", "revision"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int]
    key_id: Mapped[int]
    version: Mapped[int]
    revision: Mapped[int]
    action: Mapped[str]
    value: Mapped[str | None]
    value_type: Mapped[str]
    description: Mapped[str]
    is_active: Mapped[bool]
