"""The one thread beside the requests of a server process: it wakes workers, or does their work."""

import multiprocessing
import os
import signal
import threading
import time
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.background import sweep
from app.core import db, metrics
from app.core.settings import get_settings
from app.outbox import broker, drain, leases
from app.outbox.recorder import recorder
from app.secrets.keyring import get_keyring
from app.usage.recorder import usage

log = structlog.get_logger()

TICK_SECONDS = 1.0
GATHER_SECONDS = 0.2  # commits of this long share one drain, one task
BREAKER_SECONDS = 5.0
RESEND_SECONDS = 2.0
SWEEP_SECONDS = 600.0
USAGE_SECONDS = 10.0


class Loop(threading.Thread):
    """Flush, publish, drain, sweep. `wake` may be called from any thread and returns at once."""

    def __init__(self) -> None:
        super().__init__(name="background", daemon=True)
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._broker = get_settings().redis is not None
        self._holder = leases.holder("server")
        self._breaker_until = 0.0
        self._next_sweep = 0.0
        self._next_usage = 0.0
        self._stepped_in = False

    def wake(self, *_: object) -> None:
        """Say that events were committed."""
        self._woken.set()

    def stop(self) -> None:
        """Finish what is at hand and end."""
        self._stopping.set()
        self._woken.set()
        self.join(timeout=5)

    def run(self) -> None:
        """Work until stopped; a failing database or broker is tried again at the next tick."""
        while not self._stopping.is_set():
            woken = self._woken.wait(TICK_SECONDS)
            self._stopping.wait(GATHER_SECONDS if woken else 0)
            self._woken.clear()
            self._step(woken=woken)
            self._end_with_parent()
        self._step(woken=True)

    def _step(self, *, woken: bool) -> None:
        for work in (
            metrics.flush,
            recorder.flush,
            self._flush_usage,
            partial(self._deliver, woken=woken),
            get_keyring().forget_expired,
            self._sweep,
        ):
            try:
                work()
            except (SQLAlchemyError, OSError) as error:
                log.warning("background.delayed", error=type(error).__name__)
            except Exception:
                log.exception("background.failed")

    def _deliver(self, *, woken: bool) -> None:
        """Get events into the log: by a worker, or here where there is none."""
        if not self._broker:
            if woken or self._pending() is not None:
                drain.drain(self._holder)
            return
        age = None if woken else self._pending()
        if woken or (age is not None and age > RESEND_SECONDS):
            self._publish()
        if age is not None and age > get_settings().worker_grace_s:
            self._step_in()

    def _pending(self) -> float | None:
        with db.transaction() as session:
            return drain.oldest_pending_seconds(session)

    def _publish(self) -> None:
        if time.monotonic() < self._breaker_until:
            return
        try:
            broker.publish(broker.DRAIN_TASK)
        except Exception as error:  # noqa: BLE001  (kombu raises what its transports raise)
            self._breaker_until = time.monotonic() + BREAKER_SECONDS
            log.warning("broker.unavailable", error=type(error).__name__)

    def _step_in(self) -> None:
        if drain.drain(self._holder) and not self._stepped_in:
            self._stepped_in = True
            log.warning("audit.written_by_server", reason="no worker took the events")

    def _sweep(self) -> None:
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_SECONDS
            sweep.sweep(self._holder)

    def _flush_usage(self) -> None:
        if time.monotonic() >= self._next_usage or self._stopping.is_set():
            self._next_usage = time.monotonic() + USAGE_SECONDS
            usage.flush()

    def _end_with_parent(self) -> None:
        """End when the launcher was killed, so that its port is free for the next one."""
        launcher = multiprocessing.parent_process()
        if launcher is not None and os.getppid() != launcher.pid:
            log.warning("server.orphaned")
            os.kill(os.getpid(), signal.SIGTERM)
