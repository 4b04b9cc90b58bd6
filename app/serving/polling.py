"""Long polls: reads that wait until there is something else to read."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.core import metrics, waiting
from app.serving.service import Found, Serving


async def wait(
    serving: Serving,
    found: Found,
    is_known: Callable[[Found], bool],
    find: Callable[[], Awaitable[Found]],
    *,
    seconds: float,
) -> Found:
    """Wait while the caller's config is the one that it knows; return what it may read then.

    `find` proves the caller's right anew, after whatever ended a wait. Only another config ends
    it early: not what is no change for this caller, nor the rights of others.
    """
    end = time.monotonic() + seconds
    metrics.listener_came("long_poll")
    try:
        while is_known(found) and not serving.is_closing and (left := end - time.monotonic()) > 0:
            future = asyncio.get_running_loop().create_future()
            found.snapshot.changed(future)
            await waiting.wait(future, left)
            found = await find()
    finally:
        metrics.listener_left("long_poll")
    return found
