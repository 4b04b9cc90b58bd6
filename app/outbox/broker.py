"""Celery over Redis: how tasks leave a server process, and what both sides agree on."""

from functools import lru_cache

from celery import Celery

from app.core.settings import get_settings

DRAIN_TASK = "outbox.drain"
SWEEP_TASK = "background.sweep"
VISIBILITY_SECONDS = 60
TIMEOUT_SECONDS = 0.25


@lru_cache(maxsize=1)
def get_celery() -> Celery:
    """Return the Celery application of this process."""
    app = Celery("configsync", broker=get_settings().redis or "memory://")
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
        },
        beat_schedule={
            "drain": {"task": DRAIN_TASK, "schedule": 5.0},
            "sweep": {"task": SWEEP_TASK, "schedule": 600.0},
        },
        beat_schedule_filename=str(get_settings().data_dir / "beat-schedule"),
    )
    return app


def bound_publishing() -> None:
    """Let a silent Redis cost the sending thread a quarter of a second, not minutes."""
    get_celery().conf.broker_transport_options = {
        "visibility_timeout": VISIBILITY_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry_on_timeout": False,
        "max_retries": 0,
    }


def publish(task: str) -> None:
    """Send a task without arguments; raise what the broker raises, soon."""
    get_celery().send_task(task, retry=False, ignore_result=True)
