"""The client for programs without an event loop."""

from collections.abc import Coroutine
from typing import Any, Self

from configsync._base import BaseClient
from configsync._listeners import CLOSE_SECONDS
from configsync._thread import run_aside


class SyncConfigClient(BaseClient):
    """The config of an application, kept fresh by one thread in the background.

    Reading takes no lock. Each listener is called in a thread of its own, one call at a time.
    """

    __slots__ = ()

    def initialize(self) -> None:
        """Load the config: from the server, else the cache, else the fallback file.

        Raises the reason if there is none of them.
        """
        self._check_open()
        self._do(self._engine.load())

    def start_auto_refresh(self, interval: float = 60) -> None:
        """Follow changes as they happen, and ask every `interval` seconds besides."""
        self._check_interval(interval)
        self._stop()
        self._engine.interval = interval
        self._start_thread()

    def refresh(self) -> None:
        """Ask the server now; raise what goes wrong."""
        self._check_open()
        self._do(self._engine.renew())

    def follow(self) -> None:
        """Follow a server whose database was restored, though it may go back."""
        self._check_open()
        self._do(self._engine.renew(follow=True))

    def close(self) -> None:
        """Stop following changes. What is loaded can still be read; it is not opened again."""
        self._is_closed = True
        self._stop()
        self._state.listeners.join()
        if self._has_usage():
            run_aside(self._engine.last_words(), CLOSE_SECONDS)

    def __enter__(self) -> Self:
        """Initialize."""
        self.initialize()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something where the engine runs, or in a thread for once."""
        if self._thread is not None:
            self._thread.call(work).result()
        else:
            run_aside(work)

    def _stop(self) -> None:
        self._engine.interval = None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
