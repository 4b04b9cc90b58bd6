"""What the server counts, for Prometheus: hot paths add to plain numbers, `flush` moves them on.

Labels hold route templates and fixed words, never names of services, keys or users.
"""

import os
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from sqlalchemy import QueuePool

from app.core import db

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
OTHER_ROUTE = "other"
OTHER_METHOD = "OTHER"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets in seconds, each included; above the last there is one more."""

SnapshotOutcome = Literal["hit", "load", "rebuild", "stale", "passed_on"]
Transport = Literal["sse", "websocket", "long_poll"]
SNAPSHOT_OUTCOMES: tuple[SnapshotOutcome, ...] = ("hit", "load", "rebuild", "stale", "passed_on")
TRANSPORTS: tuple[Transport, ...] = ("sse", "websocket", "long_poll")

# The times at which series were made would double them and say nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

registry = CollectorRegistry()
_shared = os.environ.get(SHARED_DIRECTORY)
"""Where the processes of one server add up; the library has chosen by the same variable."""

_requests = Counter(
    "configsync_http_requests_total",
    "Answers by method, route template and status.",
    ("method", "route", "status"),
    registry=registry,
)
_durations = Histogram(
    "configsync_http_request_duration_seconds",
    "Time from a request to the end of its answer.",
    ("method", "route"),
    buckets=BOUNDS,
    registry=registry,
)
_snapshot_reads = Counter(
    "configsync_snapshot_reads_total",
    "Reads answered by snapshots in memory, by how.",
    ("outcome",),
    registry=registry,
)
_snapshots = Gauge(
    "configsync_snapshots",
    "Snapshots in memory.",
    multiprocess_mode="livesum",
    registry=registry,
)
_snapshot_bytes = Gauge(
    "configsync_snapshot_bytes",
    "About how many bytes the snapshots in memory take.",
    multiprocess_mode="livesum",
    registry=registry,
)
_listeners = Gauge(
    "configsync_listeners",
    "Open streams and waiting polls.",
    ("transport",),
    multiprocess_mode="livesum",
    registry=registry,
)
_frames_sent = Counter(
    "configsync_frames_sent_total", "Frames sent to listeners.", ("transport",), registry=registry
)
_cut_off = Counter(
    "configsync_listeners_cut_off_total",
    "Listeners that the server cut off, by why.",
    ("reason",),
    registry=registry,
)
_feed_lag = Gauge(
    "configsync_feed_lag_seconds",
    "Seconds since a process last confirmed that it knows the newest revisions (the slowest one).",
    multiprocess_mode="livemax",
    registry=registry,
)
_feed_commits = Counter(
    "configsync_feed_commits_total", "Commits that the feed has told of.", registry=registry
)
_fetches = Counter(
    "configsync_fetches_total", "Effective configs fetched by clients.", registry=registry
)
_pool = Gauge(
    "configsync_db_pool_connections",
    "Database connections of the request pool.",
    ("state",),
    multiprocess_mode="livesum",
    registry=registry,
)


class HotCounts:
    """Answers of one method, route and status, added up by one thread without any lock.

    A hot path does what `add` does, inline. The numbers only ever grow: `flush` notes what it
    has moved, so it may run in another thread and loses nothing.
    """

    __slots__ = ("_durations", "_labels", "_moved", "_requests", "buckets", "count", "seconds")

    def __init__(self, method: str, route: str, status: int) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)
        self._labels = (method, route, str(status))
        self._moved: tuple[int, float, list[int]] = (0, 0.0, [0] * (len(BOUNDS) + 1))
        self._requests: Counter | None = None
        self._durations: Histogram | None = None

    def add(self, seconds: float) -> None:
        """Count an answer that took so long."""
        self.count += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1

    def move(self) -> None:
        """Move what is new to the library's objects; the first time makes its series."""
        count, seconds, buckets = self.count, self.seconds, list(self.buckets)
        old_count, old_seconds, old_buckets = self._moved
        if count == old_count and buckets == old_buckets:
            return
        if self._requests is None or self._durations is None:
            self._requests = _requests.labels(*self._labels)
            self._durations = _durations.labels(*self._labels[:2])
        self._moved = (count, seconds, buckets)
        self._requests.inc(count - old_count)
        new = [now - old for now, old in zip(buckets, old_buckets, strict=True)]
        observe_in_bulk(self._durations, new, seconds - old_seconds)


def observe_in_bulk(histogram: Histogram, buckets: Sequence[int], seconds: float) -> None:
    """Add many observations at once: how many per bucket, and their sum.

    The library has no call for this, so this function alone touches what is private there
    (a value a bucket, not cumulative, and one for the sum); the tests read the result.
    """
    for value, number in zip(histogram._buckets, buckets, strict=True):  # noqa: SLF001
        if number:
            value.inc(number)
    histogram._sum.inc(seconds)  # noqa: SLF001


class Tally:
    """A counter: `count += 1` in the thread of the event loop, `add` from any other."""

    __slots__ = ("_child", "_moved", "count")

    def __init__(self, child: Counter) -> None:
        self.count = 0
        self._moved = 0
        self._child = child

    def add(self, number: int = 1) -> None:
        """Count, from any thread."""
        self._child.inc(number)

    def move(self) -> None:
        """Move what is new in `count` to the library's object."""
        new = self.count - self._moved
        if new:
            self._moved += new
            self._child.inc(new)


snapshot_reads: dict[SnapshotOutcome, Tally] = {
    outcome: Tally(_snapshot_reads.labels(outcome)) for outcome in SNAPSHOT_OUTCOMES
}
frames_sent: dict[Transport, Tally] = {
    transport: Tally(_frames_sent.labels(transport)) for transport in TRANSPORTS
}
feed_commits = Tally(_feed_commits)
_fetch_tally = Tally(_fetches)

_tallies = (*snapshot_reads.values(), *frames_sent.values(), feed_commits, _fetch_tally)
_open_listeners = {transport: _listeners.labels(transport) for transport in TRANSPORTS}
_hot: dict[tuple[str, str, int], HotCounts] = {}
_on_flush: list[Callable[[], None]] = []
_moving = threading.Lock()
_confirmed_at: float | None = None


def hot(method: str, route: str, status: int) -> HotCounts:
    """Return the counts of a method, route template and status: always the same object."""
    if method not in METHODS:
        method = OTHER_METHOD
    key = (method, route, status)
    found = _hot.get(key)
    return found if found is not None else _hot.setdefault(key, HotCounts(*key))


_fetch_answers = hot("POST", "/api/v1/configs/fetch", 200)


def set_snapshots(number: int, size: int) -> None:
    """Say how many snapshots this process holds, and their bytes."""
    _snapshots.set(number)
    _snapshot_bytes.set(size)


def listener_came(transport: Transport) -> None:
    """Count a listener in."""
    _open_listeners[transport].inc()


def listener_left(transport: Transport) -> None:
    """Count a listener out."""
    _open_listeners[transport].dec()


def set_listeners(transport: Transport, number: int) -> None:
    """Say how many listeners this process has, instead of counting them in and out."""
    _open_listeners[transport].set(number)


def listener_cut_off(reason: str) -> None:
    """Count a listener that was cut off; reasons are fixed words."""
    _cut_off.labels(reason).inc()


def feed_confirmed() -> None:
    """Note that this process knows the newest revisions; also to be called when a feed starts."""
    global _confirmed_at  # noqa: PLW0603  (one feed a process)
    _confirmed_at = time.monotonic()


def on_flush(callback: Callable[[], None]) -> None:
    """Call back before numbers are moved or read, from any thread, to set gauges."""
    _on_flush.append(callback)


def forget_callbacks() -> None:
    """Call nobody back any more, at the end of an application."""
    _on_flush.clear()


def flush() -> None:
    """Move what was counted to the library's objects: every second, and before it is read."""
    with _moving:
        for callback in tuple(_on_flush):
            callback()
        if _confirmed_at is not None:
            _feed_lag.set(time.monotonic() - _confirmed_at)
        _look_at_pool()
        for counts in tuple(_hot.values()):
            counts.move()
        _fetch_tally.count = _fetch_answers.count
        for tally in _tallies:
            tally.move()


def _look_at_pool() -> None:
    in_use = idle = size = 0
    if db.get_engine.cache_info().currsize and isinstance(pool := db.get_engine().pool, QueuePool):
        in_use, idle, size = pool.checkedout(), pool.checkedin(), pool.size()
    _pool.labels("in_use").set(in_use)
    _pool.labels("idle").set(idle)
    _pool.labels("size").set(size)


def exposition() -> bytes:
    """Return everything in Prometheus' text format 0.0.4, summed over the server's processes."""
    flush()
    if not _shared:
        return generate_latest(registry)
    _forget_dead(Path(_shared))
    summed = CollectorRegistry()
    MultiProcessCollector(summed, _shared)  # type: ignore[no-untyped-call]
    return generate_latest(summed)


def _forget_dead(directory: Path) -> None:
    """Drop what processes said of the present that are gone; what they counted stays."""
    for file in directory.glob("gauge_live*.db"):
        if found := re.search(r"_([0-9]+)\.db$", file.name):
            pid = int(found[1])
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                # Another process may be faster.
                with suppress(FileNotFoundError):
                    mark_process_dead(pid, _shared)  # type: ignore[no-untyped-call]
            except PermissionError:
                pass
