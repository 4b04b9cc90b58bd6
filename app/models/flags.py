"""Feature flags and segments. Their contents and history are those of objects."""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Identity, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name


class FlagName(Base):
    """What a flag has in all environments: its name, its type, and the salt of its buckets."""

    __tablename__ = "flag_names"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        UniqueConstraint("workspace_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[Name]
    type: Mapped[str]
    salt: Mapped[str]


class Flag(Base):
    """A flag in one environment."""

    __tablename__ = "flags"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name_id", "environment_id"),
        ForeignKeyConstraint(["workspace_id", "id"], ["objects.workspace_id", "objects.id"]),
        ForeignKeyConstraint(
            ["workspace_id", "name_id"], ["flag_names.workspace_id", "flag_names.id"]
        ),
        ForeignKeyConstraint(
            ["workspace_id", "environment_id"], ["environments.workspace_id", "environments.id"]
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    workspace_id: Mapped[int]
    name_id: Mapped[int]
    environment_id: Mapped[int]
    created_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Segment(Base):
    """A condition with a name, for the rules of all flags of a workspace."""

    __tablename__ = "segments"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        ForeignKeyConstraint(["workspace_id", "id"], ["objects.workspace_id", "objects.id"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    workspace_id: Mapped[int]
    name: Mapped[Name]
    created_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
