"""API keys: creating, rotating, revoking. Their text is shown once and stored as a digest."""

from sqlalchemy.orm import Session

from app.api_keys import crud
from app.api_keys.errors import ApiKeyNotFound
from app.api_keys.schemas import ApiKeyCreate
from app.auth import keys
from app.models import ApiKey
from app.outbox import events
from app.workspaces.deps import Access
from app.workspaces.errors import BeyondScope
from app.workspaces.scopes import Scopes


def create_key(session: Session, *, access: Access, new: ApiKeyCreate) -> tuple[ApiKey, str]:
    """Create a key; return it with its text. Raises BeyondScope."""
    wanted = new.scopes
    scopes = Scopes(
        frozenset(wanted.actions),
        tuple(wanted.services),
        tuple(wanted.environments),
        tuple(wanted.addresses),
        new.expires_at,
        tuple(wanted.flags),
    )
    if not access.scopes.contains(scopes):
        raise BeyondScope("create that key")
    text, prefix = keys.new_key()
    key = crud.create_key(
        session,
        workspace_id=access.workspace_id,
        name=new.name,
        prefix=prefix,
        digest=keys.digest(text),
        actions=[action.value for action in wanted.actions],
        services=wanted.services,
        environments=wanted.environments,
        flags=wanted.flags,
        addresses=wanted.addresses,
        expires_at=new.expires_at,
        created_by=access.caller.username,
    )
    _record(session, access, "create", key, scopes=wanted.model_dump(mode="json"))
    return key, text


def require_key(session: Session, *, access: Access, key_id: int) -> ApiKey:
    """Return a key of the workspace or raise ApiKeyNotFound."""
    key = crud.get_key(session, workspace_id=access.workspace_id, key_id=key_id)
    if key is None:
        raise ApiKeyNotFound(access.slug)
    return key


def rotate_key(
    session: Session, *, access: Access, key_id: int, overlap_seconds: int
) -> tuple[ApiKey, str]:
    """Give a key a new text; return both. Raises ApiKeyNotFound, BeyondScope."""
    key = _lock(session, access, key_id)
    text, prefix = keys.new_key()
    crud.rotate_key(
        session,
        key=key,
        digest=keys.digest(text),
        prefix=prefix,
        overlap_seconds=overlap_seconds,
    )
    _record(session, access, "rotate", key, overlap_seconds=overlap_seconds)
    return key, text


def delete_key(session: Session, *, access: Access, key_id: int) -> None:
    """Revoke a key: it is refused from now on. Raises ApiKeyNotFound, BeyondScope."""
    key = _lock(session, access, key_id)
    crud.revoke_key(session, key=key)
    _record(session, access, "delete", key)


def _lock(session: Session, access: Access, key_id: int) -> ApiKey:
    key = crud.lock_key(session, workspace_id=access.workspace_id, key_id=key_id)
    if key is None:
        raise ApiKeyNotFound(access.slug)
    if not access.scopes.contains(Scopes.of(key)):
        raise BeyondScope("touch that key")
    return key


def _record(session: Session, access: Access, action: str, key: ApiKey, **detail: object) -> None:
    events.record(
        session,
        access.happened(
            action,
            "api_key",
            str(key.id),
            detail={"name": key.name, "prefix": key.prefix, **detail},
        ),
    )
