"""Where a config applies. Its content and history are those of an object."""

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Config(Base):
    """A level's document: service null is `_global`, environment null is all of them."""

    __tablename__ = "configs"
    __table_args__ = (
        UniqueConstraint(
            "workspace_id",
            "service_id",
            "environment_id",
            name="uq_configs_level",
            postgresql_nulls_not_distinct=True,
        ),
        UniqueConstraint("workspace_id", "id"),
        ForeignKeyConstraint(["workspace_id", "id"], ["objects.workspace_id", "objects.id"]),
        ForeignKeyConstraint(
            ["workspace_id", "service_id"], ["services.workspace_id", "services.id"]
        ),
        ForeignKeyConstraint(
            ["workspace_id", "environment_id"],
            ["environments.workspace_id", "environments.id"],
        ),
        Index("ix_configs_environment_id", "workspace_id", "environment_id", "service_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    workspace_id: Mapped[int]
    service_id: Mapped[int | None]
    environment_id: Mapped[int | None]
    created_by: Mapped[int | None]
