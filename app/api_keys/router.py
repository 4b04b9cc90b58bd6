"""`/api/v1/api-keys`: what programs show to be let in."""

from datetime import UTC, datetime

from fastapi import APIRouter

from app.api_keys import crud, service
from app.api_keys.schemas import (
    ApiKeyCreate,
    ApiKeyList,
    ApiKeyRead,
    ApiKeyRotate,
    ApiKeyShown,
    ScopesRead,
)
from app.core.pagination import after, next_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Cursor, Id, Limit, problems
from app.idempotency.deps import Idempotent, forget
from app.models import ApiKey
from app.workspaces.deps import AdminAccess

router = APIRouter(prefix="/api/v1/api-keys", tags=["api keys"], route_class=Route)


@router.get("", response_model=ApiKeyList, responses=problems(401, 403, 404))
def list_keys(
    session: SessionDep, access: AdminAccess, limit: Limit = PAGE_SIZE, cursor: Cursor = None
) -> ApiKeyList:
    """List the workspace's API keys, without those that were revoked."""
    keys = crud.list_keys(
        session, workspace_id=access.workspace_id, after=after(cursor), limit=limit
    )
    return ApiKeyList(
        api_keys=[present(key) for key in keys],
        next_cursor=next_cursor([key.id for key in keys], limit=limit),
    )


@router.post("", status_code=201, response_model=ApiKeyShown, responses=problems(401, 403, 404))
def create_key(
    body: ApiKeyCreate, session: SessionDep, access: AdminAccess, _: Idempotent
) -> ApiKeyShown:
    """Create an API key. `key` is shown now and never again.

    A key that creates keys gives no more than it has itself.
    """
    key, text = service.create_key(session, access=access, new=body)
    forget(session, "key")
    return shown(key, text)


@router.get("/{key_id}", response_model=ApiKeyRead, responses=problems(401, 403, 404))
def get_key(key_id: Id, session: SessionDep, access: AdminAccess) -> ApiKeyRead:
    """Get an API key, without its text."""
    return present(service.require_key(session, access=access, key_id=key_id))


@router.delete("/{key_id}", status_code=204, responses=problems(401, 403, 404))
def delete_key(key_id: Id, session: SessionDep, access: AdminAccess) -> None:
    """Revoke an API key: it is refused from the next call on."""
    service.delete_key(session, access=access, key_id=key_id)


@router.post("/{key_id}/rotate", response_model=ApiKeyShown, responses=problems(401, 403, 404))
def rotate_key(
    key_id: Id,
    session: SessionDep,
    access: AdminAccess,
    _: Idempotent,
    body: ApiKeyRotate = ApiKeyRotate(),
) -> ApiKeyShown:
    """Give an API key a new text. The old one works until the overlap is over."""
    key, text = service.rotate_key(
        session, access=access, key_id=key_id, overlap_seconds=body.overlap_seconds
    )
    forget(session, "key")
    return shown(key, text)


def present(key: ApiKey) -> ApiKeyRead:
    """Return a key for the wire."""
    return ApiKeyRead(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=ScopesRead.model_validate(key),
        expires_at=key.expires_at,
        expired=key.expires_at is not None and key.expires_at <= datetime.now(UTC),
        last_used_at=key.last_used_at,
        created_at=key.created_at,
        created_by=key.created_by,
    )


def shown(key: ApiKey, text: str) -> ApiKeyShown:
    """Return a key for the wire, with its text."""
    return ApiKeyShown(**present(key).model_dump(), key=text)
