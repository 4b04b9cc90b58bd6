"""What Prometheus is told: what the processes count, and what the database knows of the outbox."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core import db, metrics
from app.metrics import crud
from app.outbox import drain

PATIENCE_SECONDS = 0.5


class Outbox(Collector):
    """How far the audit log is behind, one answer's worth."""

    def __init__(self, lag: float, pending: int) -> None:
        self.lag = lag
        self.pending = pending

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return both figures."""
        yield GaugeMetricFamily(
            "configsync_outbox_lag_seconds",
            "Age of the oldest event that is not in the audit log, 0 when all are.",
            value=self.lag,
        )
        yield GaugeMetricFamily(
            "configsync_audit_pending",
            f"Events that are not in the audit log, counted up to {crud.COUNTED}.",
            value=self.pending,
        )


def report() -> bytes:
    """Return all metrics; those of the outbox are absent while the database is away."""
    text = metrics.exposition()
    outbox = look_at_outbox()
    if outbox is None:
        return text
    asked = CollectorRegistry()
    asked.register(outbox)
    return text + generate_latest(asked)


def look_at_outbox() -> Outbox | None:
    """Ask the database, for a moment only; None while it does not answer."""
    be_brief()
    try:
        with Session(db.get_probe_engine()) as session:
            return Outbox(drain.oldest_pending_seconds(session) or 0.0, crud.count_pending(session))
    except (SQLAlchemyError, OSError):
        return None


def be_brief() -> None:
    """Give up the database work of this thread's request soon: a scrape does not wait."""
    db.deadline.set(time.monotonic() + PATIENCE_SECONDS)
