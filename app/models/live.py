"""What the live routes keep: tickets for streams, and what running instances report."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name


class StreamTicket(Base):
    """Lets a client that cannot send headers open one stream, once; swept when it is over.

    `credential` is that of its maker: `jti:<id of the login>` or `key:<digest of the key>`.
    """

    __tablename__ = "stream_tickets"

    digest: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    credential: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Instance(Base):
    """The last report of one running copy of a service; swept when it stays away.

    `environment` empty: the instance runs in none. Names, not ids: a report may be about a
    service that has no config yet.
    """

    __tablename__ = "instances"
    __table_args__ = (
        CheckConstraint("status IN ('applied', 'rejected')", name="status"),
        Index("ix_instances_last_seen", "last_seen"),
    )

    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    service: Mapped[Name] = mapped_column(primary_key=True)
    environment: Mapped[Name] = mapped_column(primary_key=True)
    instance_id: Mapped[Name] = mapped_column(primary_key=True)
    revision: Mapped[int]
    version: Mapped[str]
    status: Mapped[str]
    error: Mapped[str | None]
    app_version: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    first_seen: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen: Mapped[datetime] = mapped_column(server_default=func.now())
