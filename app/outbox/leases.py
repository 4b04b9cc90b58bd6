"""Leases: who does a periodic job now, by the database's clock."""

import os
import socket
from datetime import timedelta

from sqlalchemy import false, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models import Lease


def holder(role: str) -> str:
    """Return the name under which this process holds leases."""
    return f"{role}:{socket.gethostname()}:{os.getpid()}"


def claim(
    session: Session, *, name: str, holder: str, seconds: float, before: str | None = None
) -> bool:
    """Take or renew a lease; the row stays locked until this transaction ends.

    False when somebody else has it, or is at it this very moment. `before` names a role that
    has to give way although its time is not up.
    """
    session.execute(
        insert(Lease).values(name=name, holder="", expires_at=func.now()).on_conflict_do_nothing()
    )
    free = session.scalar(
        select(Lease.name)
        .where(
            Lease.name == name,
            or_(
                Lease.holder == holder,
                Lease.expires_at <= func.clock_timestamp(),
                Lease.holder.startswith(f"{before}:", autoescape=True) if before else false(),
            ),
        )
        .with_for_update(skip_locked=True)
    )
    if free is None:
        return False
    session.execute(
        update(Lease)
        .where(Lease.name == name)
        .values(
            holder=holder,
            expires_at=func.clock_timestamp() + timedelta(seconds=seconds),
        )
    )
    return True


def release(session: Session, *, name: str, holder: str) -> None:
    """Give a lease back before its time."""
    session.execute(
        update(Lease)
        .where(Lease.name == name, Lease.holder == holder)
        .values(expires_at=func.clock_timestamp())
    )


def current_holder(session: Session, *, name: str) -> str | None:
    """Return who has a lease, None if it has run out."""
    return session.scalar(
        select(Lease.holder).where(Lease.name == name, Lease.expires_at > func.clock_timestamp())
    )
