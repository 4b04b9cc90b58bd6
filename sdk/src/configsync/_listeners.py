"""Who is called after a change, and how: nobody's mistake or slowness is anybody else's."""

import asyncio
import inspect
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from configsync._document import MISSING, FrozenDict
from configsync._flags import Flags
from configsync._snapshot import NOTHING, Snapshot

log = logging.getLogger("configsync")

Callback = Callable[[FrozenDict], object]
FlagCallback = Callable[[frozenset[str]], object]
CLOSE_SECONDS = 1.0
"""How long `close` waits for callbacks that are running."""


class Listener:
    """A callback, what it is about, and the newest config that it has not been called with."""

    def __init__(
        self, callback: Callable[[Any], object], key: str | None = None, prefix: str | None = None
    ) -> None:
        self.callback = callback
        self._key = key
        self._prefix = prefix.rstrip(".") if prefix else None
        self.is_removed = False
        self.revive()

    def revive(self) -> None:
        """Begin with a new lock and nobody at work, in a forked child."""
        self._lock = threading.Lock()
        self._next: Any = None
        self.is_busy = False

    def is_due(self, old: Snapshot, new: Snapshot) -> bool:
        """Say whether a change is one that it wants to hear of."""
        if self._key is not None:
            return differs(old.flat.get(self._key, MISSING), new.flat.get(self._key, MISSING))
        if self._prefix is not None:
            return differs(_part(old, self._prefix), _part(new, self._prefix))
        return differs(old.config, new.config)

    def told(self, old: Snapshot, new: Snapshot) -> Any:
        """Return what it is called with after a change."""
        del old
        return new.config

    def offer(self, told: Any) -> bool:
        """Keep what to say in the next call; say whether somebody must be set to work."""
        with self._lock:
            self._next = self._joined(self._next, told)
            is_first, self.is_busy = not self.is_busy, True
            return is_first

    def _joined(self, waiting: Any, told: Any) -> Any:
        del waiting
        return told

    def take(self) -> Any:
        """Return what to say in the next call; None: nothing, and the work ends."""
        with self._lock:
            told, self._next = self._next, None
            self.is_busy = told is not None
            return None if self.is_removed else told

    def call(self, told: Any) -> object:
        """Call it; what it raises is logged."""
        try:
            return self.callback(told)
        except Exception:
            log.exception("A listener failed")
            return None


class FlagListener(Listener):
    """A callback that is called with the names of the flags that may have changed since."""

    def is_due(self, old: Snapshot, new: Snapshot) -> bool:
        """Say whether any flag changed."""
        return bool(changed_flags(old.ruled, new.ruled))

    def told(self, old: Snapshot, new: Snapshot) -> frozenset[str]:
        """Return the names of the flags that changed."""
        return changed_flags(old.ruled, new.ruled)

    def _joined(self, waiting: frozenset[str] | None, told: frozenset[str]) -> frozenset[str]:
        return (waiting or frozenset()) | told


class Listeners:
    """All listeners of a client. In an event loop each works as a task, otherwise in a thread."""

    def __init__(self, *, in_threads: bool) -> None:
        self._listeners: list[Listener] = []
        self.in_threads = in_threads
        self._workers: set[Any] = set()

    def add(self, callback: Callback, key: str | None, prefix: str | None) -> Callable[[], None]:
        """Add a callback; return what removes it."""
        if not callable(callback):
            raise TypeError("a listener is a function or coroutine function")
        if key is not None and prefix is not None:
            raise ValueError("a listener has a key or a prefix, not both")
        return self._added(Listener(callback, key, prefix))

    def add_for_flags(self, callback: FlagCallback) -> Callable[[], None]:
        """Add a callback for changes of flags; return what removes it."""
        if not callable(callback):
            raise TypeError("a listener is a function or coroutine function")
        return self._added(FlagListener(callback))

    def _added(self, listener: Listener) -> Callable[[], None]:
        self._listeners = [*self._listeners, listener]

        def remove() -> None:
            listener.is_removed = True
            self._listeners = [one for one in self._listeners if one is not listener]

        return remove

    def tell(self, old: Snapshot, new: Snapshot) -> None:
        """Have those called whom a change concerns. To be called in the engine's event loop."""
        old, new = old.unguarded, new.unguarded
        for listener in self._listeners:
            if listener.is_due(old, new) and listener.offer(listener.told(old, new)):
                self._set_to_work(listener)

    def revive(self) -> list[Listener]:
        """Begin anew in a forked child; return those whose calls may have got lost."""
        self.in_threads = True
        self._workers = set()
        lost = [one for one in self._listeners if one.is_busy]
        for listener in self._listeners:
            listener.revive()
        return lost

    def repeat(self, lost: list[Listener], new: Snapshot) -> None:
        """Call again whose calls got lost in a fork."""
        for listener in lost:
            if listener.offer(listener.told(NOTHING, new.unguarded)):
                self._set_to_work(listener)

    def _set_to_work(self, listener: Listener) -> None:
        if not self.in_threads:
            task = asyncio.create_task(self._work(listener))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
            return
        thread = threading.Thread(
            target=self._work_in_thread, args=(listener,), name="configsync-listener", daemon=True
        )
        self._workers.add(thread)
        thread.start()

    async def _work(self, listener: Listener) -> None:
        while (told := listener.take()) is not None:
            result = listener.call(told)
            if inspect.isawaitable(result):
                await _finish(result)

    def _work_in_thread(self, listener: Listener) -> None:
        while (told := listener.take()) is not None:
            result = listener.call(told)
            if inspect.isawaitable(result):
                asyncio.run(_finish(result))
        self._workers.discard(threading.current_thread())

    async def settle(self) -> None:
        """Wait a little for those that are tasks, then cancel them."""
        tasks = [
            one
            for one in self._workers
            if isinstance(one, asyncio.Task) and one is not asyncio.current_task()
        ]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def join(self) -> None:
        """Wait a little for those that are threads; one that blocks is left to itself."""
        end = time.monotonic() + CLOSE_SECONDS
        for one in tuple(self._workers):
            if isinstance(one, threading.Thread) and one is not threading.current_thread():
                one.join(max(0.0, end - time.monotonic()))


async def _finish(result: Any) -> None:
    try:
        await result
    except Exception:
        log.exception("A listener failed")


def _part(snapshot: Snapshot, prefix: str) -> dict[str, Any]:
    within = f"{prefix}."
    return {
        address: value
        for address, value in snapshot.flat.items()
        if address == prefix or address.startswith(within)
    }


def changed_flags(old: Flags, new: Flags) -> frozenset[str]:
    """Return the names of flags that are new, gone, or evaluate to something else."""
    if old.prints is new.prints:
        return frozenset()
    names = old.prints.keys() | new.prints.keys()
    return frozenset(
        name
        for name in names
        if differs(old.prints.get(name, MISSING), new.prints.get(name, MISSING))
    )


def differs(one: Any, other: Any) -> bool:
    """Say whether two values differ as JSON, where 1, 1.0 and true are not the same."""
    if one is MISSING or other is MISSING or one != other:
        return one is not other
    return _text(one) != _text(other)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
