"""`/api/v1/feature-flags/{flag_id}/…`: what a flag was, and going back to it (contract F)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.changes.deps import NoPreconditions
from app.core.answers import answer
from app.core.pagination import after, next_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Cursor, Id, Limit, problems
from app.feature_flags import presenters, service
from app.feature_flags.schemas import FlagDiffRead, FlagRead, FlagRollback, FlagVersionList
from app.idempotency.deps import Idempotent
from app.versions import comparing
from app.versions import crud as versions_crud
from app.workspaces.deps import ReadAccess, Waited, WriteAccess

router = APIRouter(prefix="/api/v1/feature-flags", tags=["flags"], route_class=Route)

READ = problems(401, 403, 404, 410)

Number = Annotated[Id, Query(description="Number of a version")]


@router.get(
    "/{flag_id:int}/versions", response_model=FlagVersionList, responses=READ, dependencies=[Waited]
)
def list_versions(
    flag_id: Id,
    session: SessionDep,
    access: ReadAccess,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Response:
    """List the versions of a flag, newest first; also of a deleted one."""
    service.require_place(session, access=access, flag_id=flag_id)
    rows = versions_crud.list_versions(
        session, object_id=flag_id, before=after(cursor) or None, limit=limit
    )
    access.count_read("feature_flag", str(flag_id))
    return answer(
        {
            "versions": [presenters.version(row) for row in rows],
            "next_cursor": next_cursor([row.version for row in rows], limit=limit),
        }
    )


@router.get(
    "/{flag_id:int}/diff", response_model=FlagDiffRead, responses=READ, dependencies=[Waited]
)
def diff_versions(
    flag_id: Id,
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    old: Annotated[Number, Query(alias="from")],
    new: Annotated[Number, Query(alias="to")],
) -> Response:
    """Compare the definitions of two versions; a version that is a deletion has none."""
    before, after_ = service.require_versions(
        session, access=access, flag_id=flag_id, versions=(old, new)
    )
    session.close()  # the comparison takes its time; others need the connection
    compared = comparing.compare(request.app.state.workpool, before, after_)
    access.count_read("feature_flag", str(flag_id))
    return answer({"id": flag_id, "from": old, "to": new, **compared})


@router.post(
    "/{flag_id:int}/rollback",
    response_model=FlagRead,
    responses=problems(401, 403, 404, 409, 412, 415),
    dependencies=[NoPreconditions],
)
def roll_back_flag(
    flag_id: Id, body: FlagRollback, session: SessionDep, access: WriteAccess, _: Idempotent
) -> Response:
    """Give a flag the definition of an old version, as a new one."""
    written = service.roll_back(
        session,
        access=access,
        flag_id=flag_id,
        version=body.version,
        message=body.message,
        accepted=body.accept_rebucketing,
    )
    return answer(written.members, etag=written.etag)
