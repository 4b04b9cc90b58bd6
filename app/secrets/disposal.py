"""Destroying values: the one thing that rewrites history."""

from typing import Any

from sqlalchemy.orm import Session

from app.outbox.events import record
from app.secrets import disposal_crud, markers
from app.secrets.errors import NameMismatch, SecretInUse, SecretNotFound
from app.workspaces.deps import Access
from app.workspaces.names import Level
from app.workspaces.permissions import Permission
from app.workspaces.service import require_publish


def destroy(session: Session, *, access: Access, handle: str, name: str) -> dict[str, Any]:
    """Destroy a secret's value; return the members of `Destroyed`.

    Raises SecretNotFound, OutsideScope, NameMismatch, SecretInUse.
    """
    if not markers.is_handle(handle):
        raise SecretNotFound(access.slug)
    row = disposal_crud.lock_secret(session, workspace_id=access.workspace_id, handle=handle)
    if row is None:
        raise SecretNotFound(access.slug)
    where = Level(row.service, row.environment)
    access.require(Permission.ADMIN, where)
    require_publish(session, access, where)
    if name != row.key_name:
        raise NameMismatch
    if disposal_crud.is_in_use(session, config_id=row.config_id, handle=handle):
        raise SecretInUse(where)
    at = row.destroyed_at or disposal_crud.destroy(
        session, handle=handle, actor=access.caller.username
    )
    if row.destroyed_at is None:
        record(
            session,
            access.happened("destroy", "secret", handle, place=where, detail={"key": row.key_name}),
        )
    return {
        "handle": handle,
        "key": row.key_name,
        "service": where.name,
        "environment": where.environment,
        "destroyed_at": at,
    }
