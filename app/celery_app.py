"""The Celery application: `celery -A app.celery_app worker`, or `python -m app worker`."""

import threading
from typing import Any

from celery.signals import worker_process_init, worker_ready, worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError

from app.background import tasks
from app.core import db
from app.outbox import broker, leases

HEARTBEAT = "worker"
HEARTBEAT_SECONDS = 5
ALIVE_SECONDS = 15

celery = broker.get_celery()
tasks.register(celery)

_stopping = threading.Event()


@worker_process_init.connect
def forget_inherited_connections(**_: Any) -> None:
    """Give each worker process connections of its own."""
    db.dispose_engines(forked=True)
    db.use_deadlines()


@worker_ready.connect
def start_heartbeat(**_: Any) -> None:
    """Tell the servers that a worker is there."""
    db.use_deadlines()
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


@worker_shutting_down.connect
def stop_heartbeat(**_: Any) -> None:
    """Say goodbye."""
    _stopping.set()


def _beat() -> None:
    holder = leases.holder("worker")
    while not _stopping.wait(HEARTBEAT_SECONDS if _beat_once(holder) else 1):
        pass


def _beat_once(holder: str) -> bool:
    try:
        with db.transaction() as session:
            leases.claim(session, name=HEARTBEAT, holder=holder, seconds=ALIVE_SECONDS)
    except SQLAlchemyError:
        return False
    return True
