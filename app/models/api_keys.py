"""API keys: what a program shows to be let in, and how far."""

from datetime import datetime

from sqlalchemy import ARRAY, ForeignKey, Identity, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class ApiKey(Base):
    """A key of a workspace, stored as the SHA-256 digest of its text.

    `services`, `environments` and `flags` are patterns with `*`; `addresses` networks, none: any.
    After a rotation the old digest is good until `previous_until`.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("uq_api_keys_digest", "digest", unique=True),
        Index("ix_api_keys_previous_digest", "previous_digest"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[str]
    previous_digest: Mapped[str | None]
    previous_until: Mapped[datetime | None]
    actions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    services: Mapped[list[str]] = mapped_column(ARRAY(Text))
    environments: Mapped[list[str]] = mapped_column(ARRAY(Text))
    flags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{*}")
    addresses: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str]
