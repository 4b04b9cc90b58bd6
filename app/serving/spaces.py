"""The snapshots of one workspace, kept in step with its channel. They live in the event loop."""

from asyncio import Future, shield
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from app.configs.levels import Level
from app.core.db import AnyRow
from app.effective.service import Part
from app.feature_flags.rulesets import Ruleset
from app.feed.channel import Channel
from app.feed.commits import FLAG, SEGMENT, Change, Commit
from app.serving.sharing import shared
from app.serving.snapshots import Document, Rules, Snapshot

ENVIRONMENT = "environment"
OF_FLAGS = frozenset({FLAG, SEGMENT})
TRIES = 5
ABSENT_BYTES = 500
"""About what it takes to know that a level has no document."""

Load = Callable[[], Awaitable[tuple[AnyRow, Sequence[AnyRow]]]]
LoadRules = Callable[[Ruleset | None], Awaitable[tuple[int, Ruleset | None]]]
"""Takes the rules as they were; returns the revision as of which they are now, None: unknown."""


class Space:
    """The documents of a workspace that somebody reads, and the snapshots made of them.

    A document stands at the level's key, None where there is none; all are as of the channel's
    head. Whatever a commit touches is forgotten, and loaded when somebody asks.
    """

    def __init__(self, channel: Channel, *, slug: str, owner_id: int | None) -> None:
        self.channel = channel
        self.slug = slug
        self.owner_id = owner_id
        self.documents: dict[Level, Document | None] = {}
        self.snapshots: dict[Level, Snapshot] = {}
        self.rules: dict[str, Rules] = {}
        self._rules_before: dict[str, Ruleset] = {}
        self.bytes = 0
        self._protected: dict[str, bool | None] = {}
        self._levels: dict[str | None, set[Level]] = {}
        self._loads: dict[tuple[Level, ...] | str, Future[None]] = {}
        self._cleared = 0
        self._named: tuple[int, bytes] = (-1, b"")
        channel.followers.append(self)

    def revision_header(self, epoch: str | None) -> bytes:
        """Return the newest revision as `X-ConfigSync-Revision` has it."""
        head = self.channel.head
        if self._named[0] != head:
            self._named = (head, f"{epoch}-{head}".encode())
        return self._named[1]

    def on_commits(self, commits: Iterable[Commit]) -> None:
        """Forget what the commits touch."""
        for commit in commits:
            if not commit.changes:  # whatever they were, they are not kept any more
                self.clear()
            for change in commit.changes:
                if change.resource_type == ENVIRONMENT:
                    self.clear()
                elif change.resource_type in OF_FLAGS:
                    self._forget_rules(change.level.environment)
                else:
                    self._forget(change.level)

    def on_rights(self) -> None:
        """Forget everything: names may have changed."""
        self.clear()

    def on_end(self, _reason: str) -> None:
        """Forget everything."""
        self.clear()

    def clear(self) -> None:
        """Forget all documents and snapshots."""
        for kept in (*self.snapshots.values(), *self.rules.values()):
            kept.end()
        self.rules.clear()
        self._rules_before.clear()
        self.documents.clear()
        self.snapshots.clear()
        self._protected.clear()
        self._levels.clear()
        self.bytes = 0
        self._cleared += 1

    def forget_unused(self) -> None:
        """Forget the snapshots that nobody asked for since the last time, and their documents."""
        for level in [level for level, one in self.snapshots.items() if not one.is_used]:
            self._drop(level)
        for name in [name for name, one in self.rules.items() if not one.is_used]:
            self._drop_rules(name)
        self._rules_before = {
            name: one for name, one in self._rules_before.items() if name in self.rules
        }
        for kept in (*self.snapshots.values(), *self.rules.values()):
            kept.is_used = False
        needed = {wider for level in self.snapshots for wider in level.wider()}
        for level in self.documents.keys() - needed:
            self._take(level)
        places = {level.environment for level in self.snapshots}
        self._protected = {name: one for name, one in self._protected.items() if name in places}

    def shrink(self, size: int) -> None:
        """Forget the oldest snapshots and their documents until no more than this is left."""
        for level in [*self.snapshots]:
            if self.bytes <= size:
                return
            self._drop(level)
        for name in [*self.rules]:
            if self.bytes <= size:
                return
            self._drop_rules(name)
            self._rules_before.pop(name, None)

    def _forget_rules(self, environment: str | None) -> None:
        for name in [environment] if environment is not None else [*self.rules]:
            if name in self.rules:
                self._rules_before[name] = self.rules[name].ruleset
                self._drop_rules(name)

    def _drop_rules(self, name: str) -> None:
        rules = self.rules.pop(name)
        self.bytes -= rules.size
        rules.end()

    def _drop(self, level: Level) -> None:
        self._end(level)
        if level.service is not None:
            self._take(level)
            if level.service not in self._levels:
                self._take(Level(level.service, None))

    def _forget(self, changed: Level) -> None:
        self._take(changed)
        if changed.service is None:
            reached = [*self.snapshots]
        else:
            reached = [*self._levels.get(changed.service, ())]
        for level in reached:
            if changed.environment in {None, level.environment}:
                self._end(level)

    def _end(self, level: Level) -> None:
        snapshot = self.snapshots.pop(level)
        self.bytes -= snapshot.size
        self._levels[level.service].discard(level)
        if not self._levels[level.service]:
            del self._levels[level.service]
        snapshot.end()

    def _take(self, level: Level) -> None:
        if level in self.documents:
            self.bytes -= _size(self.documents.pop(level))

    async def snapshot(self, level: Level, load: Load) -> Snapshot | None:
        """Return the snapshot of a level; None when there is nothing, or no such environment.

        Loads what is missing, once however many ask. Raises what the database raises, and
        TimeoutError when changes keep getting in the way.
        """
        for _ in range(TRIES):
            snapshot = self.snapshots.get(level)
            if snapshot is not None:
                return snapshot
            missing = tuple(one for one in level.wider() if one not in self.documents)
            name = level.environment
            if not missing and (name is None or name in self._protected):
                return self._build(level)
            places = missing or (level,)
            await self._once(places, partial(self._load, level, places, load))
        raise TimeoutError

    async def rules_of(self, environment: str, load: LoadRules) -> Rules | None:
        """Return the rules of an environment, None when there is none; as `snapshot`."""
        for _ in range(TRIES):
            rules = self.rules.get(environment)
            if rules is not None:
                return rules
            is_known = await self._once(environment, partial(self._load_rules, environment, load))
            if is_known is False:
                return None
        raise TimeoutError

    def _build(self, level: Level) -> Snapshot | None:
        found = [self.documents[one] for one in level.wider()]
        documents = [one for one in found if one is not None]
        protected = self._protected.get(level.environment or "")
        is_known = level.environment is None or protected is not None
        if not is_known or not any(one.part.content is not None for one in documents):
            self._forget_absent(level)
            return None
        snapshot = Snapshot(level, documents, is_protected=protected)
        self.snapshots[level] = snapshot
        self._levels.setdefault(level.service, set()).add(level)
        self.bytes += snapshot.size
        return snapshot

    def _forget_absent(self, level: Level) -> None:
        """Keep nothing of names that mean nothing here: there is no end of them."""
        for one in level.wider():
            if one != Level(None, None) and self.documents.get(one) is None:
                self._take(one)
        if self._protected.get(level.environment or "") is None:
            self._protected.pop(level.environment or "", None)

    async def _once(
        self, what: tuple[Level, ...] | str, load: Callable[[], Awaitable[bool]]
    ) -> bool | None:
        """Load something unless somebody else does; return what that says, or None."""
        running = self._loads.get(what)
        if running is not None:
            await shield(running)
            return None
        future = self._loads[what] = Future()
        try:
            with shared(future):
                return await load()
        finally:
            del self._loads[what]

    async def _load_rules(self, environment: str, load: LoadRules) -> bool:
        """Take rules, unless something came between; say whether there is such an environment."""
        cleared = self._cleared
        head, ruleset = await load(self._rules_before.get(environment))
        if ruleset is None:
            return False
        changes = self._since(head, cleared)
        if changes is None or any(
            change.resource_type == ENVIRONMENT
            or (
                change.resource_type in OF_FLAGS and change.level.environment in {None, environment}
            )
            for change in changes
        ):
            return True
        rules = self.rules[environment] = Rules(ruleset)
        self._rules_before.pop(environment, None)
        self.bytes += rules.size
        return True

    def _since(self, head: int, cleared: int) -> list[Change] | None:
        """Return what was changed since something was loaded, None: anything may have been."""
        newer = self.channel.since(head)
        if self.channel.ended or newer is None or cleared != self._cleared:
            return None
        return [change for commit in newer for change in commit.changes]

    async def _load(self, level: Level, missing: tuple[Level, ...], load: Load) -> bool:
        """Take documents, unless something came between."""
        cleared = self._cleared
        head, rows = await load()
        changes = self._since(head.head, cleared)
        if changes is None or any(_touches(change, missing) for change in changes):
            return True
        if level.environment is not None:
            self._protected[level.environment] = head.protected
        found = {document.part.level: document for document in (_document(level, r) for r in rows)}
        for one in missing:
            if one not in self.documents:
                document = self.documents[one] = found.get(one)
                self.bytes += _size(document)
        return True


def _size(document: Document | None) -> int:
    return ABSENT_BYTES if document is None else document.size


def _touches(change: Change, levels: Sequence[Level]) -> bool:
    if change.resource_type in OF_FLAGS:
        return False
    return change.resource_type == ENVIRONMENT or change.level in levels


def _document(level: Level, row: Any) -> Document:
    own = Level(
        level.service if row.of_service else None,
        level.environment if row.of_environment else None,
    )
    part = Part(own, row.id, row.version, row.revision, row.content, row.checksum)
    return Document(part, row.created_by, row.at, row.actor_name)
