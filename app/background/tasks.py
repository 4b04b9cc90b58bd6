"""What workers do: the same functions that the server falls back on."""

from celery import Celery

from app.background import sweep
from app.outbox import broker, drain, leases

HOLDER = leases.holder("worker")
"""Made before a worker forks: its processes hold the lease together, one row lock at a time."""


def register(app: Celery) -> None:
    """Register the tasks under their names."""
    app.task(name=broker.DRAIN_TASK)(drain_outbox)
    app.task(name=broker.SWEEP_TASK)(sweep_tables)


def drain_outbox() -> None:
    """Write pending events to the audit log."""
    drain.drain(HOLDER, before="server")


def sweep_tables() -> None:
    """Forget what is old."""
    sweep.sweep(HOLDER)
