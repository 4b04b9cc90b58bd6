"""`/api/v1/configs`, `/api/v1/versions`: keys, the first family (contract B)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.changes.deps import Preconditions, expecting
from app.changes.plan import key_etag
from app.configs.deps import AsOf
from app.configs.levels import GLOBAL, EnvironmentQuery, Level, ServiceName
from app.core.answers import answer, not_modified
from app.core.pagination import after, after_place, next_cursor, next_place_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import MAX_ID, MAX_PAGE_SIZE, PAGE_SIZE, Cursor, Id, LongCursor, problems
from app.idempotency.deps import Idempotent
from app.keys import crud, presenters, service
from app.keys.crud import TOTAL_CAP, Filters, Page
from app.keys.schemas import (
    FetchQuery,
    FetchRead,
    KeyCreate,
    KeyList,
    KeyRead,
    KeyRollback,
    KeyVersionList,
    KeyWrite,
)
from app.keys.service import MAX_OFFSET, Said
from app.secrets.deps import Reveal
from app.workspaces.deps import ReadAccess, Waited, WriteAccess

router = APIRouter(prefix="/api/v1", tags=["keys"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)

PageNumber = Annotated[int, Query(ge=1, le=MAX_OFFSET)]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)]
PageLimit = Annotated[
    int | None, Query(ge=1, le=MAX_PAGE_SIZE, description="The same as `page_size`")
]
Prefix = Annotated[str | None, Query(max_length=255, description="How names begin")]
Text = Annotated[
    str | None,
    Query(
        max_length=255,
        description="Names that contain it (10,000 names at most), values equal to it",
    ),
]


@router.post("/configs", response_model=KeyRead, status_code=201, responses=WRITE)
def create_key(
    body: KeyCreate,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Create a key. It is the member of that name in its level's document."""
    written = service.create(
        session,
        access=access,
        level=Level.of(body.app_id or GLOBAL, body.environment),
        name=body.key,
        said=Said(
            value=body.value,
            value_type=body.value_type,
            description=body.description,
            is_encrypted=body.is_encrypted,
            message=body.message,
        ),
        precondition=precondition,
    )
    return answer(written.members, etag=written.etag, status=201)


@router.get("/configs", response_model=KeyList, responses=READ, dependencies=[Waited])
def list_keys(
    session: SessionDep,
    access: ReadAccess,
    app_id: Annotated[
        ServiceName | None, Query(description="A service, or `_global`; left out: all")
    ] = None,
    environment: EnvironmentQuery = None,
    is_active: bool | None = None,
    prefix: Prefix = None,
    q: Text = None,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
    limit: PageLimit = None,
    cursor: LongCursor = None,
) -> Response:
    """List stored keys by name. Go on by `cursor`, or by `page` up to 10,000 keys."""
    size = limit or page_size
    place = after_place(cursor)
    total, keys = service.list_keys(
        session,
        access=access,
        filters=Filters(app_id, environment, is_active, prefix=prefix, text=q),
        page=Page(size, 0 if place else (page - 1) * size, place),
    )
    access.count_read("key", "*")
    return answer(
        {
            "total": total,
            "total_capped": total >= TOTAL_CAP,
            "page": page,
            "page_size": size,
            "configs": keys,
            "next_cursor": next_place_cursor([(key["key"], key["id"]) for key in keys], limit=size),
        }
    )


@router.post("/configs/fetch", response_model=FetchRead, responses=READ, dependencies=[Waited])
def fetch_config(body: FetchQuery, session: SessionDep, access: ReadAccess, at: AsOf) -> Response:
    """Get the effective config of a service by key: all of it, or some keys."""
    level = Level.of(body.app_id, body.environment)
    members, etag = service.fetch(session, access=access, level=level, names=body.keys, at=at)
    return answer(members, etag=etag)


@router.get("/configs/{key_id}", response_model=KeyRead, responses=READ, dependencies=[Waited])
def get_key(
    key_id: Id,
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    reveal: Reveal = False,
) -> Response:
    """Get a key as it is stored. A secret is masked, unless `reveal`."""
    row = service.require_key(session, access=access, key_id=key_id)
    access.count_read("key", str(key_id))
    etag = key_etag(row.Key.id, row.Key.version)
    if reveal:
        members = service.revealed(session, access=access, row=row)
        return answer(members, etag=etag)
    return not_modified(request.headers, etag) or answer(presenters.key(row), etag=etag)


@router.put("/configs/{key_id}", response_model=KeyRead, responses=WRITE)
def update_key(
    key_id: Id,
    body: KeyWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
) -> Response:
    """Change a key's value, type, description, or whether it is active."""
    written = service.update(
        session,
        access=access,
        key_id=key_id,
        said=service.said(body),
        precondition=expecting(precondition, body.expected_version),
    )
    return answer(written.members, etag=written.etag)


@router.delete("/configs/{key_id}", status_code=204, responses=WRITE)
def delete_key(
    key_id: Id, session: SessionDep, access: WriteAccess, precondition: Preconditions
) -> Response:
    """Delete a key. Its history stays; a rollback brings it back."""
    service.delete(session, access=access, key_id=key_id, precondition=precondition)
    return Response(status_code=204)


@router.get(
    "/versions/config/{key_id}",
    response_model=KeyVersionList,
    responses=READ,
    dependencies=[Waited],
)
def list_versions(
    key_id: Id,
    session: SessionDep,
    access: ReadAccess,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
    limit: PageLimit = None,
    cursor: Cursor = None,
) -> Response:
    """List the versions of a key, newest first; also of a deleted one."""
    service.require_key(session, access=access, key_id=key_id, deleted=True)
    size = limit or page_size
    rows = service.list_versions(
        session,
        key_id=key_id,
        before=after(cursor, default=MAX_ID),
        limit=size,
        offset=0 if cursor else (page - 1) * size,
    )
    total = crud.count_versions(session, key_id=key_id)
    access.count_read("key", f"{key_id} versions")
    return answer(
        {
            "total": total,
            "total_capped": total >= TOTAL_CAP,
            "page": page,
            "page_size": size,
            "versions": [presenters.version(row) for row in rows],
            "next_cursor": next_cursor([row.KeyVersion.version for row in rows], limit=size),
        }
    )


@router.post("/versions/rollback/{key_id}", response_model=KeyRead, responses=WRITE)
def roll_back_key(
    key_id: Id,
    body: KeyRollback,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Give a key the value of an old version: makes a new one, also of a deleted key."""
    written = service.roll_back(
        session,
        access=access,
        key_id=key_id,
        version=body.target_version,
        message=body.rollback_reason,
        precondition=precondition,
    )
    return answer(written.members, etag=written.etag)
