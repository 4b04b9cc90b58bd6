"""The keys of this process: who holds the KEKs, and data keys that were opened a moment ago."""

import threading
import time
from dataclasses import dataclass
from functools import lru_cache

import structlog

from app.core.settings import get_settings
from app.secrets.errors import Sealed
from app.secrets.providers import (
    KeyProvider,
    LocalKeys,
    ProviderUnavailable,
    Wrapped,
    WrongKey,
)

log = structlog.get_logger()

PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is stored, and what is authenticated with it."""

    id: int
    workspace_id: int
    environment_id: int | None
    purpose: str
    number: int
    kek_id: str
    wrapped: bytes

    @property
    def context(self) -> bytes:
        """Return what ties the key to its place."""
        return key_context(self.workspace_id, self.environment_id, self.purpose, self.number)


def key_context(workspace_id: int, environment_id: int | None, purpose: str, number: int) -> bytes:
    """Return what is authenticated with a wrapped data key: immutable ids."""
    return f"data_keys|{workspace_id}|{environment_id or 0}|{purpose}|{number}".encode()


class Holder:
    """A key provider, which nobody asks more than once a second while it does not answer."""

    def __init__(self, provider: KeyProvider) -> None:
        self.provider = provider
        self._away_until = 0.0

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """Return what a KEK wrapped; raise Sealed."""
        if time.monotonic() < self._away_until:
            raise Sealed
        try:
            return self.provider.unwrap(wrapped, context)
        except ProviderUnavailable as error:
            self._away_until = time.monotonic() + PAUSE_SECONDS
            raise _sealed(error) from None
        except WrongKey:
            log.warning("secrets.wrong_key", kek=wrapped.kek_id)
            raise Sealed from None


class Keyring:
    """Opens data keys and keeps them for DATA_KEY_CACHE_S; safe to share by threads."""

    def __init__(self, providers: list[KeyProvider], *, seconds: float) -> None:
        self.active = providers[0]
        self._holders = [Holder(provider) for provider in providers]
        self._seconds = seconds
        self._opened: dict[WrappedKey, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def knows(self, kek_id: str) -> bool:
        """Say whether anybody here may have a KEK."""
        return any(holder.provider.knows(kek_id) for holder in self._holders)

    def active_id(self) -> str:
        """Return the id of the KEK that wraps new data keys; raise Sealed."""
        try:
            return self.active.active_id()
        except ProviderUnavailable as error:
            raise _sealed(error) from None

    def open(self, key: WrappedKey) -> bytes:
        """Return a data key; raise Sealed."""
        kept = self._opened.get(key)
        if kept is not None and kept[1] > time.monotonic():
            return kept[0]
        with self._lock:
            kept = self._opened.get(key)
            if kept is not None and kept[1] > time.monotonic():
                return kept[0]
            plain = self.unwrap(Wrapped(key.kek_id, key.wrapped), key.context)
            self._opened[key] = (plain, time.monotonic() + self._seconds)
            return plain

    def forget_expired(self) -> None:
        """Forget the data keys whose time is over."""
        now = time.monotonic()
        with self._lock:
            self._opened = {key: kept for key, kept in self._opened.items() if kept[1] > now}

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """Return what a KEK wrapped; raise Sealed."""
        for holder in self._holders:
            if holder.provider.knows(wrapped.kek_id):
                return holder.unwrap(wrapped, context)
        raise Sealed

    def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Wrap a data key under the active KEK; raise Sealed."""
        try:
            return self.active.wrap(key, context)
        except ProviderUnavailable as error:
            raise _sealed(error) from None


def _sealed(error: ProviderUnavailable) -> Sealed:
    log.warning("secrets.key_provider_unavailable", reason=str(error))
    return Sealed()


@lru_cache(maxsize=1)
def get_keyring() -> Keyring:
    """Return the keyring of this process: Vault first where there is one, then local keys.

    Raises ValueError when there is neither.
    """
    settings = get_settings()
    providers: list[KeyProvider] = []
    if settings.vault_addr is not None:
        from app.secrets import vault  # noqa: PLC0415  (a third of a second that few need)

        providers.append(vault.from_settings(settings))
    try:
        providers.append(LocalKeys(settings.encryption_keys()))
    except ValueError:
        if not providers:
            raise
    return Keyring(providers, seconds=settings.data_key_cache_s)


def fernet_keys() -> tuple[str, ...]:
    """Return the local keys, among which those of Fernet's format open its tokens."""
    try:
        return get_settings().encryption_keys()
    except ValueError:
        return ()
