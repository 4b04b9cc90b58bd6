"""`/api/v1/feature-flags`: flags and their evaluation (contract F)."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from app.changes.deps import NoPreconditions, Preconditions, expecting
from app.configs.deps import AsOf
from app.configs.levels import EnvironmentName
from app.core.answers import answer, not_modified
from app.core.pagination import after, next_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Cursor, Id, Limit, problems
from app.feature_flags import evaluating, presenters, service
from app.feature_flags.asking import Evaluate, EvaluateBatch, EvaluationList, EvaluationRead
from app.feature_flags.schemas import (
    FlagCreate,
    FlagList,
    FlagRead,
    FlagRollback,
    FlagUpdate,
    FlagVersionList,
)
from app.idempotency.deps import Idempotent
from app.versions import crud as versions_crud
from app.workspaces.deps import ReadAccess, Waited, WriteAccess

router = APIRouter(prefix="/api/v1/feature-flags", tags=["flags"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)
MAX_OFFSET = 10_000

Flag = Annotated[str, Path(max_length=255, description="The flag's name")]
Environment = Annotated[EnvironmentName, Query(description="The environment")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET)]


@router.post("", response_model=FlagRead, status_code=201, responses=WRITE)
def create_flag(
    body: FlagCreate,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Create a flag in one environment. Its name has one type and one salt in all of them."""
    written = service.create(session, access=access, new=body, precondition=precondition)
    return answer(written.members, etag=written.etag, status=201)


@router.post("/evaluate", response_model=EvaluationRead, responses=READ, dependencies=[Waited])
def evaluate_flag(body: Evaluate, session: SessionDep, access: ReadAccess, at: AsOf) -> Response:
    """Evaluate one flag for somebody."""
    ruleset = evaluating.load(session, access=access, environment=body.environment, at=at)
    access.count_read("feature_flag", f"{body.flag_name}@{body.environment}")
    return answer(
        evaluating.evaluate(
            ruleset, body.flag_name, access=access, user_id=body.user_id, context=body.context
        )
    )


@router.post(
    "/evaluate/batch", response_model=EvaluationList, responses=READ, dependencies=[Waited]
)
def evaluate_flags(
    body: EvaluateBatch, session: SessionDep, access: ReadAccess, at: AsOf
) -> Response:
    """Evaluate all flags of an environment, or some, as of one revision."""
    ruleset = evaluating.load(session, access=access, environment=body.environment, at=at)
    access.count_read("feature_flag", f"*@{body.environment}")
    return answer(
        evaluating.evaluate_some(
            ruleset, body.flags, access=access, user_id=body.user_id, context=body.context
        )
    )


@router.get("", response_model=FlagList, responses=READ, dependencies=[Waited])
def list_flags(
    session: SessionDep,
    access: ReadAccess,
    environment: EnvironmentName | None = None,
    tag: Annotated[str | None, Query(max_length=100)] = None,
    q: Annotated[str | None, Query(max_length=255, description="Names that contain it")] = None,
    limit: Limit = PAGE_SIZE,
    offset: Offset = 0,
) -> Response:
    """List flags by name."""
    found = service.list_flags(session, access=access, environment=environment, tag=tag, text=q)
    access.count_read("feature_flag", "*")
    return answer(
        {
            "feature_flags": [presenters.flag(row) for row in found[offset : offset + limit]],
            "total": len(found),
            "limit": limit,
            "offset": offset,
        }
    )


@router.get(
    "/{flag_id}/versions", response_model=FlagVersionList, responses=READ, dependencies=[Waited]
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


@router.post(
    "/{flag_id}/rollback", response_model=FlagRead, responses=WRITE, dependencies=[NoPreconditions]
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


@router.put("/{flag_id}", response_model=FlagRead, responses=WRITE)
def update_flag(
    flag_id: Id,
    body: FlagUpdate,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
) -> Response:
    """Change a flag; what is left out stays as it is.

    What would give people another variant than they were served is refused (409
    `would_rebucket`), unless `accept_rebucketing`.
    """
    expected = expecting(precondition, body.expected_version)
    written = service.update(
        session, access=access, flag_id=flag_id, change=body, precondition=expected
    )
    return answer(written.members, etag=written.etag)


@router.delete("/{flag_id}", status_code=204, responses=WRITE)
def delete_flag(
    flag_id: Id, session: SessionDep, access: WriteAccess, precondition: Preconditions
) -> Response:
    """Delete a flag in its environment."""
    service.delete(session, access=access, flag_id=flag_id, precondition=precondition)
    return Response(status_code=204)


@router.post("/{name:path}/explain", responses=READ, dependencies=[Waited])
def explain_flag(
    name: Flag, body: Evaluate, session: SessionDep, access: ReadAccess, at: AsOf
) -> Response:
    """Show each rule, condition and bucket on the way to what somebody gets."""
    ruleset = evaluating.load(session, access=access, environment=body.environment, at=at)
    return answer(
        evaluating.explained(
            ruleset, name, access=access, user_id=body.user_id, context=body.context
        )
    )


@router.get("/{name:path}", response_model=FlagRead, responses=READ, dependencies=[Waited])
def get_flag(
    name: Flag,
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    environment: Environment,
) -> Response:
    """Get a flag as it is stored."""
    row = service.require_flag(session, access=access, name=name, environment=environment)
    access.count_read("feature_flag", f"{name}@{environment}")
    etag = service.etag_of(row)
    return not_modified(request.headers, etag) or answer(presenters.flag(row), etag=etag)
