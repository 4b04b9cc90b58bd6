"""Events that must be on the disk before an answer leaves, committed together with others."""

import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue

import structlog

from app.core import context, db
from app.outbox import events
from app.outbox.events import Happened
from app.secrets.errors import AuditUnavailable

log = structlog.get_logger()

BATCH = 500
WAIT_SECONDS = 10.0

Ticket = tuple[Happened, context.RequestContext, "Future[None]"]


class GroupCommit:
    """One thread that writes what many requests wait for: one commit for all of them."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Ticket | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, event: Happened) -> "Future[None]":
        """Return what is done when the event is committed, and fails when it cannot be."""
        done: Future[None] = Future()
        self._queue.put((event, context.current(), done))
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="reads", daemon=True)
                    self._thread.start()
        return done

    def stop(self) -> None:
        """Write what is waiting and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout=5)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ending = self._gather(first)
            self._write(batch)
            if ending:
                return

    def _gather(self, first: Ticket) -> tuple[list[Ticket], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                ticket = self._queue.get_nowait()
            except Empty:
                break
            if ticket is None:
                return batch, True
            batch.append(ticket)
        return batch, False

    def _write(self, batch: list[Ticket]) -> None:
        try:
            with db.side_transaction() as session:
                events.record_of(session, [(event, request) for event, request, _ in batch])
        except Exception as error:  # noqa: BLE001  (whatever it is, nobody may wait for ever)
            log.warning("audit.unavailable", error=type(error).__name__)
            for _, _, done in batch:
                done.set_exception(AuditUnavailable())
        else:
            for _, _, done in batch:
                done.set_result(None)


_commits = GroupCommit()


def write(event: Happened) -> None:
    """Wait until an event is committed; raise AuditUnavailable."""
    try:
        _commits.submit(event).result(timeout=WAIT_SECONDS)
    except TimeoutError:
        raise AuditUnavailable from None


def stop() -> None:
    """Finish, at the end of an application."""
    _commits.stop()
