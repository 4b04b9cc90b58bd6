"""What keeps a config fresh: one piece of asyncio, in the program's loop or in a thread's."""

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TypeVar

from configsync._backoff import LONGEST, Backoff
from configsync._cache import Cache, Kept
from configsync._errors import (
    AccessDenied,
    AuthenticationError,
    ConfigSyncError,
    Gone,
    Invalid,
    InvalidConfig,
    NotFound,
    ServerUnreachable,
    TryAgain,
)
from configsync._fallback import read_fallback
from configsync._flag_loading import FlagLoader
from configsync._listeners import CLOSE_SECONDS, Listener
from configsync._options import new_instance_id
from configsync._pairing import BOTH, CONFIG, FLAGS, Held, Pairing, Part
from configsync._reporting import Reporter
from configsync._snapshot import NOTHING, Origin, Snapshot
from configsync._sse import Event
from configsync._state import BehindError, News, State
from configsync._thread import aside
from configsync._transport import (
    Cursor,
    Fetched,
    NoStreamError,
    Transport,
    new_trust,
    read_cursor,
)

log = logging.getLogger("configsync")

T = TypeVar("T")
MOST_FAILURES = 3
"""Streams that fail in a row before long polls take over, for POLL_SECONDS."""
POLL_SECONDS, WAIT_SECONDS = 300.0, 30.0
FOLLOW_SECONDS = 1.0
"""How often we look whether a restored server is followed now."""
TYPES: dict[str, frozenset[Part]] = {
    "configuration": CONFIG,
    "key": CONFIG,
    "environment": BOTH,
    "feature_flag": FLAGS,
    "segment": FLAGS,
}
"""What is to be asked for after a change, by its type in the stream."""


class Engine:
    """Loads the config of a client and keeps it fresh."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.interval: float | None = None
        self._cache = Cache(state.options) if state.options.cache_dir else None
        self._trust = new_trust(state.options)
        self._transports: list[Transport] = []
        self._running: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: list[Listener] = []
        self._flags = FlagLoader(state)
        self._reporter = Reporter(state)
        self._begin()

    def _begin(self) -> None:
        """Make what belongs to one event loop."""
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._wanted: Cursor | None = None
        self._due: frozenset[Part] = frozenset()
        self._backoff = Backoff()

    # Loading, without or beside `run`:

    async def load(self) -> None:
        """Load from the server, else from the cache, else from the fallback; or raise why not."""
        kept = await self._read_cache()
        try:
            async with self._opened() as transport:
                await self._refresh(transport)
        except ConfigSyncError as error:
            self._failed(error)
            if self.state.snapshot is NOTHING and not await self._do_without(error, kept):
                raise
        else:
            if self.state.snapshot is NOTHING and kept is not None:  # restored, and not followed
                await self._use(kept)

    async def renew(self, *, follow: bool = False) -> None:
        """Ask the server now; raise what goes wrong."""
        async with self._opened() as transport:
            try:
                await self._refresh(transport, follow=follow)
            except ConfigSyncError as error:
                self._failed(error)
                self._ask_anew()
                raise
        await self.state.listeners.settle()
        self._ask_anew()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Transport]:
        """Yield the connections of this loop, or some for once."""
        if self._running is not None and self._loop is asyncio.get_running_loop():
            yield self._running
            return
        if self._running is None:
            self._begin()
        transport = Transport(self.state.options, self._trust)
        self._transports.append(transport)
        try:
            yield transport
        finally:
            self._transports.remove(transport)
            await transport.close()

    async def _read_cache(self) -> Kept | None:
        if self._cache is None or self.state.snapshot is not NOTHING:
            return None
        kept = await aside(self._cache.load)
        if kept is not None:
            self.state.left = [*kept.epochs]
            self.state.known_version = kept.version
            if kept.epoch is not None:
                self.state.known = Cursor(kept.epoch, kept.head)
        return kept

    async def _do_without(self, error: ConfigSyncError, kept: Kept | None) -> bool:
        """Start from the cache or the fallback; say whether there was one that fits.

        With a key that the server refuses, only from the cache.
        """
        is_refused = isinstance(error, AuthenticationError | AccessDenied)
        if is_refused:
            log.error("The server refuses the API key: %s", error)
        if kept is not None and await self._use(kept):
            log.warning("Started with the config in the cache: %s", error)
            return True
        file = self.state.options.fallback_file
        if file is None or is_refused:
            return False
        try:
            document = await aside(lambda: read_fallback(file))
            self.state.put(Snapshot(document, Origin("fallback")), -math.inf)
        except ConfigSyncError as another:
            log.error("There is no fallback: %s", another)  # noqa: TRY400
            return False
        log.warning("Started with the fallback file %s: %s", file, error)
        return True

    async def _use(self, kept: Kept) -> bool:
        origin = Origin("cache", kept.version, kept.revision, kept.epoch)
        snapshot = Snapshot(
            kept.config,
            origin,
            secrets=kept.secrets,
            withheld={**kept.withheld},
            flags=await self._flags.kept(kept.flags, kept.flags_tag),
        )
        age = max(0.0, time.time() - kept.saved_at)
        try:
            self.state.put(snapshot, time.monotonic() - age)
        except InvalidConfig as error:
            log.warning("The config in the cache is not used: %s", error)
            return False
        return True

    async def _refresh(
        self,
        transport: Transport,
        *,
        follow: bool = False,
        due: frozenset[Part] = BOTH,
        config: Fetched | None = None,
    ) -> None:
        """Fetch what is not older than what we know, and take it."""
        async with self._turn:
            known, wanted = self.state.known, self._wanted
            if known and wanted and wanted.epoch == known.epoch:
                known = max(known, wanted, key=lambda one: one.head)
            try:
                pair = await self._pair(transport, None if follow else known, due, config)
            except Gone:  # of another epoch
                pair = await self._pair(transport, None, BOTH, None)
            await self._take(transport, pair, follow=follow)
            if pair.failed is not None and not isinstance(
                pair.failed, NotFound | AccessDenied | Invalid
            ):
                raise pair.failed

    async def _pair(
        self,
        transport: Transport,
        least: Cursor | None,
        due: frozenset[Part],
        config: Fetched | None,
    ) -> Pairing:
        """Ask for a config and flags of one revision."""
        state = self.state
        flags = state.snapshot.unguarded.ruled
        revision = flags.document.get("revision") if flags.document else None
        held = Held(state.known_version, flags.tag, revision)
        pair = Pairing(transport, held, least, due if state.wants_flags else CONFIG)
        if config is not None:
            pair.start_with(config)
        await (pair.run() if state.wants_flags else pair.run_without_flags())
        return pair

    async def _take(self, transport: Transport, pair: Pairing, *, follow: bool = False) -> None:
        """Take an answer, keep it, and tell the server if it does not fit."""
        is_new = False
        try:
            flags = await self._flags.of(pair)
            news = News(pair.config, flags, pair.cursor, pair.flags_stale)
            is_new = self.state.take(news, follow=follow)
        except InvalidConfig:
            await self._reporter.report(transport)
            if self.state.snapshot is NOTHING:
                raise
        if is_new:
            await self._keep()
        if pair.refused is not None:
            raise pair.refused
        self.state.note(error=None)

    async def _keep(self) -> None:
        """Write the config to the cache."""
        state, snapshot = self.state, self.state.snapshot.unguarded
        if self._cache is None or not state.can_keep:
            return
        kept = Kept(
            config=snapshot.config,
            secrets=snapshot.secrets,
            version=snapshot.version,
            revision=snapshot.revision,
            epoch=snapshot.origin.epoch,
            head=state.known.head if state.known else 0,
            saved_at=time.time(),
            epochs=state.left,
            withheld={**snapshot.withheld},
            flags=snapshot.ruled.document,
            flags_tag=snapshot.ruled.tag,
        )
        cache = self._cache
        await aside(lambda: cache.save(kept))

    def _failed(self, error: ConfigSyncError) -> None:
        text = str(error)
        if self.state.status.error != text:
            log.warning("The config cannot be refreshed: %s", text)
        self.state.note(error=text)

    # Keeping it fresh:

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Keep the config fresh until cancelled."""
        self._begin()
        self._loop = asyncio.get_running_loop()
        self._running = transport = Transport(self.state.options, self._trust)
        self._transports.append(transport)
        if ready is not None:
            ready()
        try:
            self._make_good()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._for_ever(lambda: self._keep_fresh(transport)))
                tasks.create_task(self._for_ever(lambda: self._listen(transport)))
                if self.state.wants_flags:
                    tasks.create_task(self._for_ever(lambda: self._reporter.tell_usage(transport)))
        finally:
            self._running = self._loop = None
            self.state.note(push="off")
            await self.state.listeners.settle()
            self._transports.remove(transport)
            await transport.close()

    def _make_good(self) -> None:
        """Tell what was lost when we were forked in the middle of telling."""
        lost, self._lost = self._lost, []
        state = self.state
        state.listeners.repeat(lost, state.snapshot)
        if state.told is not state.snapshot and state.told is not NOTHING:
            state.listeners.tell(state.told, state.snapshot)
        state.told = state.snapshot

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let no mistake of ours end it."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("Something is wrong in this library")
                await asyncio.sleep(LONGEST)

    async def _keep_fresh(self, transport: Transport) -> None:
        """Refresh when there is news, and when it is time."""
        while True:
            self._news.clear()
            due, self._due = self._due or BOTH, frozenset()
            try:
                await self._refresh(transport, due=due)
                self._backoff.reset()
                await self._reporter.report(transport)
            except TryAgain as error:
                self._failed(error)
                await asyncio.sleep(self._backoff.delay(error))
                self._due = BOTH
            except ConfigSyncError as error:
                self._failed(error)
                self._due = BOTH
                await self._wait(self._backoff.delay(error))
            else:
                await self._wait(self.interval or LONGEST)

    async def _wait(self, seconds: float) -> None:
        """Wait for news, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _listen(self, transport: Transport) -> None:
        """Hear of changes: by a stream, or if none comes through, by long polls."""
        backoff, failures = Backoff(), 0
        while True:
            if self.state.status.restored is not None:
                await asyncio.sleep(FOLLOW_SECONDS)
                continue
            try:
                await self._stream(transport, backoff)
                failures = 0
                delay = backoff.delay()
            except (NoStreamError, NotFound, TryAgain, Invalid) as error:
                failures += 1
                delay = backoff.delay(error)
            except Gone:
                self._ask_anew()
                delay = backoff.delay()
            except ConfigSyncError as error:
                log.debug("No stream: %s", error)
                if self.state.status.error is None:
                    self._ask_anew()  # so that it is told soon whether the server is away
                delay = backoff.delay(error)
            self.state.note(push="off")
            if failures >= MOST_FAILURES:
                await self._poll(transport)
                failures = MOST_FAILURES - 1
                backoff.reset()
            await asyncio.sleep(delay)

    async def _stream(self, transport: Transport, backoff: Backoff) -> None:
        """Listen until the stream ends; raise NoStreamError if it never began."""
        is_open = False
        try:
            types = ",".join(TYPES) if self.state.wants_flags else ""
            async with aclosing(transport.events(self.state.known, types)) as events:
                async for event in events:
                    if event.retry is not None:
                        backoff.first = event.retry
                    if event.name == "hello":
                        is_open = True
                        self._greeted(event)
                        backoff.reset()
                    elif event.name == "change":
                        self._heard(event)
                    elif event.name == "end":
                        self._ask_anew()  # it may have ended because we lost our right
                        return
        except ServerUnreachable as error:
            if is_open:
                log.debug("The stream was cut off: %s", error)
                return
            raise
        if not is_open:
            raise NoStreamError("the stream ended before it began")

    def _greeted(self, hello: Event) -> None:
        """Note that events come through, and ask anew if the server is another or we failed."""
        self.state.note(push="stream")
        cursor, known = read_cursor(hello.id), self.state.known
        if (
            cursor is None
            or known is None
            or cursor.epoch != known.epoch
            or self.state.status.error
        ):
            self._ask_anew()

    def _ask_anew(self, due: frozenset[Part] = BOTH) -> None:
        self._due |= due
        self._news.set()

    def _heard(self, change: Event) -> None:
        self._wanted = read_cursor(change.id) or self._wanted
        self._ask_anew(_touched(change.data))

    async def _poll(self, transport: Transport) -> None:
        """Wait for changes by long polls for a while, or until they do not work either."""
        log.info("No stream comes through: waiting for changes by long polls")
        end = time.monotonic() + POLL_SECONDS
        while time.monotonic() < end and self.state.status.restored is None:
            try:
                fetched = await transport.fetch(version=self.state.known_version, wait=WAIT_SECONDS)
                self.state.note(push="poll")
                await self._refresh(transport, config=fetched)
                await self._reporter.report(transport)
            except BehindError:  # a refresh was faster, or another process answered
                await asyncio.sleep(self._backoff.first)
            except ConfigSyncError as error:
                log.debug("No long poll: %s", error)
                break
        self.state.note(push="off")

    # At the end:

    async def last_words(self) -> None:
        """Report the usage that is left, in little time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS), self._opened() as transport:
                await self._reporter.report_usage(transport)

    # After a fork, in the child:

    def abandon(self) -> list[object]:
        """Let go of the parent's connections; return what must not be cleaned up here."""
        inherited: list[object] = [*self._transports, self._loop, self._turn, self._news]
        for transport in self._transports:
            transport.abandon()
        self._transports = []
        self._running = self._loop = None
        self._begin()
        state = self.state
        self._lost = [*self._lost, *state.listeners.revive()]
        if state.options.instance_id is None:
            state.instance_id = new_instance_id()
        self._reporter.begin_anew()
        return inherited


def _touched(data: str) -> frozenset[Part]:
    """Return what a change is about; both if it cannot be told."""
    try:
        changes = json.loads(data)["changes"]
        parts = [TYPES.get(change["resource_type"], BOTH) for change in changes]
    except (ValueError, RecursionError, KeyError, TypeError):
        return BOTH
    return frozenset().union(*parts) or BOTH
