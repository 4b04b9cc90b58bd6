"""AES-256-GCM with authenticated context (no SQL, no HTTP)."""

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = b"\x01"  # AES-256-GCM, 96-bit random nonce, 128-bit tag
KEY_BYTES = 32
NONCE_BYTES = 12
FINGERPRINT_DIGITS = 32


def new_key() -> bytes:
    """Return a random key."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Return format, nonce, ciphertext and tag; `context` is authenticated, not contained."""
    nonce = os.urandom(NONCE_BYTES)
    return FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, context)


def open_sealed(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Return what was sealed; raise InvalidTag or ValueError if anything is not as it was."""
    if sealed[:1] != FORMAT:
        raise ValueError("unknown format")
    nonce = sealed[1 : 1 + NONCE_BYTES]
    return AESGCM(key).decrypt(nonce, sealed[1 + NONCE_BYTES :], context)


def fingerprint(key: bytes, text: str) -> str:
    """Return the keyed hash of a text, by which equal values are told from changed ones."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:FINGERPRINT_DIGITS]
