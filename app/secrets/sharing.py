"""One-time sharing: a value that a token opens once."""

import hashlib
import secrets
from datetime import datetime
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.formats import json
from app.outbox.events import Happened, record
from app.secrets import crypto, disposal_crud, reads
from app.secrets.errors import IntegrityError, WrappedSecretNotFound, WrappedSecretOpened
from app.secrets.providers import derive
from app.workspaces.deps import Access

log = structlog.get_logger()

MARK = "csw_"
TYPE = "wrapped_secret"
PREFIX = 12
"""Digits of a token's digest by which the audit names it."""


def wrap(session: Session, *, access: Access, value: Any, seconds: int) -> tuple[str, datetime]:
    """Keep a value for `seconds`; return the token that opens it, and until when."""
    token = MARK + secrets.token_urlsafe(32)
    digest = digest_of(token)
    sealed = crypto.seal(_key(token), json.dumps(value).encode(), digest.encode())
    expires_at = disposal_crud.create_wrapped(
        session,
        digest=digest,
        workspace_id=access.workspace_id,
        ciphertext=sealed,
        created_by=access.caller.username,
        seconds=seconds,
    )
    record(
        session,
        access.happened("create", TYPE, digest[:PREFIX]),
    )
    return token, expires_at


def unwrap(session: Session, *, token: str) -> tuple[AnyRow, str]:
    """Return what waits under a token with the value as JSON text, and forget it.

    Raises WrappedSecretNotFound; WrappedSecretOpened, which is an alarm.
    """
    digest = digest_of(token)
    row = disposal_crud.take_wrapped(session, digest=digest)
    if row is None or (row.ciphertext is not None and row.expired):
        raise WrappedSecretNotFound
    if row.ciphertext is None:
        log.error("secrets.wrapped_opened_twice", digest=digest[:PREFIX])
        reads.write(_read(row, digest, "alarm"))
        raise WrappedSecretOpened(row.opened_at.isoformat(timespec="seconds"))
    try:
        text = crypto.open_sealed(_key(token), bytes(row.ciphertext), digest.encode()).decode()
    except (InvalidTag, ValueError):
        raise IntegrityError(digest[:PREFIX]) from None
    record(session, _read(row, digest, "success"))
    return row, text


def _read(row: AnyRow, digest: str, outcome: str) -> Happened:
    return Happened(
        action="read_secret",
        resource_type=TYPE,
        resource_id=digest[:PREFIX],
        workspace_id=row.workspace_id,
        outcome=outcome,
    )


def digest_of(token: str) -> str:
    """Return the digest under which a wrapped value is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def _key(token: str) -> bytes:
    return derive(token, b"configsync wrapped secret")
