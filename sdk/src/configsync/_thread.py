"""A thread with an event loop of its own, for programs that have none."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
Main = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


class Thread:
    """Runs a coroutine until it is stopped. A daemon: it does not hold up the program's end."""

    def __init__(self, main: Main) -> None:
        self._main = main
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="configsync", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> "asyncio.Future[T] | Any":
        """Run a coroutine there; return a `concurrent.futures.Future`."""
        self._ready.wait()
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """End it and wait for that."""
        self._ready.wait()
        if self._loop is not None and self._task is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._keep())
        except asyncio.CancelledError:
            pass
        finally:
            self._ready.set()

    async def _keep(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        await self._main(self._ready.set)


def run_aside(work: Coroutine[Any, Any, T], patience: float | None = None) -> T | None:
    """Run a coroutine to its end in a thread that ends with it, whatever loop runs here.

    With `patience` seconds it is left to itself after them, and the result is None.
    """
    outcome: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            outcome.append((True, asyncio.run(work)))
        except BaseException as error:  # noqa: BLE001  (raised again where it belongs)
            outcome.append((False, error))

    thread = threading.Thread(target=run, name="configsync", daemon=True)
    thread.start()
    thread.join(patience)
    if not outcome:
        return None
    is_good, value = outcome[0]
    if not is_good:
        raise value
    result: T = value
    return result


async def aside(function: Callable[[], T]) -> T:
    """Run what may block in a thread, which ends with it."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="configsync-aside")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, function)
    finally:
        pool.shutdown(wait=False)
