"""One moment of a config, which never changes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol

from configsync._document import FrozenDict, flatten, freeze, without
from configsync._errors import NotInitialized
from configsync._flag_reading import FlagReading
from configsync._flags import NO_FLAGS, Flags
from configsync._reading import Moment

Source = Literal["server", "cache", "fallback", "static", "none"]


class Values(Protocol):
    """What values are read from by their addresses."""

    def __getitem__(self, key: str, /) -> Any:
        """Return a value; raise KeyError."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a config comes from. `epoch` and `revision` are the server's, if it is from there."""

    source: Source
    version: str = ""
    revision: int = 0
    epoch: str | None = None


class Snapshot(Moment, FlagReading):
    """A config and flags at one moment: reading it twice gives the same.

    `values` is the flat map; a client with `max_stale` puts its check before it.
    """

    __slots__ = (
        *("_flags", "config", "flat", "origin", "secrets", "unguarded", "values", "withheld"),
    )

    def __init__(
        self,
        config: dict[str, Any],
        origin: Origin,
        *,
        secrets: Collection[str] = (),
        withheld: Mapping[str, str] | None = None,
        flags: Flags = NO_FLAGS,
    ) -> None:
        self.withheld = withheld or {}
        self.secrets = tuple(secrets)
        kept = without(config, self.withheld.keys()) if self.withheld else config
        self.config: FrozenDict = freeze(kept)
        self.flat = flatten(self.config, self.secrets)
        self.origin = origin
        self._flags = flags
        self.values: Values = self.flat
        self.unguarded = self

    @property
    def source(self) -> Source:
        """Return where it comes from: server, cache, fallback or static."""
        return self.origin.source

    @property
    def version(self) -> str:
        """Return the short hash of the config, the server's; empty of a fallback."""
        return self.origin.version

    @property
    def revision(self) -> int:
        """Return the revision of the last change of this config."""
        return self.origin.revision

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at an address, or the default."""
        try:
            return self.values[key]
        except KeyError:
            return default

    def get_all(self) -> FrozenDict:
        """Return the whole config, frozen."""
        return self.config

    @property
    def ruled(self) -> Flags:
        """Return the flags."""
        return self._flags

    def copy(
        self,
        *,
        origin: Origin | None = None,
        values: Values | None = None,
        flags: Flags | None = None,
    ) -> "Snapshot":
        """Return the same config with another origin or flags, or read through something else."""
        other = Snapshot.__new__(Snapshot)
        for name in Snapshot.__slots__:
            setattr(other, name, getattr(self, name))
        other.origin = origin or self.origin
        other._flags = self._flags if flags is None else flags  # noqa: SLF001  (of this class)
        other.values = self.flat if values is None else values
        other.unguarded = other if values is None else self
        return other

    def _why_missing(self, key: str) -> str | None:
        reason = self.withheld.get(key)
        return f"'{key}' {reason}" if reason else None


class Guarded:
    """Values behind a check that raises when they are not to be read any more."""

    __slots__ = ("_check", "_flat")

    def __init__(self, flat: dict[str, Any], check: Callable[[], None]) -> None:
        self._flat = flat
        self._check = check

    def __getitem__(self, key: str, /) -> Any:
        """Return a value; raise KeyError, or what the check raises."""
        self._check()
        return self._flat[key]


class _Nothing:
    """The values before there are any."""

    def __getitem__(self, key: str) -> NoReturn:
        raise NotInitialized("nothing is loaded yet: call initialize() first")


NOTHING = Snapshot({}, Origin("none"))
NOTHING.values = _Nothing()
