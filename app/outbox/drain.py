"""From the outbox to the audit log: one JSON object a line, at least once, never a value."""

import os
from collections.abc import Sequence
from pathlib import Path

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.core import db
from app.core.db import AnyRow
from app.core.settings import get_settings
from app.models import Event, EventPending, Workspace
from app.outbox import leases

LEASE = "audit-log"
LEASE_SECONDS = 10
BATCH = 500
COLUMNS = tuple(Event.__table__.columns)


def drain(holder: str, *, before: str | None = None) -> int:
    """Write all pending events to the log; return how many. Somebody else at it: 0.

    Whoever steps in for somebody is named in `before` and gives way at once.

    Lines are on the disk before their outbox rows go, so a crash repeats lines (with the
    same event id) and loses none.
    """
    written = 0
    while True:
        with db.transaction() as session:
            if not leases.claim(
                session, name=LEASE, holder=holder, seconds=LEASE_SECONDS, before=before
            ):
                return written
            rows = take(session)
            append(get_settings().audit_log_file, [line(row) for row in rows])
        written += len(rows)
        if len(rows) < BATCH:
            return written


def take(session: Session) -> Sequence[AnyRow]:
    """Remove the oldest entries from the outbox and return their events."""
    oldest = (
        select(EventPending.event_id).order_by(EventPending.event_id).limit(BATCH).with_for_update()
    )
    taken = (
        delete(EventPending)
        .where(EventPending.event_id.in_(oldest.scalar_subquery()))
        .returning(EventPending.event_id, EventPending.at)
        .cte("taken")
    )
    statement = (
        select(*COLUMNS, Workspace.slug)
        .join(taken, (taken.c.event_id == Event.id) & (taken.c.at == Event.at))
        .outerjoin(Workspace, Workspace.id == Event.workspace_id)
        .order_by(Event.id)
    )
    return session.connection().execute(statement).all()


def line(event: AnyRow) -> bytes:
    """Return the log line of an event."""
    return orjson.dumps(
        {
            "time": event.at,
            "event_id": event.id,
            "workspace": event.slug,
            "actor": event.actor_name,
            "actor_id": event.actor_id,
            "address": event.address,
            "action": event.action,
            "object": {
                "type": event.resource_type,
                "id": event.resource_id,
                "service": event.service,
                "environment": event.environment,
            },
            "version": event.version,
            "revision": event.revision,
            "request_id": event.request_id,
            "outcome": event.outcome,
        },
        option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z,
    )


def append(file: Path, lines: list[bytes]) -> None:
    """Append lines durably, mending a last line that a crash cut off; rotate when large."""
    if not lines:
        return
    settings = get_settings()
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > settings.audit_log_max_bytes:
        rotate(file, keep=settings.audit_log_keep)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    with os.fdopen(descriptor, "ab") as log:
        if _cut_off(descriptor):
            log.write(b"\n")
        log.writelines(lines)
        log.flush()
        os.fsync(descriptor)


def _cut_off(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def rotate(file: Path, *, keep: int) -> None:
    """Move `file` to `file.1`, that to `file.2`, …; the oldest goes."""
    for number in range(keep - 1, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        if older.exists():
            older.replace(file.with_name(f"{file.name}.{number + 1}"))
    file.replace(file.with_name(f"{file.name}.1"))


def oldest_pending_seconds(session: Session) -> float | None:
    """Return the age of the oldest event that is not in the log, None if all are."""
    age = session.scalar(
        select(func.extract("epoch", func.clock_timestamp() - func.min(EventPending.at)))
    )
    return None if age is None else float(age)
