"""Destroying values: the one thing that rewrites history."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.outbox.events import Happened, record
from app.secrets import crud, disposal_crud, markers
from app.secrets.errors import NameMismatch, SecretInUse, SecretNotFound
from app.workspaces.deps import Access
from app.workspaces.errors import ProtectedEnvironment
from app.workspaces.names import GLOBAL
from app.workspaces.permissions import Permission


@dataclass(frozen=True, slots=True)
class Where:
    """The level that a secret belongs to."""

    name: str
    environment: str | None

    def __str__(self) -> str:
        return f"{self.name}@{self.environment}" if self.environment else self.name


def destroy(session: Session, *, access: Access, handle: str, name: str) -> dict[str, Any]:
    """Destroy a secret's value; return the members of `Destroyed`.

    Raises SecretNotFound, OutsideScope, NameMismatch, SecretInUse.
    """
    if not markers.is_handle(handle):
        raise SecretNotFound(access.slug)
    row = disposal_crud.lock_secret(session, workspace_id=access.workspace_id, handle=handle)
    if row is None:
        raise SecretNotFound(access.slug)
    where = Where(row.service or GLOBAL, row.environment)
    access.require(Permission.ADMIN, where)
    protected = where.environment is not None and crud.is_protected(
        session, workspace_id=access.workspace_id, name=where.environment
    )
    if protected and not access.allows(Permission.PUBLISH):
        raise ProtectedEnvironment(where.environment or "")
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
            Happened(
                action="destroy",
                resource_type="secret",
                resource_id=handle,
                service=where.name,
                environment=where.environment,
                actor_id=access.caller.user_id,
                actor_name=access.caller.username,
                workspace_id=access.workspace_id,
                detail={"key": row.key_name},
            ),
        )
    return {
        "handle": handle,
        "key": row.key_name,
        "service": where.name,
        "environment": where.environment,
        "destroyed_at": at,
    }
