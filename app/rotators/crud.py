"""SQL of rotators."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import Environment, Key, Rotator, Service, Workspace

LOCKS = 3
"""The first number of the advisory locks under which rotators work."""


def get_rotator(session: Session, *, key_id: int) -> Rotator | None:
    """Return the rotator of a key."""
    return session.scalar(select(Rotator).where(Rotator.key_id == key_id))


def save_rotator(session: Session, *, workspace_id: int, key_id: int, **values: Any) -> Rotator:
    """Insert or replace the rotator of a key; what it did so far is forgotten."""
    fresh = {
        **dict.fromkeys(("run", "step", "pending", "previous", "last_error", "orphaned_at")),
        "failures": 0,
        "next_at": _later(values["every_seconds"]),
        **values,
    }
    statement = insert(Rotator).values(workspace_id=workspace_id, key_id=key_id, **fresh)
    statement = statement.on_conflict_do_update(index_elements=["key_id"], set_=fresh)
    return session.execute(
        statement.returning(Rotator), execution_options={"populate_existing": True}
    ).scalar_one()


def adjust_rotator(session: Session, *, key_id: int, **values: Any) -> Rotator:
    """Change a rotator in its grace time, which is counted anew from the switch."""
    grace = timedelta(seconds=values["grace_seconds"])
    changed = (
        update(Rotator)
        .where(Rotator.key_id == key_id)
        .values(
            **values,
            failures=0,
            last_error=None,
            orphaned_at=None,
            next_at=func.coalesce(Rotator.rotated_at, func.now()) + grace,
        )
    )
    return session.execute(
        changed.returning(Rotator), execution_options={"populate_existing": True}
    ).scalar_one()


def delete_rotator(session: Session, *, key_id: int) -> None:
    """Delete the rotator of a key."""
    session.execute(delete(Rotator).where(Rotator.key_id == key_id))


def update_rotator(
    session: Session, *, rotator: Rotator, next_in: int | None, **values: Any
) -> bool:
    """Change a rotator, its next time in so many seconds, unless it has moved since it was read."""
    changed = session.execute(
        update(Rotator)
        .where(
            Rotator.id == rotator.id,
            Rotator.step.is_not_distinct_from(rotator.step),
            Rotator.run.is_not_distinct_from(rotator.run),
        )
        .values(next_at=_later(next_in), **values)
        .returning(Rotator.id)
    )
    return changed.first() is not None


def _later(seconds: int | None) -> Any:
    return None if seconds is None else func.clock_timestamp() + timedelta(seconds=seconds)


def list_due(session: Session, *, limit: int) -> Sequence[int]:
    """Return the rotators whose time has come, the longest waiting first."""
    return session.scalars(
        select(Rotator.id)
        .join(Workspace, Workspace.id == Rotator.workspace_id)
        .where(
            Rotator.next_at <= func.clock_timestamp(),
            Rotator.orphaned_at.is_(None),
            Workspace.deleted_at.is_(None),
        )
        .order_by(Rotator.next_at)
        .limit(limit)
    ).all()


def get_state(session: Session, *, rotator_id: int) -> AnyRow | None:
    """Return a rotator with its key, level and workspace."""
    return session.execute(
        select(
            Rotator,
            Key,
            Service.name.label("service"),
            Environment.name.label("environment"),
            Workspace.slug,
            func.greatest(
                0, func.ceil(func.extract("epoch", Rotator.next_at - func.clock_timestamp()))
            ).label("seconds"),
        )
        .join(Key, Key.id == Rotator.key_id)
        .join(Workspace, Workspace.id == Rotator.workspace_id)
        .outerjoin(Service, Service.id == Key.service_id)
        .outerjoin(Environment, Environment.id == Key.environment_id)
        .where(Rotator.id == rotator_id, Workspace.deleted_at.is_(None))
    ).one_or_none()


def try_lock_here(session: Session, *, rotator_id: int) -> bool:
    """Take the lock of a rotator until this transaction ends."""
    found = text("SELECT pg_try_advisory_xact_lock(:locks, CAST(:id AS integer))")
    return bool(session.scalar(found, {"locks": LOCKS, "id": rotator_id % 2**31}))


def try_lock(connection: Connection, *, rotator_id: int) -> bool:
    """Take the lock of a rotator, which goes with the connection."""
    found = text("SELECT pg_try_advisory_lock(:locks, CAST(:id AS integer))")
    values = {"locks": LOCKS, "id": rotator_id % 2**31}
    return bool(connection.scalar(found, values))
