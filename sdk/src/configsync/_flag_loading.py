"""Flags that came from the server or the cache, made ready; what is wrong with them is logged."""

import logging
from collections.abc import Mapping
from typing import Any

from configsync._errors import ConfigSyncError, ServerUnreachable
from configsync._flags import NO_FLAGS, Flags, LoadedFlags
from configsync._pairing import Pairing
from configsync._state import State
from configsync._thread import aside

log = logging.getLogger("configsync")

MOST_AT_ONCE = 100
"""Flags that are compiled where the loop runs; more of them would hold it up."""


class FlagLoader:
    """Makes the flags of a client ready."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._warned: dict[str, str] = {}

    async def of(self, pair: Pairing) -> LoadedFlags | None:
        """Return the flags that came, ready; None if none did, or none that can be used."""
        state, why = self._state, str(pair.failed) if pair.failed else None
        flags = None
        if pair.flags is not None and pair.flags.document is not None:
            try:
                flags = await self._loaded(pair.flags.document, pair.flags.tag)
            except ServerUnreachable as error:
                why = str(error)
        if state.wants_flags:
            if why is not None and why != state.status.flags:
                log.warning("There are no flags, or no newer ones: %s", why)
            if why is not None or pair.flags_stale is not None:
                state.note(flags=why)
        return flags

    async def _loaded(self, document: Mapping[str, Any], tag: str | None) -> LoadedFlags:
        """Compile flags, many of them aside; say which ones cannot be."""
        from configsync._compiling import load_flags  # noqa: PLC0415  (of the extra `flags`)

        usage = self._state.usage
        if len(document.get("flags") or ()) > MOST_AT_ONCE:
            flags = await aside(lambda: load_flags(document, tag, usage))
        else:
            flags = load_flags(document, tag, usage)
        for name, why in flags.broken.items():
            if self._warned.get(name) != why:
                log.warning("The flag %s cannot be used by this library: %s", name, why)
        self._warned = {**flags.broken}
        return flags

    async def kept(self, document: Mapping[str, Any] | None, tag: str | None) -> Flags:
        """Return the flags that were in the cache."""
        if document is None or not self._state.wants_flags:
            return NO_FLAGS
        try:
            return await self._loaded(document, tag)
        except ConfigSyncError as error:
            log.warning("The flags in the cache are not used: %s", error)
            return NO_FLAGS
