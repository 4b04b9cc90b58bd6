"""Who asks and what they get, from memory where it can be: the state behind the hot routes."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from app.auth.deps import Credential
from app.configs.levels import Level
from app.core import context, db, garbage, metrics
from app.core.db import AnyRow
from app.core.errors import Busy
from app.core.settings import get_settings
from app.feature_flags import snapshots
from app.feature_flags.rulesets import Ruleset
from app.feed.service import Feed
from app.outbox.recorder import recorder
from app.serving import answers, crud
from app.serving.calls import Call, Form
from app.serving.sharing import shared
from app.serving.snapshots import Answer, Kept, Rules, Snapshot
from app.serving.spaces import Space
from app.workspaces.deps import Access, open_access

Result = TypeVar("Result")

READ_SECONDS = 4.0
REACH_SECONDS = 2.0
MOST_WAITING = 1000
MOST_GRANTS = 20_000
MOST_HITS = 100_000
MOST_READS = 1000
"""Things that one caller reads between two flushes and that are added up."""
LARGE_BYTES = 64 * 1024
"""Merging more than this is done beside the event loop."""
NAME_BYTES = 100
"""About what one of the keys takes that an answer is kept for."""
TIDY_SECONDS, FLUSH_SECONDS = 1.0, 10.0
SLICE, PAUSE_SECONDS = 200, 0.001
"""So many hits are counted before others have their turn, and for how long they have it."""


class NotServed(Exception):
    """The framework's route shall answer."""


class Hit:
    """A request that was answered: the next one like it costs a look into a dictionary."""

    __slots__ = ("answer", "call", "count", "grant", "snapshot")

    def __init__(self, call: Call, grant: "Grant", snapshot: Kept, answer: Answer) -> None:
        self.call = call
        self.grant = grant
        self.snapshot = snapshot
        self.answer = answer
        self.count = 0


class Grant:
    """What a credential is worth, until then: `until` on the monotonic clock, and these rights."""

    __slots__ = ("access", "hits", "is_used", "reads", "rights", "space", "until", "who")

    def __init__(
        self, access: Access, space: Space, credential: Credential | None, *, until: float
    ) -> None:
        self.access = access
        self.space = space
        self.who = Who(access, space, credential, self, None)
        self.reads: dict[tuple[str, str], int] = {}
        self.rights = access.rights
        self.until = until
        self.is_used = True
        self.hits: dict[object, Hit] = {}


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks. `grant` None: a person; `stale`: seconds, None: fresh."""

    access: Access
    space: Space
    credential: Credential | None
    grant: Grant | None
    stale: float | None


@dataclass(frozen=True, slots=True)
class Found(Who):
    """Who asks and what for."""

    snapshot: Snapshot | Rules


class Serving:
    """The grants and spaces of a process. All but what `read` runs happens in the event loop."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.grants: dict[bytes, Grant] = {}
        self.touched: list[Hit] = []
        self.read_by: list[Grant] = []
        self._spaces: dict[int, Space] = {}
        self._asking: dict[bytes, asyncio.Future[None]] = {}
        self.is_closing = False
        self._waiting = 0
        self._threads = ThreadPoolExecutor(db.READERS, thread_name_prefix="serving")
        self._limit = get_settings().snapshot_max_bytes
        self._flusher: asyncio.Task[None] | None = None
        self._bytes = 0
        self._hits = 0

    def open(self) -> None:
        """Begin to pass on what is counted."""
        self._flusher = asyncio.create_task(self._flush_for_ever())
        metrics.on_flush(self._measure)

    def end_waiting(self) -> None:
        """Let long polls answer now, for the server is about to stop."""
        self.is_closing = True
        for space in self._spaces.values():
            for snapshot in space.snapshots.values():
                snapshot.wake()

    def close(self) -> None:
        """Pass on what was counted and end the threads."""
        if self._flusher is not None:
            self._flusher.cancel()
        self.flush()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _flush_for_ever(self) -> None:
        flushed, seen = time.monotonic(), 0
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            if time.monotonic() - flushed >= FLUSH_SECONDS:
                await self._flush_by_and_by()
                flushed = time.monotonic()
            self._tidy()
            reads = metrics.snapshot_reads["hit"].count
            if reads == seen and not self._waiting:
                garbage.collect_at_rest()
            seen = reads

    def count(self, who: Who, resource_type: str, resource: str) -> None:
        """Count a read for the audit, off the request's path."""
        grant = who.grant
        if grant is None or len(grant.reads) >= MOST_READS:
            count_read(who.access, resource_type, resource)
            return
        if not grant.reads:
            self.read_by.append(grant)
        key = (resource_type, resource)
        grant.reads[key] = grant.reads.get(key, 0) + 1

    def _tell_reads(self) -> None:
        grants, self.read_by = self.read_by, []
        for grant in grants:
            reads, grant.reads = grant.reads, {}
            for (resource_type, resource), count in reads.items():
                count_read(grant.access, resource_type, resource, count)

    async def _flush_by_and_by(self) -> None:
        self._tell_reads()
        touched, self.touched = self.touched, []
        for begin in range(0, len(touched), SLICE):
            _count(touched[begin : begin + SLICE])
            await asyncio.sleep(PAUSE_SECONDS)

    def flush(self) -> None:
        """Tell the audit of the reads since the last time."""
        self._tell_reads()
        touched, self.touched = self.touched, []
        _count(touched)

    def _measure(self) -> None:
        metrics.set_snapshots(
            sum(len(one.snapshots) for one in [*self._spaces.values()]), self._bytes
        )

    def _tidy(self) -> None:
        """Forget grants that have ended, and when memory is short what nobody asks for."""
        for digest, grant in [*self.grants.items()]:
            if grant.space.channel.ended or grant.rights != grant.space.channel.rights:
                del self.grants[digest]
            elif not all(hit.snapshot.is_live for hit in grant.hits.values()):
                live = {memo: hit for memo, hit in grant.hits.items() if hit.snapshot.is_live}
                grant.hits = live
        if len(self.grants) > MOST_GRANTS:
            self.grants = {digest: one for digest, one in self.grants.items() if one.is_used}
            for grant in self.grants.values():
                grant.is_used = False
        self._spaces = {key: one for key, one in self._spaces.items() if not one.channel.ended}
        self._bytes = sum(one.bytes for one in self._spaces.values())
        if self._bytes > self._limit:
            for space in self._spaces.values():
                space.forget_unused()
            self._bytes = sum(one.bytes for one in self._spaces.values())
        if self._bytes > self._limit:
            share = self._limit / self._bytes
            for space in self._spaces.values():
                space.shrink(int(space.bytes * share))

    async def read(self, work: Callable[[], Result], request: context.RequestContext) -> Result:
        """Run what reads the database in a thread; raise Busy when too many wait for one."""
        if self._waiting >= MOST_WAITING:
            raise Busy("Too many reads are waiting. Try again in a moment.")
        self._waiting += 1
        end = time.monotonic() + READ_SECONDS
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, contextvars.copy_context().run, _bounded, work, request, end
            )
        finally:
            self._waiting -= 1

    async def access(
        self, credential: Credential | None, slug: str | None, request: context.RequestContext
    ) -> tuple[Access, Space]:
        """Ask the database who this is; return the access and the workspace's space.

        The space has seen every commit that the answer has. Raises what `open_access` raises,
        and NotServed.
        """

        def ask() -> Access:
            return db.read(
                lambda session: open_access(
                    session, credential=credential, slug=slug, target_user_id=None
                )
            )

        asked_at = time.monotonic()
        access = await self.read(ask, request)
        channel = self.feed.follow(
            access.workspace_id,
            head=access.head,
            rights=access.rights,
            epoch=access.epoch,
            asked_at=asked_at,
        )
        if channel is None or not await self.feed.reach(
            channel, access.head, seconds=REACH_SECONDS
        ):
            raise NotServed
        if channel.rights < access.rights:
            self.feed.doubt(channel)
            await self.feed.freshen(channel)
        if channel.rights != access.rights:
            raise NotServed
        space = self._spaces.get(access.workspace_id)
        if space is None or space.channel is not channel:
            space = Space(channel, slug=access.slug, owner_id=access.owner_id)
            self._spaces[access.workspace_id] = space
        space.slug = access.slug
        return access, space

    async def grant(
        self, digest: bytes, credential: Credential | None, request: context.RequestContext
    ) -> Grant:
        """Return the grant of an API key (or of nobody); the database is asked once for all."""
        while True:
            grant = self.grants.get(digest)
            if grant is not None and self.is_good(grant):
                return grant
            asking = self._asking.get(digest)
            if asking is None:
                break
            await asyncio.shield(asking)
        future = self._asking[digest] = asyncio.get_running_loop().create_future()
        try:
            with shared(future):
                began = time.monotonic()
                access, space = await self.access(credential, None, request)
        finally:
            del self._asking[digest]
        grant = self.grants[digest] = Grant(access, space, credential, until=access.until(began))
        return grant

    def is_good(self, grant: Grant) -> bool:
        """Say whether nothing has happened that a grant does not know of."""
        channel = grant.space.channel
        return (
            grant.rights == channel.rights and not channel.ended and time.monotonic() < grant.until
        )

    async def snapshot(
        self, space: Space, level: Level, request: context.RequestContext
    ) -> Snapshot | None:
        """Return the snapshot of a level, None when there is nothing."""

        async def load() -> tuple[AnyRow, Sequence[AnyRow]]:
            workspace_id = space.channel.workspace_id

            def work() -> tuple[AnyRow, Sequence[AnyRow]]:
                return db.read(
                    lambda session: crud.load_levels(
                        session,
                        workspace_id=workspace_id,
                        service=level.service,
                        environment=level.environment,
                    )
                )

            metrics.snapshot_reads["load"].count += 1
            found = await self.read(work, request)
            await self.feed.reach(space.channel, found[0].head, seconds=REACH_SECONDS)
            return found

        found = space.snapshots.get(level)
        if found is None:
            metrics.snapshot_reads["rebuild"].count += 1
            found = await space.snapshot(level, load)
        return found

    async def rules(
        self, space: Space, environment: str, request: context.RequestContext
    ) -> Rules | None:
        """Return the rules of an environment, None when there is none."""
        rules = space.rules.get(environment)
        if rules is not None:
            return rules

        async def load(before: Ruleset | None) -> tuple[int, Ruleset | None]:
            workspace_id = space.channel.workspace_id
            metrics.snapshot_reads["load"].count += 1
            found = await self.read(
                lambda: db.read(
                    lambda session: crud.load_rules(
                        session, workspace_id=workspace_id, environment=environment, before=before
                    )
                ),
                request,
            )
            await self.feed.reach(space.channel, found.after, seconds=REACH_SECONDS)
            return found.head, found.ruleset

        metrics.snapshot_reads["rebuild"].count += 1
        return await space.rules_of(environment, load)

    async def flags(
        self, rules: Rules, access: Access, space: Space, request: context.RequestContext
    ) -> Answer:
        """Return what a client of this access evaluates itself."""
        form = (Form.FLAGS, access.scopes.flags, access.scopes.environments)
        answer = rules.answers.get(form)
        if answer is None:
            body, etag = await self.read(lambda: snapshots.snapshot(rules.ruleset, access), request)
            answer = Answer(body, etag)
            if rules.is_live:
                space.bytes += rules.add(form, answer)
        return answer

    async def answer(
        self,
        space: Space,
        snapshot: Snapshot,
        call: Call,
        access: Access,
        request: context.RequestContext,
    ) -> Answer | None:
        """Return what everybody may see of a snapshot; None when it does not have that."""
        answer = snapshot.answers.get(call.part)
        if answer is not None:
            return answer
        if call.form is Form.ITEM:
            key, at = call.key or "", space.channel.head
            answer = await self.read(
                lambda: answers.render_item(snapshot, key, access=access, at=at), request
            )
        elif snapshot.effective.size > LARGE_BYTES:
            answer = await self.read(lambda: self._render(space, snapshot, call), request)
        else:
            answer = self._render(space, snapshot, call)
        if answer is not None and snapshot.is_live:
            space.bytes += snapshot.add(call.part, answer, len(call.names or ()) * NAME_BYTES)
        return answer

    def _render(self, space: Space, snapshot: Snapshot, call: Call) -> Answer | None:
        return answers.render(snapshot, call, slug=space.slug, owner_id=space.owner_id)

    def remember(
        self, grant: Grant, request: object, call: Call, snapshot: Kept, answer: Answer
    ) -> None:
        """Keep what a request asked for and got."""
        self._hits += 1
        if self._hits > MOST_HITS:
            self._hits = 1
            for other in self.grants.values():
                other.hits.clear()
        grant.hits[request] = Hit(call, grant, snapshot, answer)


def _count(hits: Sequence[Hit]) -> None:
    for hit in hits:
        count, hit.count = hit.count, 0
        count_reads(hit.grant.access, hit.call, count)


def count_reads(access: Access, call: Call, count: int = 1) -> None:
    """Tell the audit of reads by one caller of one thing."""
    if call.form is Form.FLAGS:
        count_read(access, "feature_flag", f"*@{call.level.environment}", count)
    elif call.form is Form.ITEM:
        count_read(access, "key", f"{call.level} {call.key}", count)
    else:
        count_read(access, "configuration", str(call.level), count)


def count_read(access: Access, resource_type: str, resource: str, count: int = 1) -> None:
    """Tell the audit of reads, and of the use of a key."""
    recorder.count_read(
        workspace_id=access.workspace_id,
        actor_id=access.caller.user_id,
        actor_name=access.caller.username,
        resource_type=resource_type,
        resource=resource,
        count=count,
    )
    if access.caller.key_id is not None:
        recorder.used(access.caller.key_id)


def _bounded(work: Callable[[], Result], request: context.RequestContext, end: float) -> Result:
    if time.monotonic() >= end:
        raise Busy("Reads have waited too long for the database. Try again in a moment.")
    context.bind(request)
    db.deadline.set(end)
    return work()
