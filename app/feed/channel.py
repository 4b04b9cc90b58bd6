"""One workspace as this process follows it. It lives in the event loop."""

from asyncio import Future
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import structlog

from app.core.waiting import wake
from app.feed.commits import Commit

log = structlog.get_logger()

BEHIND, NEW_EPOCH, CLOSING = "behind", "new_epoch", "server_stopping"
"""Why a channel ends: commits were missed, this line of history is over, the process stops."""

KEPT_COMMITS = 1000
"""Newest commits of a workspace that are kept in memory, for who resumes and who loads."""
KEPT_CHANGES = 20_000
"""Fewer commits are kept when they have more changes than this between them."""


class Follower(Protocol):
    """Who wants to know of a workspace. Called in the event loop, in the order of commits."""

    def on_commits(self, commits: Sequence[Commit]) -> None:
        """Take what was committed."""

    def on_rights(self) -> None:
        """Forget what was found out about callers and names."""

    def on_end(self, reason: str) -> None:
        """Forget everything: see `Channel.end`."""


class Channel:
    """The newest revision of a workspace that this process has seen, and the commits before it.

    `fresh_until`: the `time.monotonic()` until which that may be passed on without a word;
    `marked_at`: when somebody here last committed, so that only later confirmations count.
    """

    __slots__ = (
        "commits",
        "confirmed_at",
        "ended",
        "followers",
        "fresh_until",
        "head",
        "kept",
        "marked_at",
        "rights",
        "waiting",
        "workspace_id",
    )

    def __init__(self, workspace_id: int, *, head: int, rights: int) -> None:
        self.workspace_id = workspace_id
        self.head = head
        self.rights = rights
        self.fresh_until = self.confirmed_at = self.marked_at = 0.0
        self.commits: deque[Commit] = deque()
        self.kept = 0
        self.followers: list[Follower] = []
        self.waiting: dict[Future[None], int] = {}
        self.ended = False

    def doubt(self, now: float) -> None:
        """Count only confirmations that begin after this moment. To be called under the lock."""
        self.marked_at = now
        self.fresh_until = 0.0

    def part(self, follower: Follower) -> None:
        """Tell a follower of nothing any more."""
        if follower in self.followers:
            self.followers.remove(follower)

    def since(self, revision: int) -> list[Commit] | None:
        """Return the commits after a revision, None if they are not all in memory."""
        if revision >= self.head:
            return []
        if not self.commits or self.commits[0].revision > revision + 1:
            return None
        known = len(self.commits) - (self.head - revision)
        return [*islice(self.commits, known, None)]

    def advance(self, commits: Sequence[Commit]) -> None:
        """Take the next commits, which follow on the head without a gap."""
        if not commits:
            return
        self.commits.extend(commits)
        self.kept += sum(len(commit.changes) for commit in commits)
        while len(self.commits) > KEPT_COMMITS or self.kept > KEPT_CHANGES:
            self.kept -= len(self.commits.popleft().changes)
        self.head = commits[-1].revision
        for follower in tuple(self.followers):
            _call(follower.on_commits, commits)
        wake(future for future, revision in self.waiting.items() if revision <= self.head)

    def change_rights(self, rights: int) -> None:
        """Take the new count of rights."""
        if rights != self.rights:
            self.rights = rights
            for follower in tuple(self.followers):
                _call(follower.on_rights)

    def end(self, reason: str) -> None:
        """Part with everybody: BEHIND, NEW_EPOCH or CLOSING."""
        self.ended = True
        self.fresh_until = 0.0
        for follower in tuple(self.followers):
            _call(follower.on_end, reason)
        self.followers.clear()
        wake(self.waiting)


def _call(hook: object, *values: object) -> None:
    """Let no follower's mistake keep the others from their news."""
    try:
        hook(*values)  # type: ignore[operator]
    except Exception:
        log.exception("feed.follower_failed")
