"""What happened: events (the audit), the outbox, counted reads (docs/adr/0005-outbox.md)."""

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Event(Base):
    """One fact, written in the transaction that made it true. Never updated.

    Partitioned by month of `at`; no foreign keys, because it outlives what it names.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_workspace_id_id", "workspace_id", "id"),
        Index("ix_events_actor_id_id", "actor_id", "id"),
        Index("ix_events_resource", "resource_type", "resource_id", "id"),
        Index(
            "ix_events_workspace_id_revision",
            "workspace_id",
            "revision",
            postgresql_where=text("revision IS NOT NULL"),
        ),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True, server_default=func.clock_timestamp())
    workspace_id: Mapped[int | None]
    revision: Mapped[int | None]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str | None]
    outcome: Mapped[str]
    actor_id: Mapped[int | None]
    actor_name: Mapped[str]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str]
    service: Mapped[str | None]
    environment: Mapped[str | None]
    version: Mapped[int | None]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class EventPending(Base):
    """The outbox: an event that has not been written to the audit log yet."""

    __tablename__ = "event_pending"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ReadCount(Base):
    """How often a caller read an object in a minute. Partitioned by month of `minute`."""

    __tablename__ = "read_counts"
    __table_args__ = ({"postgresql_partition_by": "RANGE (minute)"},)

    minute: Mapped[datetime] = mapped_column(primary_key=True)
    workspace_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    actor_name: Mapped[str] = mapped_column(primary_key=True)
    resource_type: Mapped[str] = mapped_column(primary_key=True)
    resource: Mapped[str] = mapped_column(primary_key=True)
    actor_id: Mapped[int | None]
    count: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
