"""What must hold of an object or key before it is changed."""

from typing import Any, Protocol

from app.changes.plan import Precondition
from app.configs.errors import EtagOfEffective, PreconditionFailed


class Versioned(Protocol):
    """An object or a key under its lock."""

    @property
    def id(self) -> int:
        """Return the id."""

    @property
    def version(self) -> int:
        """Return the number of the current version."""

    @property
    def exists(self) -> bool:
        """Say whether it has content."""

    @property
    def etag(self) -> str:
        """Return the tag."""


def check_precondition(wanted: Precondition, stored: Versioned | None, *also: str) -> None:
    """Raise PreconditionFailed (412) with `current` unless what is stored is as expected.

    `also` are other tags that fit: a key may be named by the tag of its document.
    """
    exists = stored is not None and stored.exists
    fitting = {"*", stored.etag, *also} if exists and stored is not None else {*also}
    if wanted.etags is not None and not fitting.intersection(wanted.etags):
        if any(tag.startswith('"e') for tag in wanted.etags):
            raise EtagOfEffective(
                "If-Match carries the tag of an effective config. Use `document_etag`, or the "
                "ETag of /config/get.",
                current=_current(stored),
            )
        raise _failed("If-Match names another version", stored)
    if wanted.version is not None and wanted.version != (
        stored.version if exists and stored is not None else 0
    ):
        raise _failed(f"You expected version {wanted.version}", stored)
    if wanted.must_not_exist and exists:
        raise _failed("It must not exist", stored)


def _failed(reason: str, stored: Versioned | None) -> PreconditionFailed:
    exists = stored is not None and stored.exists
    state = f"it is at version {stored.version}" if exists and stored else "it does not exist"
    return PreconditionFailed(
        f"{reason}, but {state}. Read it again and repeat your change on top.",
        current=_current(stored),
    )


def _current(stored: Versioned | None) -> dict[str, Any] | None:
    if stored is None or not stored.exists:
        return None
    return {"id": stored.id, "version": stored.version, "etag": stored.etag}
