"""Run migrations: one process at a time, never waiting long for a lock."""

import re
from typing import Any

from sqlalchemy import create_engine, pool, text

from alembic import context
from app.core.settings import get_settings
from app.models import Base

PARTITION = re.compile(r"^(events|read_counts)_(default|p\d{6})$")
MIGRATION_LOCK = 7_200_451


def include_name(name: str | None, type_: str, _parents: Any) -> bool:
    """Leave partitions to the sweep that makes them."""
    return type_ != "table" or PARTITION.match(name or "") is None


def run() -> None:
    """Migrate the database of the settings, or the connection that a caller passes."""
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    engine = create_engine(get_settings().database(direct=True), poolclass=pool.NullPool)
    with engine.connect() as connection:
        migrate(connection)


def migrate(connection: Any) -> None:
    """Apply what is missing under an advisory lock."""
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name,
        compare_server_default=False,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
    connection.commit()


run()
