"""`/api/v1/config`: keys, the second family (contract C)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from app.changes.deps import Preconditions, expecting
from app.configs.deps import AsOf
from app.configs.levels import GLOBAL, EnvironmentQuery, Level, ServiceName
from app.core.answers import answer, not_modified, tags
from app.core.pagination import after, after_place, next_cursor, next_place_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import MAX_ID, PAGE_SIZE, Cursor, Id, Limit, LongCursor, problems
from app.effective.service import require_effective
from app.idempotency.deps import Idempotent
from app.keys import presenters, service
from app.keys.crud import TOTAL_CAP, Filters, Page
from app.keys.schemas import ItemCreate, ItemHistory, ItemList, ItemRead, ItemWrite, KeyName
from app.keys.service import MAX_OFFSET, Said
from app.workspaces.deps import ReadAccess, Waited, WriteAccess

router = APIRouter(prefix="/api/v1/config", tags=["keys"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)

Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Or go on by `cursor`")]
ServiceQuery = Annotated[
    ServiceName | None, Query(description="A service, or `_global`; left out: all of them")
]


@router.post("", response_model=ItemRead, status_code=201, responses=WRITE)
def create_item(
    body: ItemCreate,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Create a key; the same as `POST /api/v1/configs`."""
    written = service.create(
        session,
        access=access,
        level=Level.of(body.service_name, body.environment),
        name=body.key,
        said=Said(
            value=body.value,
            description=body.description,
            is_encrypted=body.is_encrypted,
        ),
        precondition=precondition,
    )
    return answer(presenters.item(written.members), etag=written.etag, status=201)


@router.get("", response_model=ItemList, responses=READ, dependencies=[Waited])
def list_items(
    session: SessionDep,
    access: ReadAccess,
    service_name: ServiceQuery = None,
    environment: EnvironmentQuery = None,
    key: Annotated[KeyName | None, Query(description="Only keys of this very name")] = None,
    limit: Limit = PAGE_SIZE,
    offset: Offset = 0,
    cursor: LongCursor = None,
) -> Response:
    """List active keys by name, as they are stored.

    With `service_name` and `key` it is the effective value, the same as with the key in the path.
    """
    if key is not None and service_name is not None:
        level = Level.of(service_name, environment)
        return _only(service.find_items(session, access=access, level=level, name=key), limit)
    place = after_place(cursor)
    total, keys = service.list_keys(
        session,
        access=access,
        filters=Filters(service_name, environment, is_active=True, name=key),
        page=Page(limit, 0 if place else offset, place),
    )
    access.count_read("key", "*")
    return answer(
        {
            "configurations": [presenters.item(one) for one in keys],
            "total": total,
            "total_capped": total >= TOTAL_CAP,
            "limit": limit,
            "offset": offset,
            "next_cursor": next_place_cursor(
                [(one["key"], one["id"]) for one in keys], limit=limit
            ),
        }
    )


def _only(items: list[dict[str, Any]], limit: int) -> Response:
    return answer(
        {
            "configurations": items,
            "total": len(items),
            "total_capped": False,
            "limit": limit,
            "offset": 0,
            "next_cursor": None,
        }
    )


@router.put("/{config_id}", response_model=ItemRead, responses=WRITE)
def update_item(
    config_id: Id,
    body: ItemWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
) -> Response:
    """Change a key's value or description."""
    written = service.update(
        session,
        access=access,
        key_id=config_id,
        said=service.said(body),
        precondition=expecting(precondition, body.expected_version),
    )
    return answer(presenters.item(written.members), etag=written.etag)


@router.delete("/{config_id}", status_code=204, responses=WRITE)
def delete_item(
    config_id: Id, session: SessionDep, access: WriteAccess, precondition: Preconditions
) -> Response:
    """Delete a key. Its history stays."""
    service.delete(session, access=access, key_id=config_id, precondition=precondition)
    return Response(status_code=204)


@router.get(
    "/{config_id:int}/history", response_model=ItemHistory, responses=READ, dependencies=[Waited]
)
def get_item_history(
    config_id: Id,
    session: SessionDep,
    access: ReadAccess,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Response:
    """List the changes of a key with old and new values, newest first; also of a deleted one."""
    service.require_key(session, access=access, key_id=config_id, deleted=True)
    rows = service.list_versions(
        session, key_id=config_id, before=after(cursor, default=MAX_ID), limit=limit
    )
    access.count_read("key", f"{config_id} versions")
    return answer(
        {
            "history": [presenters.change(row) for row in rows],
            "next_cursor": next_cursor([row.KeyVersion.version for row in rows], limit=limit),
        }
    )


@router.get("/{key:text}", response_model=ItemRead, responses=READ, dependencies=[Waited])
def get_item(
    key: Annotated[KeyName, Path(description="Percent-encoded; dots also lead into objects")],
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    at: AsOf,
    service_name: Annotated[ServiceName, Query(description="A service, or `_global`")] = GLOBAL,
    environment: EnvironmentQuery = None,
) -> Response:
    """Get the effective value of a key, with the id and version of the key that it comes from."""
    level = Level.of(service_name, environment)
    effective = require_effective(session, access=access, level=level, at=at)
    members, etag = service.effective_item(
        session,
        access=access,
        effective=effective,
        name=key,
        at=at,
        known=tags(request.headers.get("if-none-match")) or (),
    )
    access.count_read("key", f"{level} {key}")
    return not_modified(request.headers, etag) or answer(members, etag=etag)
