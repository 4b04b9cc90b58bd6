"""Secrets: ciphertexts in rows of their own, and the keys that open them (docs/adr/0011)."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name


class DataKey(Base):
    """A data key as a key-encryption key wrapped it: for values of an environment, or prints.

    `environment_id` null: the level of all environments. One of each is active; older ones
    only open what they sealed, and are deleted when nothing needs them any more.
    """

    __tablename__ = "data_keys"
    __table_args__ = (
        UniqueConstraint(
            *("workspace_id", "environment_id", "purpose", "number"),
            name="uq_data_keys_number",
            postgresql_nulls_not_distinct=True,
        ),
        Index(
            "uq_data_keys_active",
            *("workspace_id", "environment_id", "purpose"),
            unique=True,
            postgresql_where=text("is_active"),
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint("purpose IN ('value', 'fingerprint')", name="purpose"),
        ForeignKeyConstraint(
            ["workspace_id", "environment_id"],
            ["environments.workspace_id", "environments.id"],
        ),
        Index("ix_data_keys_kek_id", "kek_id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    environment_id: Mapped[int | None]
    purpose: Mapped[str]
    number: Mapped[int]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    kek_id: Mapped[str]
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class KeyCheck(Base):
    """A known value that a key-encryption key wrapped: whoever opens it has the right key."""

    __tablename__ = "key_checks"

    kek_id: Mapped[str] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes]


class Secret(Base):
    """One secret value of a config; documents name it by its handle.

    Never changed, but for being sealed anew under another data key, and destroyed.
    `fingerprint` tells equal values of a workspace from others; `size` is that of the value in
    bytes of JSON. `owner`: whether it stands in documents or in the settings of rotators.
    """

    __tablename__ = "secrets"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "config_id"], ["configs.workspace_id", "configs.id"]),
        CheckConstraint("owner IN ('document', 'rotator')", name="owner"),
        Index("ix_secrets_config_id_fingerprint", "config_id", "fingerprint"),
        Index("ix_secrets_data_key_id_handle", "data_key_id", "handle"),
    )

    handle: Mapped[Name] = mapped_column(primary_key=True)
    workspace_id: Mapped[int]
    config_id: Mapped[int]
    key_name: Mapped[str]
    owner: Mapped[str]
    data_key_id: Mapped[int | None] = mapped_column(ForeignKey("data_keys.id"))
    ciphertext: Mapped[bytes | None]
    fingerprint: Mapped[str]
    value_type: Mapped[str]
    size: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str]
    destroyed_at: Mapped[datetime | None]
    destroyed_by: Mapped[str | None]


class WrappedSecret(Base):
    """A value that a token opens once; the key is the token itself, which is not kept."""

    __tablename__ = "wrapped_secrets"

    digest: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id"))
    ciphertext: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    opened_at: Mapped[datetime | None]


class Rotator(Base):
    """How a key's value is renewed, and how far a renewal under way has come.

    `settings` is JSON text in which secrets are handles. `step` is the last one that was done,
    null between renewals; `pending` the value to come; `previous` the one to be retired when
    the grace time is over, both in their stored form.
    """

    __tablename__ = "rotators"
    __table_args__ = (
        UniqueConstraint("key_id"),
        ForeignKeyConstraint(["workspace_id", "key_id"], ["keys.workspace_id", "keys.id"]),
        Index("ix_rotators_next_at", "next_at", postgresql_where=text("orphaned_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    workspace_id: Mapped[int]
    key_id: Mapped[int]
    kind: Mapped[str]
    settings: Mapped[str]
    every_seconds: Mapped[int | None]
    grace_seconds: Mapped[int]
    run: Mapped[str | None]
    step: Mapped[str | None]
    pending: Mapped[str | None]
    previous: Mapped[str | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    last_error: Mapped[str | None]
    next_at: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]
    orphaned_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str]
