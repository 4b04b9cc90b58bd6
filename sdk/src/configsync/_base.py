"""What both clients have: the arguments, reading, listeners, bindings."""

import asyncio
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from configsync import _fork
from configsync._binding import Binding
from configsync._document import FrozenDict
from configsync._errors import ConfigSyncError
from configsync._flag_reading import FlagReading
from configsync._flags import NO_FLAGS
from configsync._listeners import Callback, FlagCallback
from configsync._options import read_options
from configsync._reading import Reading
from configsync._snapshot import NOTHING, Snapshot, Source
from configsync._state import State, Status
from configsync._thread import Thread

T = TypeVar("T")


class BaseClient(Reading, FlagReading):
    """A client that reads: `_now` is the config of the moment, and is swapped as a whole."""

    __slots__ = ("__weakref__", "_engine", "_is_closed", "_now", "_state", "_task", "_thread")

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        app_id: str | None = None,
        environment: str | None = None,
        workspace: str | None = None,
        timeout: float = 10.0,
        max_stale: float | None = None,
        cache_dir: str | Path | None = None,
        cache_secrets: str | None = None,
        fallback_file: str | Path | None = None,
        follow_restored: bool = False,
        instance_id: str | None = None,
        app_version: str | None = None,
    ) -> None:
        """See docs/client.md for the arguments; wrong ones raise ValueError."""
        from configsync._engine import Engine  # noqa: PLC0415  (imports httpx, which takes a while)

        options = read_options(
            base_url=base_url,
            api_key=api_key,
            app_id=app_id,
            environment=environment,
            workspace=workspace,
            timeout=timeout,
            max_stale=max_stale,
            cache_dir=cache_dir,
            cache_secrets=cache_secrets,
            fallback_file=fallback_file,
            follow_restored=follow_restored,
            instance_id=instance_id,
            app_version=app_version,
        )
        self._is_closed = False
        self._now: Snapshot = NOTHING
        self._task: asyncio.Task[None] | None = None
        self._thread: Thread | None = None
        self._state = State(options, self._publish, in_threads=self._in_threads)
        self._engine = Engine(self._state)
        _fork.watch(self)

    _in_threads = True
    _flags = property(attrgetter("_now._flags"))  # one step in C: it is measured

    def _publish(self, snapshot: Snapshot) -> None:
        self._now = snapshot

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at an address, or the default."""
        try:  # an access to a dict, which is faster than a call of its `get`
            return self._now.values[key]
        except KeyError:
            return default

    def get_all(self) -> FrozenDict:
        """Return the whole config, frozen."""
        return self.snapshot().config

    def snapshot(self) -> Snapshot:
        """Return the config of this moment, which does not change; it serves in a `with`, too."""
        if self._now is NOTHING:
            self._now.get("")
        self._state.check_stale()
        return self._now.unguarded

    @property
    def status(self) -> Status:
        """Return how the client is doing."""
        return self._state.status

    @property
    def staleness(self) -> float:
        """Return the seconds since the server last confirmed the config, or infinity."""
        return self._state.staleness

    @property
    def revision(self) -> int:
        """Return the revision of the last change of this config, 0 if it is not of a server."""
        return self._now.revision

    @property
    def version(self) -> str:
        """Return the short hash of the config, empty if it is not of a server."""
        return self._now.version

    @property
    def source(self) -> Source:
        """Return where the config comes from: server, cache, fallback; none before it is loaded."""
        return self._now.source

    def on_change(
        self, callback: Callback, *, key: str | None = None, prefix: str | None = None
    ) -> Callable[[], None]:
        """Have a function or coroutine function called with the new config after each change.

        With `key` or `prefix` only when what is there changed. Return what removes it.
        """
        return self._state.listeners.add(callback, key, prefix)

    def on_flag_change(self, callback: FlagCallback) -> Callable[[], None]:
        """Have a function or coroutine function called with the names of flags after each change.

        Those are the flags whose rules, segments or prerequisites are others now. Return what
        removes it.
        """
        return self._state.listeners.add_for_flags(callback)

    def bind(self, model: type[T], prefix: str = "") -> Binding[T]:
        """Bind the config below an address to a Pydantic model or dataclass.

        Raises InvalidConfig if what is loaded does not fit. Later configs that do not fit are
        rejected as a whole.
        """
        return self._state.bind(model, prefix)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConfigSyncError("this client is closed")

    def _check_interval(self, interval: float) -> None:
        self._check_open()
        limit = self._state.options.max_stale
        if interval <= 0 or (limit is not None and limit <= interval):
            raise ValueError("interval must be more than 0, and less than max_stale")
        self.snapshot()

    def _has_usage(self) -> bool:
        return self._now.unguarded.ruled is not NO_FLAGS and self._state.wants_flags

    def _start_thread(self) -> None:
        self._thread = Thread(self._engine.run)
        self._thread.start()

    def _why_missing(self, key: str) -> str | None:
        return self._now.unguarded._why_missing(key)  # noqa: SLF001  (both are Readings)

    def _after_fork(self) -> list[object]:
        """Begin anew in a forked child; return what must never be cleaned up here."""
        inherited: list[object] = [self._task, self._thread, *self._engine.abandon()]
        self._task = self._thread = None
        if self._engine.interval is not None:
            self._start_thread()
        return inherited
