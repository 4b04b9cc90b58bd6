"""The change feed of a process: one thread that asks, channels in the event loop that know."""

import asyncio
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from app.core import db, metrics
from app.core.db import AnyRow
from app.core.waiting import wait, wake
from app.feed import crud
from app.feed.channel import BEHIND, CLOSING, NEW_EPOCH, Channel
from app.feed.commits import Commit, collect

log = structlog.get_logger()

POLL_SECONDS = 0.5
"""Heads are asked for this often, whatever notifications come or get lost."""
FRESH_SECONDS = 2.0
"""What was confirmed less than this ago is passed on without a word."""
TICK_SECONDS, PAUSE_SECONDS = 0.1, 0.2
"""The event loop looks at the clock this often; when it is so late, the process was stopped."""
LOOK, TELL = b"!", b"."
"""What the thread is woken for: to ask the database, or only to tell others."""
PATIENCE_SECONDS = 1.0
ROUND_SECONDS = 1.0
CONNECT_SECONDS = 3.0
RETRY_SECONDS = 0.25
MOST_COMMITS = 500
"""Revisions of a workspace that one round takes; a channel further behind is dropped."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the database found: everything before `began` is in it."""

    began: float
    epoch: str
    heads: Sequence[AnyRow]
    commits: Mapping[int, Sequence[Commit]]


class Feed:
    """Follow workspaces: ordered, complete, and known to be fresh or known not to be.

    `channels` and what hangs on them belong to the event loop; `committed` may be called from
    any thread.
    """

    def __init__(self) -> None:
        self.channels: dict[int, Channel] = {}
        self.epoch: str | None = None
        self.away = False
        """The database did not answer the last time it was asked."""
        self._rounds: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()
        self._marked: set[int] = set()
        self._last_mark = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._applied = threading.Event()
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Begin, in the event loop that the channels shall live in; it asks when first needed."""
        self._loop = asyncio.get_running_loop()
        self._tick(time.monotonic())

    def _tick(self, before: float) -> None:
        """Trust nothing after a pause, in which others may have gone on; requests come after."""
        now = time.monotonic()
        if now - before > TICK_SECONDS + PAUSE_SECONDS:
            for channel in self.channels.values():
                self.doubt(channel)
        if self._loop is not None and not self._stopping:
            self._loop.call_later(TICK_SECONDS, self._tick, now)

    async def close(self) -> None:
        """End the thread and all channels."""
        self._stopping = True
        self.wake()
        self._applied.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5)
        for channel in (*self.channels.values(),):
            channel.end(CLOSING)
        self.channels.clear()
        self._near.close()
        self._far.close()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()

    def wake(self, why: bytes = LOOK) -> None:
        """Have the database asked at once, or only other processes told."""
        with suppress(OSError):
            self._far.send(why)

    def committed(self, session: Session) -> None:
        """Take what this process committed, before its answer leaves.

        Changes are passed on as they are; a change of rights has to be asked for.
        """
        commits: list[tuple[int, Commit]] = session.info.pop("commits", [])
        doubted: set[int] = session.info.pop("rights", set())
        if not commits and not doubted:
            return
        with self._lock:
            self._marked |= doubted.union(workspace_id for workspace_id, _ in commits)
            self._doubt(doubted)
        self._start()
        self._tell(self._pass_on, commits)
        self.wake(LOOK if doubted else TELL)

    def _doubt(self, workspace_ids: Iterable[int]) -> None:
        now = self._last_mark = time.monotonic()
        for workspace_id in workspace_ids:
            channel = self.channels.get(workspace_id)
            if channel is not None:
                channel.doubt(now)

    def doubt(self, channel: Channel) -> None:
        """Confirm a channel anew before it counts as fresh again."""
        with self._lock:
            channel.doubt(time.monotonic())

    def follow(
        self, workspace_id: int, *, head: int, rights: int, epoch: str, asked_at: float
    ) -> Channel | None:
        """Return the channel of a workspace, of which the caller has just read this.

        `asked_at`: the `time.monotonic()` before that. None while the epoch is changing.
        """
        if self.epoch is None:
            self.epoch = epoch
        elif self.epoch != epoch:
            self.wake()
            return None
        channel = self.channels.get(workspace_id)
        if channel is None:
            channel = Channel(workspace_id, head=head, rights=rights)
            channel.confirmed_at = asked_at
            with self._lock:
                self.channels[workspace_id] = channel
                if self._last_mark < asked_at:
                    channel.fresh_until = asked_at + FRESH_SECONDS
            self._start()
        return channel

    async def freshen(self, channel: Channel) -> float | None:
        """Wait for what was committed before now; return None, or seconds by which it is stale.

        Within a second; at once while the database is known to be away.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while (now := time.monotonic()) >= channel.fresh_until:
            if channel.ended or self.away or now >= end:
                return now - channel.confirmed_at
            self._start()
            self.wake()
            await self._round(end - now)
        return None

    async def reach(self, channel: Channel, revision: int, *, seconds: float) -> bool:
        """Wait until a revision is here; say whether it is."""
        if channel.head >= revision:
            return True
        future = asyncio.get_running_loop().create_future()
        channel.waiting[future] = revision
        self.wake()
        try:
            await wait(future, seconds)
        finally:
            del channel.waiting[future]
        return channel.head >= revision and not channel.ended

    async def _round(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._rounds.append(future)
        await wait(future, seconds)

    # In the thread:

    def _run(self) -> None:
        while not self._stopping:
            db.deadline.set(time.monotonic() + CONNECT_SECONDS)
            try:
                with db.lone_connection() as connection:
                    crud.listen(connection)
                    self._follow(connection)
            except Exception as error:  # noqa: BLE001  (whatever it is, this thread goes on)
                if self._stopping:
                    return
                log.warning("feed.interrupted", error=type(error).__name__)
                self._tell(self._lost)
                time.sleep(RETRY_SECONDS)

    def _follow(self, connection: Connection) -> None:
        """Look at the database whenever there is a reason to, until it does not answer."""
        raw: Any = connection.connection.driver_connection
        own = raw.info.backend_pid
        looked, is_due = 0.0, True
        while not self._stopping:
            with self._lock:
                marked, self._marked = self._marked, set()
            now = time.monotonic()
            db.deadline.set(now + ROUND_SECONDS)
            if is_due or now - looked > POLL_SECONDS:
                self._look(connection)
                looked = now
            if marked:
                crud.notify(connection, workspace_ids=marked)
            is_due = self._await(raw, own, looked + POLL_SECONDS)

    def _await(self, raw: Any, own: int, end: float) -> bool:
        """Sleep until somebody calls, another process commits in a workspace here, or it is time.

        Notifications about other workspaces do not end the sleep. Return whether to look.
        """
        near, connection = self._near.fileno(), raw.fileno()
        ready = select.poll()  # unlike select.select, with any number of open files
        for number in (near, connection):
            ready.register(number, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            numbers = {number for number, _ in ready.poll(left * 1000)}
            if near in numbers:
                with suppress(BlockingIOError):
                    return LOOK in self._near.recv(4096)
            if connection in numbers:
                raw.poll()
                told = [note for note in raw.notifies if note.pid != own]
                raw.notifies.clear()
                names = {part for note in told for part in note.payload.split(",")}
                if any(name == crud.EVERYWHERE or int(name) in self.channels for name in names):
                    return True
        return True

    def _look(self, connection: Connection) -> None:
        """Take one round to the channels."""
        began = time.monotonic()
        known = {channel.workspace_id: channel.head for channel in list(self.channels.values())}
        heads = self._heads(connection, known)
        ranges = {
            row.workspace_id: (known[row.workspace_id], row.revision)
            for row in heads
            if row.workspace_id is not None and row.revision > known[row.workspace_id]
        }
        commits = (
            collect(crud.list_commits(connection, ranges=ranges, limit=MOST_COMMITS))
            if ranges
            else {}
        )
        self._applied.clear()
        self._tell(self._apply, Round(began, heads[0].epoch, heads, commits))
        self._applied.wait(5)

    def _heads(self, connection: Connection, known: Mapping[int, int]) -> Sequence[AnyRow]:
        """Return the heads; where one went back, history was rewritten: begin a new epoch."""
        heads = crud.list_heads(connection, workspace_ids=[*known])
        back = [row for row in heads if row.workspace_id and row.revision < known[row.workspace_id]]
        if not back or heads[0].epoch != self.epoch:
            return heads
        log.error("feed.head_went_back", workspaces=len(back), epoch=heads[0].epoch)
        with db.transaction() as session:
            crud.begin_epoch(session, after=heads[0].epoch, reason="head went back")
        return crud.list_heads(connection, workspace_ids=[*known])

    def _tell(self, function: Callable[..., None], *values: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(function, *values)

    # In the event loop:

    def _apply(self, found: Round) -> None:
        try:
            if self.epoch not in {None, found.epoch}:
                self._end_epoch(found.epoch)
                return
            self.epoch = found.epoch
            metrics.feed_confirmed()
            for row in found.heads:
                channel = self.channels.get(row.workspace_id)
                if channel is not None:
                    self._bring(channel, row, found)
        finally:
            self.away = False
            self._applied.set()
            self._done()

    def _pass_on(self, commits: Iterable[tuple[int, Commit]]) -> None:
        """Take own commits; what does not follow on what is known has to be asked for."""
        for workspace_id, commit in commits:
            channel = self.channels.get(workspace_id)
            if channel is None:
                continue
            if commit.revision == channel.head + 1:
                channel.advance([commit])
                metrics.feed_commits.count += 1
            else:
                self.doubt(channel)
                self.wake()

    def _bring(self, channel: Channel, row: AnyRow, found: Round) -> None:
        channel.change_rights(row.rights)
        known = channel.head  # newer, if own commits came after this round had begun
        commits = [one for one in found.commits.get(row.workspace_id, ()) if one.revision > known]
        if len(commits) != max(0, row.revision - known):
            self._drop(channel, BEHIND)
            return
        channel.advance(commits)
        metrics.feed_commits.count += len(commits)
        with self._lock:
            channel.confirmed_at = found.began
            if channel.marked_at <= found.began:
                channel.fresh_until = found.began + FRESH_SECONDS

    def _drop(self, channel: Channel, reason: str) -> None:
        del self.channels[channel.workspace_id]
        channel.end(reason)

    def _end_epoch(self, epoch: str) -> None:
        log.warning("feed.new_epoch", epoch=epoch)
        self.epoch = epoch
        for channel in (*self.channels.values(),):
            self._drop(channel, NEW_EPOCH)

    def _lost(self) -> None:
        self.away = True
        self._done()

    def _done(self) -> None:
        rounds, self._rounds = self._rounds, []
        wake(rounds)
