"""A config and flags of one revision, by as few calls as it takes."""

from dataclasses import dataclass
from typing import Literal

from configsync._errors import AccessDenied, ConfigSyncError, Gone, Invalid, NotFound
from configsync._transport import Cursor, Fetched, FetchedFlags, Transport

Part = Literal["config", "flags"]
BOTH: frozenset[Part] = frozenset({"config", "flags"})
CONFIG: frozenset[Part] = frozenset({"config"})
FLAGS: frozenset[Part] = frozenset({"flags"})
MOST_CALLS = 10
_START = Cursor("", 0)


@dataclass(frozen=True, slots=True)
class Held:
    """What a client has: the version of its config, the tag and revision of its flags."""

    version: str
    tag: str | None
    flags_revision: int | None


class Pairing:
    """Asks for what is due, then for whichever is older, until neither is.

    `config` and `flags` are None where they are as they were, `cursor` is where both are known to
    be the server's. `failed` is why there are no flags, `flags_stale` the age of what it says of
    them. `refused` is why there is no config any more, which holds up no flags: one may have to
    be switched off.
    """

    def __init__(
        self, transport: Transport, held: Held, least: Cursor | None, due: frozenset[Part]
    ) -> None:
        self.config: Fetched | None = None
        self.flags: FetchedFlags | None = None
        self.flags_stale: float | None = None
        self.failed: ConfigSyncError | None = None
        self.refused: ConfigSyncError | None = None
        self._transport = transport
        self._held = held
        self._version, self._tag = held.version, held.tag
        self._revision = held.flags_revision
        self._least = least
        self._config_at = None if least is None or "config" in due else least
        self._flags_at = None if least is None or "flags" in due else least

    @property
    def cursor(self) -> Cursor | None:
        """Return where both are known to be what the server has; None: it does not tell."""
        ends = [one for one in (self._config_at, self._flags_at) if one is not None]
        least = min(ends, key=lambda one: one.head, default=_START)
        return None if least is _START else least

    def start_with(self, config: Fetched) -> None:
        """Take a config that has come already."""
        self.config, self._version = config, config.version
        self._config_at = config.cursor or _START

    async def run(self) -> None:
        """Ask until both are of one revision, or often enough."""
        for _ in range(MOST_CALLS):
            if self.refused is None and _is_behind(self._config_at, self._flags_at):
                await self._ask_config()
            elif _is_behind(self._flags_at, self._config_at):
                await self._ask_flags()
            else:
                return

    async def run_without_flags(self) -> None:
        """Ask for the config alone."""
        self._flags_at = None
        if self.config is None:
            await self._ask_config()

    async def _ask_config(self) -> None:
        other = self._flags_at
        try:
            fetched = await self._transport.fetch(least=other or self._least)
        except (NotFound, AccessDenied, Invalid) as error:
            if self._held.tag is None:
                raise
            self.refused = error
            return
        is_same = fetched.version == self._version
        self.start_with(fetched)
        if is_same and other is not None and fetched.revision <= other.head:
            self._config_at = other  # it was so already there

    async def _ask_flags(self) -> None:
        other = self._config_at
        least = None if other is _START else other
        try:
            fetched = await self._transport.fetch_flags(least=least, tag=self._tag)
        except Gone:
            raise
        except ConfigSyncError as error:
            is_final = isinstance(error, NotFound | AccessDenied | Invalid)
            if self._held.tag is not None and not is_final:
                raise  # rather the old of both than the new of one
            self.failed, self._flags_at = error, other
            return
        self.failed, self.flags_stale = None, fetched.stale
        is_same = fetched.document is None
        if not is_same:
            self.flags, self._tag, self._revision = fetched, fetched.tag, fetched.revision
        self._flags_at = fetched.cursor or _START
        if is_same and other is not None and (self._revision or 0) <= other.head:
            self._flags_at = other


def _is_behind(one: Cursor | None, other: Cursor | None) -> bool:
    return one is None or (other is not None and one.head < other.head)
