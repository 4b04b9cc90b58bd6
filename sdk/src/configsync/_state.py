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
from configsync._listeners import Listeners
from configsync._options import Options, new_instance_id
from configsync._snapshot import NOTHING, Guarded, Origin, Snapshot

if TYPE_CHECKING:  # it imports httpx
    from configsync._transport import Cursor, Fetched

log = logging.getLogger("configsync")

MASKED = "is a secret, which this API key may not read: it needs the scope read_secrets"
T = TypeVar("T")
Push = Literal["stream", "poll", "off"]


@dataclass(frozen=True, slots=True)
class Status:
    """How a client is doing.

    `error`: why the last call to the server failed, None if it did not. `push`: how it hears of
    changes. `restored`: the server's new epoch, which is not followed until `follow()`.
    `rejected`: why a newer config is not used.
    """

    error: str | None = None
    push: Push = "off"
    restored: str | None = None
    rejected: str | None = None


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
        self.confirmed = -math.inf
        self.started = time.monotonic()
        self.status = Status()
        self.listeners = Listeners(in_threads=in_threads)
        self.instance_id = options.instance_id or new_instance_id()
        self.report: dict[str, Any] | None = None
        self.can_keep = True
        self._bindings: list[Binding[Any]] = []
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
        """Change the status."""
        self.status = replace(self.status, **changes)

    def take(self, fetched: "Fetched", *, follow: bool = False) -> bool:
        """Take what the server answered; say whether the config is a new one.

        Raises BehindError for what is older, InvalidConfig for what does not fit.
        """
        if not self._goes_on(fetched, follow=follow):
            return False
        self.known = fetched.cursor or self.known
        self.known_version = fetched.version
        self.confirmed = time.monotonic() - fetched.stale
        if fetched.version == self._refused:
            return False
        origin = Origin(
            "server",
            fetched.version,
            fetched.revision,
            self.known.epoch if self.known else None,
        )
        if self.snapshot.source == "server" and fetched.version == self.snapshot.version:
            self._refused = ""
            self.note(rejected=None)
            if origin != self.snapshot.origin:
                self._show(self.snapshot.copy(origin=origin), "applied")
            return False
        return self._install(fetched, origin)

    def put(self, snapshot: Snapshot, confirmed: float) -> None:
        """Use a config that is not from the server, if it fits; raise InvalidConfig."""
        self._bind(snapshot)
        self.confirmed, self.started = confirmed, time.monotonic()
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

    def _goes_on(self, fetched: "Fetched", *, follow: bool) -> bool:
        """Say whether an answer goes on where we are; False: it is of a restored server."""
        known, cursor = self.known, fetched.cursor
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
            follow
            or (is_new and self.options.follow_restored)
            or (is_new and fetched.version == self.known_version)
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

    def _install(self, fetched: "Fetched", origin: Origin) -> bool:
        is_told = fetched.secrets is not None  # then no other value can be masked
        hidden = frozenset(masked(fetched.configs) if fetched.secrets or not is_told else ())
        self._warn_of(hidden)
        snapshot = Snapshot(
            fetched.configs,
            origin,
            secrets=fetched.secrets or (),
            withheld=dict.fromkeys(hidden, MASKED),
        )
        self.can_keep = is_told
        try:
            self._bind(snapshot)
        except InvalidConfig as error:
            self._refused = fetched.version
            self.note(rejected=str(error))
            log.error("A new config is rejected, the one before stays: %s", error)  # noqa: TRY400
            self._report(origin, "rejected", str(error))
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
            snapshot = snapshot.copy(values=Guarded(snapshot.flat, self.check_stale))
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
