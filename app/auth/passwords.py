"""Passwords: argon2id through the passlib API; the only module that knows how."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import BoundedSemaphore

from passlib.context import CryptContext

from app.auth.errors import TooManyLogins
from app.core.settings import get_settings

MIN_BYTES, MAX_BYTES = 8, 1024
PATIENCE_SECONDS = 0.5

_context = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__memory_cost=19 * 1024,
    argon2__time_cost=2,
    argon2__parallelism=1,
)


@lru_cache(maxsize=1)
def _places() -> BoundedSemaphore:
    """Allow this process its share of one hash per core."""
    return BoundedSemaphore(max(1, (os.cpu_count() or 1) // get_settings().workers))


@contextmanager
def _place() -> Iterator[None]:
    if not _places().acquire(timeout=PATIENCE_SECONDS):
        raise TooManyLogins("Too many logins at once. Try again in a moment.", seconds=1)
    try:
        yield
    finally:
        _places().release()


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password of 8 to 1,024 bytes."""
    with _place():
        return str(_context.hash(password))


def verify_password(password: str, hashed: str | None) -> bool:
    """Compare; without a hash (unknown user) take the same time and say no."""
    with _place():
        if hashed is None:
            _context.dummy_verify()
            return False
        return bool(_context.verify(password, hashed))


def warm_up() -> None:
    """Make the hash that unknown users are compared with before anybody can time it."""
    _context.dummy_verify()
