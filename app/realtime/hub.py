"""Who listens to a workspace, and how commits get to them. All of it lives in the event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from app.auth.deps import Credential
from app.core import metrics
from app.core.metrics import Transport
from app.feed.channel import Channel
from app.feed.commits import Commit
from app.realtime.interests import Interest
from app.workspaces.deps import Access

MOST_FRAMES = 1000
MOST_BYTES = 256 * 1024
"""What may wait for one reader; a slower one is cut off and resumes by its cursor."""

SLOW, REFUSED, GONE = "slow_reader", "access_lost", "disconnected"
"""Why a stream ends, beside what ends its channel."""

Write = Callable[[str | None, Commit, tuple[int, ...]], bytes]
"""Writes a frame of a commit: epoch, commit, the places of its changes."""


class Listener:
    """One stream's end: the frames that wait to be sent, and why it ended."""

    __slots__ = (
        "_drained",
        "_future",
        "abort",
        "access",
        "address",
        "credential",
        "ended",
        "frames",
        "hub",
        "interest",
        "size",
        "transport",
        "until",
        "write",
    )

    def __init__(
        self,
        access: Access,
        credential: Credential | None,
        interest: Interest,
        *,
        transport: Transport,
        write: Write,
        address: str | None = None,
    ) -> None:
        self.interest = interest
        self.renew(access)
        self.address = address
        self.credential = credential
        self.transport = transport
        self.write = write
        self.frames: deque[bytes] = deque()
        self.size = 0
        self.ended: str | None = None
        self.hub: Hub | None = None
        self.abort: Callable[[], None] | None = None
        self._future: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def renew(self, access: Access) -> None:
        """Take what the caller's rights are now."""
        self.access = access
        self.until = access.until(time.monotonic())
        self.interest = replace(self.interest, scopes=access.scopes)

    def push(self, frame: bytes) -> None:
        """Have a frame sent; end if too much is waiting already."""
        if self.ended is not None:
            return
        if not self.takes(len(frame)):
            metrics.listener_cut_off(SLOW)
            self.end(SLOW)
            return
        self.frames.append(frame)
        self.size += len(frame)
        self._wake()

    def takes(self, size: int) -> bool:
        """Say whether a frame may wait too: one alone always may, or nobody could pass it."""
        fits = len(self.frames) < MOST_FRAMES and self.size + size <= MOST_BYTES
        return fits or not self.frames

    def end(self, reason: str) -> None:
        """End the stream; a slow reader is not waited for."""
        if self.ended is None:
            self.ended = reason
            self._wake()
            if reason == SLOW:
                self.frames.clear()
                if self.abort is not None:
                    self.abort()

    def take(self) -> bytes:
        """Return all that waits to be sent."""
        data = b"".join(self.frames)
        self.frames.clear()
        self.size = 0
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        return data

    async def drained(self) -> None:
        """Wait until everything was taken to be sent, or the stream has ended."""
        if self.frames and self.ended is None:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    async def wait(self) -> None:
        """Wait until there is something to send or the stream has ended."""
        if not self.frames and self.ended is None:
            self._future = asyncio.get_running_loop().create_future()
            await self._future

    def _wake(self) -> None:
        for future in (self._future, self._drained if self.ended else None):
            if future is not None and not future.done():
                future.set_result(None)


class Hub:
    """The listeners of one workspace. Commits are looked at once an interest, not a listener."""

    def __init__(self, channel: Channel, epoch: Callable[[], str | None]) -> None:
        self.channel = channel
        self.listeners: set[Listener] = set()
        self._epoch = epoch
        self._groups: dict[Interest, set[Listener]] = {}
        self._services: dict[str | None, set[Interest]] = {}
        channel.followers.append(self)

    def add(self, listener: Listener) -> None:
        """Tell a listener of every commit from now on."""
        interest = listener.interest
        listener.hub = self
        self.listeners.add(listener)
        self._groups.setdefault(interest, set()).add(listener)
        for name in interest.services or (None,):
            self._services.setdefault(name, set()).add(interest)
        metrics.listener_came(listener.transport)

    def remove(self, listener: Listener) -> None:
        """Tell a listener of nothing any more."""
        if listener not in self.listeners:
            return
        interest = listener.interest
        self.listeners.discard(listener)
        self._groups[interest].discard(listener)
        if not self._groups[interest]:
            del self._groups[interest]
            for name in interest.services or (None,):
                self._services[name].discard(interest)
                if not self._services[name]:
                    del self._services[name]
        metrics.listener_left(listener.transport)

    def on_commits(self, commits: Sequence[Commit]) -> None:
        """Give commits to the listeners whom they reach."""
        epoch = self._epoch()
        for commit in commits:
            frames: dict[tuple[Write, tuple[int, ...]], bytes] = {}
            for interest in self._interested(commit):
                chosen = interest.chosen(commit)
                if not chosen:
                    continue
                for listener in tuple(self._groups[interest]):
                    form = (listener.write, chosen)
                    frame = frames.get(form)
                    if frame is None:
                        frame = frames[form] = listener.write(epoch, commit, chosen)
                    listener.push(frame)

    def _interested(self, commit: Commit) -> Iterable[Interest]:
        services = {change.level.service for change in commit.changes}
        if None in services:
            return tuple(self._groups)
        found = [self._services.get(name, ()) for name in (None, *services)]
        return {interest for some in found for interest in some}

    def on_rights(self) -> None:
        """Nothing: whoever lost a right is found by those who look after all streams."""

    def on_end(self, reason: str) -> None:
        """End all streams: their clients come again and are told what has become of history."""
        for listener in tuple(self.listeners):
            listener.end(reason)
