"""How flags are used: what was served of them, and which ones were asked for in vain."""

from datetime import date, datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Name


class FlagCount(Base):
    """How often a flag served a variant by a rule on a day (UTC).

    `rule_id` is empty where no rule decided. The ids of flags outlast names and deletion.
    """

    __tablename__ = "flag_counts"
    __table_args__ = (Index("ix_flag_counts_day", "day"),)

    flag_id: Mapped[int] = mapped_column(ForeignKey("flags.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    variant: Mapped[Name] = mapped_column(primary_key=True)
    rule_id: Mapped[Name] = mapped_column(primary_key=True)
    count: Mapped[int]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]


class UnknownFlag(Base):
    """How often a flag was asked for that an environment does not have."""

    __tablename__ = "unknown_flags"
    __table_args__ = (
        Index("ix_unknown_flags_workspace_id", "workspace_id"),
        Index("ix_unknown_flags_last_seen", "last_seen"),
        ForeignKeyConstraint(
            ["workspace_id", "environment_id"], ["environments.workspace_id", "environments.id"]
        ),
    )

    environment_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[Name] = mapped_column(primary_key=True)
    workspace_id: Mapped[int]
    count: Mapped[int]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
