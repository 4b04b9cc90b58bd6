"""Long polls: reads that wait until there is something else to read."""

import asyncio
import time
from contextlib import suppress

from app.core import context, metrics
from app.serving.calls import Call, Form
from app.serving.service import Found, Serving
from app.serving.snapshots import Snapshot


async def wait(
    serving: Serving,
    found: Found,
    call: Call,
    request: context.RequestContext,
    known: str,
    *,
    seconds: float,
) -> bool:
    """Wait while the caller's config is the one that it knows; say whether it waited at all.

    `known`: the version or tag that it has. Only what reaches the config ends a wait early.
    """
    end = time.monotonic() + seconds
    snapshot: Snapshot | None = found.snapshot
    waited = False
    metrics.listener_came("long_poll")
    try:
        while (
            snapshot is not None
            and _tag(snapshot, call, found) == known
            and not serving.is_closing
            and (left := end - time.monotonic()) > 0
        ):
            waited = True
            future = asyncio.get_running_loop().create_future()
            snapshot.changed(future)
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await future
            if found.space.channel.ended or found.access.rights != found.space.channel.rights:
                break
            snapshot = await serving.snapshot(found.space, call.level, request)
    finally:
        metrics.listener_left("long_poll")
    return waited


def _tag(snapshot: Snapshot, call: Call, found: Found) -> str | None:
    seen = snapshot.seen_by(found.access)
    if call.form is Form.FETCH:
        return seen.version
    return seen.etag if call.form is Form.EFFECTIVE else None
