"""What a client knows: the config of the moment, where in the server's history it is, and when."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from configsync._binding import Binding
from configsync._document import masked
from configsync._errors import InvalidConfig, ServerUnreachable, TooStale
from configsync._flags import NO_FLAGS, NOT_INSTALLED, GuardedFlags, LoadedFlags, is_installed
from configsync._listeners import Listeners
from configsync._options import Options, new_instance_id
from configsync._snapshot import NOTHING, Guarded, Origin, Snapshot
from configsync._usage import Usage

if TYPE_CHECKING:  # it imports httpx
    from configsync._transport import Cursor, Fetched

log = logging.getLogger("configsync")

MASKED = "is a secret, which this API key may not read: it needs the scope read_secrets"
NO_ENVIRONMENT = "flags are those of an environment, and this client has none"
T = TypeVar("T")
Push = Literal["stream", "poll", "off"]


@dataclass(frozen=True, slots=True)
class Status:
    """How a client is doing.

    `error`: why the last call to the server failed, None if it did not. `push`: how it hears of
    changes. `restored`: the server's new epoch, which is not followed until `follow()`.
    `rejected`: why a newer config is not used. `flags`: why there are no flags, or no newer ones.
    """

    error: str | None = None
    push: Push = "off"
    restored: str | None = None
    rejected: str | None = None
    flags: str | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What the server answered: None where something is as it was.

    `cursor` is where both are known to be the server's, `flags_stale` the age of what it says of
    flags, None if it was not asked.
    """

    config: "Fetched | None"
    flags: LoadedFlags | None
    cursor: "Cursor | None"
    flags_stale: float | None = None


class BehindError(ServerUnreachable):
    """The server knows less than it once did; it may only need a moment."""


class State:
    """The newest config, and the decision which one that is. Changed by one thread at a time."""

    def __init__(
        self, options: Options, publish: Callable[[Snapshot], None], *, in_threads: bool
    ) -> None:
        self.options = options
        self.snapshot = NOTHING
        self.told = NOTHING
        self.known: Cursor | None = None
        self.known_version = ""
        self.left: list[str] = []
        self.confirmed = self.flags_confirmed = -math.inf
        self.usage = Usage()
        self.started = time.monotonic()
        self.status = Status(flags=_why_no_flags(options))
        self.listeners = Listeners(in_threads=in_threads)
        self.instance_id = options.instance_id or new_instance_id()
        self.report: dict[str, Any] | None = None
        self.can_keep = True
        self._bindings: list[Binding[Any]] = []
        self._watchers: list[Callable[[], None]] = []
        self._publish = publish
        self._refused = ""
        self._warned: frozenset[str] = frozenset()

    @property
    def staleness(self) -> float:
        """Return the seconds since the server last confirmed the config, or infinity."""
        return max(0.0, time.monotonic() - self.confirmed)

    def check_stale(self) -> None:
        """Raise TooStale where `max_stale` says so; a fallback has that time from the start on."""
        limit = self.options.max_stale
        if limit is None or self.staleness <= limit:
            return
        if self.confirmed == -math.inf:
            waited = time.monotonic() - self.started
            if waited > limit:
                raise TooStale(
                    f"the server has never confirmed this config since the start, "
                    f"{waited:.0f} s ago, max_stale is {limit:g} s"
                )
        else:
            raise TooStale(
                f"the server last confirmed this config {self.staleness:.0f} s ago, "
                f"max_stale is {limit:g} s"
            )

    def note(self, **changes: Any) -> None:
        """Change the status, and have those told who watch it."""
        before, self.status = self.status, replace(self.status, **changes)
        if self.status != before:
            for watcher in tuple(self._watchers):
                watcher()

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each change of the status; return what removes it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    @property
    def flags_tag(self) -> str | None:
        """Return the tag of the flags that are used."""
        return self.snapshot.unguarded.ruled.tag

    @property
    def wants_flags(self) -> bool:
        """Tell whether flags are to be fetched."""
        return _why_no_flags(self.options) is None

    def check_flags(self) -> None:
        """Raise TooStale where `max_stale` says so of the flags."""
        limit = self.options.max_stale
        age = time.monotonic() - self.flags_confirmed
        if limit is not None and age > limit:
            raise TooStale(
                f"the server last confirmed the flags {age:.0f} s ago, max_stale is {limit:g} s"
            )

    def take(self, news: News, *, follow: bool = False) -> bool:
        """Take what the server answered; say whether anything is new.

        Raises BehindError for what is older, InvalidConfig for a config that does not fit; flags
        go on without it.
        """
        if not self._goes_on(news, follow=follow):
            return False
        self.known = news.cursor or self.known
        if news.flags_stale is not None:
            self.flags_confirmed = time.monotonic() - news.flags_stale
        fetched = news.config
        if fetched is not None:
            self.known_version = fetched.version
            self.confirmed = time.monotonic() - fetched.stale
            if fetched.version != self._refused and not self._is_shown(fetched):
                return self._install(fetched, news.flags)
        return self._go_on_with(fetched, news.flags)

    def _is_shown(self, fetched: "Fetched") -> bool:
        return self.snapshot.source == "server" and fetched.version == self.snapshot.version

    def _go_on_with(self, fetched: "Fetched | None", flags: LoadedFlags | None) -> bool:
        """Keep the config, and take flags if there are new ones."""
        if self.snapshot is NOTHING:
            return False
        before = self.snapshot.unguarded
        origin = before.origin
        if fetched is not None and self._is_shown(fetched):
            self._refused = ""
            self.note(rejected=None)
            origin = self._origin(fetched)
        if origin != before.origin or flags is not None:
            status = "applied" if origin != before.origin else None
            self._show(before.copy(origin=origin, flags=flags), status)
        return flags is not None

    def _origin(self, fetched: "Fetched") -> Origin:
        epoch = self.known.epoch if self.known else None
        return Origin("server", fetched.version, fetched.revision, epoch)

    def put(self, snapshot: Snapshot, confirmed: float) -> None:
        """Use a config that is not from the server, if it fits; raise InvalidConfig."""
        self._bind(snapshot)
        self.confirmed = self.flags_confirmed = confirmed
        self.started = time.monotonic()
        self._show(snapshot, None)

    def bind(self, model: type[T], prefix: str) -> Binding[T]:
        """Bind a part of the config to a class, from now on; raise InvalidConfig."""
        binding = Binding(model, prefix)
        self._bindings.append(binding)
        try:
            seen = None
            while seen is not self.snapshot and self.snapshot is not NOTHING:
                seen = self.snapshot
                binding.assign(binding.prepare(seen))
        except InvalidConfig:
            self._bindings.remove(binding)
            raise
        return binding

    def _goes_on(self, news: News, *, follow: bool) -> bool:
        """Say whether an answer goes on where we are; False: it is of a restored server."""
        known, cursor = self.known, news.cursor
        if known is None or cursor is None:
            return True
        if cursor.epoch == known.epoch:
            if cursor.head < known.head:
                raise BehindError(
                    f"the server is at revision {cursor.head}, it was at {known.head} before"
                )
            self.note(restored=None)
            return True
        is_new = cursor.epoch not in self.left
        if not (
            follow or (is_new and self.options.follow_restored) or (is_new and self._is_known(news))
        ):
            if self.status.restored != cursor.epoch:
                log.warning(
                    "The server's database was restored (epoch %s, before %s): the config stays "
                    "as it is until follow() is called",
                    cursor.epoch,
                    known.epoch,
                )
            self.note(restored=cursor.epoch)
            return False
        log.warning("Following the restored server from epoch %s to %s", known.epoch, cursor.epoch)
        self.left = [one for one in self.left if one != cursor.epoch] + [known.epoch]
        self.note(restored=None)
        return True

    def _is_known(self, news: News) -> bool:
        is_same = news.config is None or news.config.version == self.known_version
        return is_same and (news.flags is None or news.flags.tag == self.flags_tag)

    def _install(self, fetched: "Fetched", flags: LoadedFlags | None) -> bool:
        origin = self._origin(fetched)
        is_told = fetched.secrets is not None  # then no other value can be masked
        hidden = frozenset(masked(fetched.configs) if fetched.secrets or not is_told else ())
        self._warn_of(hidden)
        snapshot = Snapshot(
            fetched.configs,
            origin,
            secrets=fetched.secrets or (),
            withheld=dict.fromkeys(hidden, MASKED),
            flags=flags or self.snapshot.unguarded.ruled,
        )
        self.can_keep = is_told
        try:
            self._bind(snapshot)
        except InvalidConfig as error:
            self._refused = fetched.version
            self.note(rejected=str(error))
            log.error("A new config is rejected, the one before stays: %s", error)  # noqa: TRY400
            self._report(origin, "rejected", str(error))
            self._go_on_with(None, flags)
            raise
        self._refused = ""
        self.note(rejected=None)
        self._show(snapshot, "applied")
        return True

    def _bind(self, snapshot: Snapshot) -> None:
        """Prepare all bindings, then assign all, so that a config fits everywhere or nowhere."""
        prepared = [(one, one.prepare(snapshot)) for one in tuple(self._bindings)]
        for binding, value in prepared:
            binding.assign(value)

    def _show(self, snapshot: Snapshot, status: str | None) -> None:
        """Swap the config, then tell of it."""
        if self.options.max_stale is not None:
            flags = snapshot.ruled
            snapshot = snapshot.copy(
                values=Guarded(snapshot.flat, self.check_stale),
                flags=flags if flags is NO_FLAGS else GuardedFlags(flags, self.check_flags),
            )
        self.snapshot = snapshot
        self._publish(snapshot)
        if status is not None:
            self._report(snapshot.origin, status)
        if self.told is not NOTHING:
            self.listeners.tell(self.told, snapshot)
        self.told = snapshot

    def _warn_of(self, hidden: frozenset[str]) -> None:
        if hidden and hidden != self._warned:
            log.warning(
                "Secrets that this API key may not read are left out: %s. It needs the scope "
                "read_secrets",
                ", ".join(sorted(hidden)),
            )
        self._warned = hidden

    def _report(self, origin: Origin, status: str, error: str | None = None) -> None:
        """Have the server told."""
        self.report = {
            "service": self.options.app_id,
            "environment": self.options.environment,
            "revision": origin.revision,
            "version": origin.version,
            "status": status,
            "error": error[:2000] if error else None,
            "app_version": self.options.app_version,
        }


def _why_no_flags(options: Options) -> str | None:
    if not is_installed():
        return NOT_INSTALLED
    return NO_ENVIRONMENT if options.environment is None else None
