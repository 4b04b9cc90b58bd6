"""`/configs`: versioned names (contract D)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.changes.deps import Preconditions
from app.changes.plan import document_etag
from app.configs.levels import Level, ServiceName
from app.core.answers import answer, not_modified, raw
from app.core.routing import Route, SessionDep
from app.core.schemas import Id, problems
from app.idempotency.deps import Idempotent
from app.names import service
from app.names.schemas import NameCreate, NameRead, NameWrite
from app.secrets.deps import Reveal
from app.secrets.service import reveal_text
from app.workspaces.deps import ReadAccess, Waited, WriteAccess

router = APIRouter(prefix="/configs", tags=["versioned names"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)


@router.post("", response_model=NameRead, status_code=201, responses=WRITE)
def create_name(
    body: NameCreate,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Store the first version of a document."""
    written = service.create(
        session, access=access, name=body.name, data=body.data, precondition=precondition
    )
    return answer(written.members, etag=written.etag, status=201)


@router.put("/{name}", response_model=NameRead, responses=WRITE)
def replace_name(
    name: ServiceName,
    body: NameWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
) -> Response:
    """Store the next version of a document."""
    written = service.replace(
        session, access=access, name=name, data=body.data, precondition=precondition
    )
    return answer(written.members, etag=written.etag)


@router.get("/{name}", response_model=NameRead, responses=READ, dependencies=[Waited])
def get_name(
    name: ServiceName,
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    version: Annotated[Id | None, Query(description="Left out: the current one")] = None,
    reveal: Reveal = False,
) -> Response:
    """Get a version of a document: as `/config/get` without an environment."""
    row = service.require_version(session, access=access, name=name, version=version)
    access.count_read("configuration", name)
    etag = document_etag(row.object_id, row.version)
    content = row.content
    if reveal:
        content = reveal_text(
            session,
            access=access,
            place=Level.of(name, None),
            text=content,
            resource_id=str(row.object_id),
        )
    return (not reveal and not_modified(request.headers, etag)) or answer(
        {
            "name": name,
            "version": row.version,
            "data": raw(content),
            "created_at": int(row.at.timestamp()),
        },
        etag=etag,
    )


@router.get("/{name}/versions", response_model=list[int], responses=READ, dependencies=[Waited])
def list_name_versions(name: ServiceName, session: SessionDep, access: ReadAccess) -> list[int]:
    """List the numbers of the versions that can be had, oldest first."""
    numbers = service.list_versions(session, access=access, name=name)
    access.count_read("configuration", f"{name} versions")
    return numbers
