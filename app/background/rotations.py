"""The thread that renews secrets whose time has come; other processes may do the same."""

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core import db
from app.rotators import crud, engine

log = structlog.get_logger()

TICK_SECONDS = 2.0
AT_ONCE = 10


class Rotations(threading.Thread):
    """Look for rotators that are due and take each as far as it goes."""

    def __init__(self) -> None:
        super().__init__(name="background-rotations", daemon=True)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the step at hand; a longer one is given up, and continued by the next."""
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        """Work until stopped."""
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self._look()
            except (SQLAlchemyError, OSError) as error:
                log.warning("rotations.delayed", error=type(error).__name__)
            except Exception:
                log.exception("rotations.failed")

    def _look(self) -> None:
        with db.transaction() as session:
            due = crud.list_due(session, limit=AT_ONCE)
        for rotator_id in due:
            if self._stopping.is_set():
                return
            try:
                engine.run(rotator_id)
            except Exception as error:
                if db.unavailable(error):
                    raise
                # the others have their turn all the same
                log.exception("rotation.broken", rotator=rotator_id)
