"""What works and what does not, asked with limits so that the answer always comes."""

from functools import lru_cache
from pathlib import Path

import redis
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core import db
from app.core.settings import get_settings
from app.outbox import drain, leases
from app.secrets import data_keys

CONNECTED, DISCONNECTED, DISABLED = "connected", "disconnected", "disabled"
HEARTBEAT = "worker"
MINIMUM_POSTGRES = 150000
TOO_OLD = "PostgreSQL 15 or newer is needed"


def database_status() -> tuple[str, dict[str, object]]:
    """Return the database's status, and what it knows of workers and the audit log."""
    try:
        with Session(db.get_probe_engine()) as session:
            worker = leases.current_holder(session, name=HEARTBEAT)
            writer = leases.current_holder(session, name=drain.LEASE)
            pending = drain.oldest_pending_seconds(session)
    except (SQLAlchemyError, OSError):
        return DISCONNECTED, {}
    return CONNECTED, {"worker": worker, "writer": writer, "pending": pending}


def redis_status() -> str:
    """Ask Redis, for a quarter of a second at most."""
    url = get_settings().redis
    if url is None:
        return DISABLED
    client = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25, retry=None)
    try:
        client.ping()
    except (redis.RedisError, OSError):
        return DISCONNECTED
    finally:
        client.close()
    return CONNECTED


@lru_cache(maxsize=1)
def known_migrations() -> frozenset[str]:
    """Return the migrations that this release knows."""
    script = ScriptDirectory.from_config(Config(_root() / "alembic.ini"))
    return frozenset(step.revision for step in script.walk_revisions())


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


def is_sealed() -> bool:
    """Say whether secrets cannot be read, although the database answers."""
    try:
        with Session(db.get_probe_engine()) as session:
            return data_keys.is_sealed(session)
    except (SQLAlchemyError, OSError):
        return False


def not_ready() -> str | None:
    """Say why this server cannot serve yet, None when it can.

    A schema ahead of this release is fine: migrations expand before they contract.
    """
    try:
        with db.get_probe_engine().connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
            current = MigrationContext.configure(connection).get_current_revision()
    except (SQLAlchemyError, OSError):
        return "the database does not answer"
    if version < MINIMUM_POSTGRES:
        return TOO_OLD
    if current is None:
        return "the database is empty: run `python -m app migrate`"
    script = ScriptDirectory.from_config(Config(_root() / "alembic.ini"))
    if current in known_migrations() and current != script.get_current_head():
        return "migrations are missing: run `python -m app migrate`"
    return None
