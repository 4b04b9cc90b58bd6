"""What the metrics ask the database."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import EventPending

COUNTED = 10_000


def count_pending(session: Session) -> int:
    """Return how many events are not in the audit log, counted up to `COUNTED`."""
    some = select(EventPending.event_id).limit(COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0
