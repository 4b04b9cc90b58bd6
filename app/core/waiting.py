"""Waiting in the event loop, and waking who waits."""

import asyncio
from asyncio import Future
from collections.abc import Iterable
from contextlib import suppress


def wake(waiting: Iterable["Future[None]"]) -> None:
    """Have futures done that are not."""
    for future in waiting:
        if not future.done():
            future.set_result(None)


async def wait(future: "Future[None]", seconds: float) -> None:
    """Wait until a future is done, so long at most; then it is cancelled."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await future
