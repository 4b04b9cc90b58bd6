"""Who holds the key-encryption keys (KEKs): what wraps data keys and unwraps them again."""

import base64
import binascii
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.secrets import crypto

FERNET_KEY_BYTES = 32


class ProviderUnavailable(Exception):
    """The holder of the keys does not answer; what it would have said is not known."""


class WrongKey(Exception):
    """The key is not here, or it is another one than the one that wrapped."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key as it is stored, and the id of the KEK that wrapped it."""

    kek_id: str
    data: bytes


class KeyProvider(Protocol):
    """A holder of KEKs, fit for a local key, a cloud KMS, or Vault Transit.

    `context` is authenticated with the key: what was wrapped under one opens under no other.
    """

    def active_id(self) -> str:
        """Return the id of the KEK that `wrap` uses now; raise ProviderUnavailable."""

    def knows(self, kek_id: str) -> bool:
        """Say whether `unwrap` may be asked about a KEK of this id; never fails, asks nobody."""

    def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Encrypt a data key; raise ProviderUnavailable."""

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """Decrypt a data key; raise ProviderUnavailable, WrongKey."""


class LocalKeys:
    """KEKs that the operator gave as text, the first one active (settings or a file)."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = {key_id(text): derive(text, b"configsync wrap") for text in keys}
        self._active = key_id(keys[0])

    def active_id(self) -> str:
        """Return the id of the first key."""
        return self._active

    def knows(self, kek_id: str) -> bool:
        """Say whether a key is among those given."""
        return kek_id in self._keys

    def wrap(self, key: bytes, context: bytes) -> Wrapped:
        """Encrypt under the first key."""
        return Wrapped(self._active, crypto.seal(self._keys[self._active], key, context))

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        """Decrypt under the key that is named; raise WrongKey."""
        try:
            return crypto.open_sealed(self._keys[wrapped.kek_id], wrapped.data, context)
        except (KeyError, InvalidTag, ValueError):
            raise WrongKey from None


def key_id(text: str) -> str:
    """Return the public name of a key, from which nothing of it can be learned."""
    return f"local:{derive(text, b'configsync key id')[:8].hex()}"


def derive(text: str, purpose: bytes) -> bytes:
    """Return 32 bytes for one purpose from a key's text."""
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose)
    return hkdf.derive(_material(text))


def _material(text: str) -> bytes:
    """Return the bytes of a Fernet-format key, or of any other text."""
    return base64.urlsafe_b64decode(text) if is_fernet_key(text) else text.encode()


def is_fernet_key(text: str) -> bool:
    """Say whether a key has Fernet's format: 32 bytes in URL-safe base64."""
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == FERNET_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def open_fernet(keys: tuple[str, ...], token: str) -> str | None:
    """Return the text in a Fernet token under any of the Fernet-format keys, or None."""
    fernets = [Fernet(text) for text in keys if is_fernet_key(text)]
    if not fernets:
        return None
    try:
        return MultiFernet(fernets).decrypt(token).decode()
    except (InvalidToken, ValueError):
        return None
