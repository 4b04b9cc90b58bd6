"""SQL of repeated requests."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import IdempotencyKey

RUNNING: Final = object()

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:what, 1))")


def claim(session: Session, *, caller: str, route: str, key: str) -> AnyRow | Any | None:
    """Return the kept answer, RUNNING while another request has the key, None if it is new."""
    if not session.scalar(_TRY_LOCK, {"what": f"{caller}\n{route}\n{key}"}):
        return RUNNING
    return session.execute(
        select(
            IdempotencyKey.digest,
            IdempotencyKey.status,
            IdempotencyKey.body,
            IdempotencyKey.headers,
        ).where(
            IdempotencyKey.caller == caller,
            IdempotencyKey.route == route,
            IdempotencyKey.key == key,
            IdempotencyKey.created_at > func.now() - timedelta(hours=24),
        )
    ).one_or_none()


def keep(session: Session, **answer: Any) -> None:
    """Store the first answer in the transaction that it tells of."""
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.caller == answer["caller"],
            IdempotencyKey.route == answer["route"],
            IdempotencyKey.key == answer["key"],
        )
    )
    session.execute(insert(IdempotencyKey).values(**answer))


def sweep(session: Session) -> None:
    """Delete answers older than 24 hours."""
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - timedelta(hours=24))
    )
