"""Retention: what each append-only table may forget, and the partitions of the months to come."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.auth import crud as auth_crud
from app.core import db
from app.core.settings import get_settings
from app.idempotency import crud as idempotency_crud
from app.instances import crud as instances_crud
from app.outbox import leases
from app.realtime import crud as streams_crud
from app.secrets import disposal_crud as secrets_crud
from app.secrets import rotation
from app.usage import crud as usage_crud
from app.versions import crud as versions_crud

LEASE = "sweep"
LEASE_SECONDS = 300
PRUNE_BATCHES = 100
PRUNE_ROWS = 2000
PARTITIONED = {"events": "at", "read_counts": "minute"}


def sweep(holder: str) -> bool:
    """Forget what is old and prepare the next months, if it is this process's turn."""
    with db.transaction() as session:
        if not leases.claim(session, name=LEASE, holder=holder, seconds=LEASE_SECONDS):
            return False
        auth_crud.sweep(session)
        idempotency_crud.sweep(session)
        instances_crud.sweep(session)
        secrets_crud.sweep(session)
        streams_crud.sweep(session)
        usage_crud.sweep(session)
        today = datetime.now(UTC)
        for table in PARTITIONED:
            make_partitions(session, table=table, today=today)
            drop_partitions(session, table=table, today=today)
    rotation.retire()
    prune()
    return True


def prune() -> None:
    """Delete versions beyond KEEP_VERSIONS, in batches, and the secrets that only they named."""
    keep = get_settings().keep_versions
    shortened: set[int] = set()
    for _ in range(PRUNE_BATCHES if keep else 0):
        with db.transaction() as session:
            pruned = versions_crud.prune(session, keep=keep, limit=PRUNE_ROWS)
        if not pruned:
            break
        shortened |= pruned
    for config_id in sorted(shortened):
        with db.transaction() as session:
            secrets_crud.prune(session, config_id=config_id)


def month_of(moment: datetime) -> datetime:
    """Return the first instant of a month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """Return the first instant of the month after."""
    return month_of(month + timedelta(days=32))


def make_partitions(session: Session, *, table: str, today: datetime) -> None:
    """Create the partitions of this month and the next two unless they exist."""
    month = month_of(today)
    for _ in range(3):
        after = next_month(month)
        name = f"{table}_p{month:%Y%m}"
        if session.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is None:
            make_partition(session, table=table, name=name, month=month, after=after)
        month = after


def make_partition(
    session: Session, *, table: str, name: str, month: datetime, after: datetime
) -> None:
    """Create one, with what the default partition took meanwhile."""
    place = PARTITIONED[table]
    during = f"{place} >= '{month.isoformat()}' AND {place} < '{after.isoformat()}'"
    for step in (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE",
        (
            f"WITH moved AS (DELETE FROM {table}_default WHERE {during} RETURNING *) "  # noqa: S608
            f"INSERT INTO {name} SELECT * FROM moved"
        ),
        (
            f"ALTER TABLE {table} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{month.isoformat()}') TO ('{after.isoformat()}')"
        ),
    ):
        session.execute(text(step))


def drop_partitions(session: Session, *, table: str, today: datetime) -> None:
    """Drop the months that are older than AUDIT_RETENTION_DAYS as a whole."""
    days = get_settings().audit_retention_days
    if not days:
        return
    oldest = f"{table}_p{month_of(today - timedelta(days=days)):%Y%m}"
    names = session.scalars(
        text(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = to_regclass(:table) AND inhrelid::regclass::text ~ '_p[0-9]{6}$'"
        ),
        {"table": table},
    )
    for name in sorted(names):
        if name < oldest:
            session.execute(text(f"DROP TABLE {name}"))
