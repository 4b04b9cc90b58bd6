"""The client for programs with an event loop."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

from configsync._base import BaseClient


class ConfigClient(BaseClient):
    """The config of an application, kept fresh by tasks in the program's event loop.

    Reading needs no `await`, takes no lock, and works in every thread. Plain functions as
    listeners are called in the event loop, coroutine functions are tasks there.
    """

    __slots__ = ()
    _in_threads = False

    async def initialize(self) -> None:
        """Load the config: from the server, else the cache, else the fallback file.

        Raises the reason if there is none of them.
        """
        self._check_open()
        await self._do(self._engine.load())

    async def start_auto_refresh(self, interval: float = 60) -> None:
        """Follow changes as they happen, and ask every `interval` seconds besides."""
        self._check_interval(interval)
        await self._stop()
        self._engine.interval = interval
        self._task = asyncio.create_task(self._engine.run(), name="configsync")

    async def refresh(self) -> None:
        """Ask the server now; raise what goes wrong."""
        self._check_open()
        await self._do(self._engine.renew())

    async def follow(self) -> None:
        """Follow a server whose database was restored, though it may go back."""
        self._check_open()
        await self._do(self._engine.renew(follow=True))

    async def close(self) -> None:
        """Stop following changes. What is loaded can still be read; it is not opened again."""
        self._is_closed = True
        await self._stop()
        await self._state.listeners.settle()
        self._state.listeners.join()
        if self._has_usage():
            await self._engine.last_words()

    async def __aenter__(self) -> Self:
        """Initialize."""
        await self.initialize()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the loop where the engine runs, or here."""
        if self._thread is not None:
            await asyncio.wrap_future(self._thread.call(work))
        elif self._task is None or self._task.get_loop() is asyncio.get_running_loop():
            await work
        else:
            loop = self._task.get_loop()
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    async def _stop(self) -> None:
        self._engine.interval = None
        task, self._task = self._task, None
        thread, self._thread = self._thread, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if thread is not None:  # in a forked child
            thread.stop()
