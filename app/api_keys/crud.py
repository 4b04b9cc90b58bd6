"""SQL of API keys."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core.db import AnySelect
from app.models import ApiKey
from app.workspaces.crud import count_rights


def _live(workspace_id: int) -> AnySelect:
    return select(ApiKey).where(ApiKey.workspace_id == workspace_id, ApiKey.revoked_at.is_(None))


def list_keys(session: Session, *, workspace_id: int, after: int, limit: int) -> list[ApiKey]:
    """List keys that are not revoked, by id."""
    statement = _live(workspace_id).where(ApiKey.id > after).order_by(ApiKey.id).limit(limit)
    return list(session.scalars(statement))


def get_key(session: Session, *, workspace_id: int, key_id: int) -> ApiKey | None:
    """Return a key that is not revoked."""
    return session.execute(_live(workspace_id).where(ApiKey.id == key_id)).scalar_one_or_none()


def lock_key(session: Session, *, workspace_id: int, key_id: int) -> ApiKey | None:
    """Return a key that is not revoked, and let nobody else change it meanwhile."""
    return session.execute(
        _live(workspace_id).where(ApiKey.id == key_id).with_for_update()
    ).scalar_one_or_none()


def create_key(session: Session, **values: Any) -> ApiKey:
    """Insert a key."""
    key = ApiKey(**values)
    session.add(key)
    session.flush()
    return key


def rotate_key(
    session: Session, *, key: ApiKey, digest: str, prefix: str, overlap_seconds: int
) -> None:
    """Give a key another text; the one it had works for the overlap, any older one not."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key.id)
        .values(
            previous_digest=key.digest if overlap_seconds else None,
            previous_until=(
                func.now() + timedelta(seconds=overlap_seconds) if overlap_seconds else None
            ),
            digest=digest,
            prefix=prefix,
        )
    )
    count_rights(session, workspace_id=key.workspace_id)


def revoke_key(session: Session, *, key: ApiKey) -> None:
    """End a key."""
    session.execute(update(ApiKey).where(ApiKey.id == key.id).values(revoked_at=func.now()))
    count_rights(session, workspace_id=key.workspace_id)
