"""`/api/v1/feature-flags`: flags and their evaluation (contract F)."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from app.changes.deps import Preconditions, expecting
from app.configs.deps import AsOf
from app.configs.levels import EnvironmentName, Level
from app.core.answers import answer, not_modified
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Id, Limit, problems
from app.feature_flags import evaluating, presenters, rulesets, service, snapshots
from app.feature_flags.asking import (
    Asking,
    Evaluate,
    EvaluateBatch,
    EvaluationList,
    EvaluationRead,
    FlagSnapshot,
)
from app.feature_flags.schemas import (
    FlagCreate,
    FlagList,
    FlagRead,
    FlagUpdate,
)
from app.idempotency.deps import Idempotent
from app.keys import service as keys_service
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
    evaluation = evaluating.evaluate(
        ruleset,
        body.flag_name,
        body.user_id,
        body.context,
        access=access,
        counted=at is None,
    )
    return answer(evaluation)


@router.post(
    "/evaluate/batch", response_model=EvaluationList, responses=READ, dependencies=[Waited]
)
def evaluate_flags(
    body: EvaluateBatch, session: SessionDep, access: ReadAccess, at: AsOf
) -> Response:
    """Evaluate all flags of an environment, or some; with the config of a service if wanted.

    All of it is as of one revision.
    """
    is_now, at = at is None, access.head if at is None else at
    ruleset = evaluating.load(session, access=access, environment=body.environment, at=at)
    access.count_read("feature_flag", f"*@{body.environment}")
    evaluations = evaluating.evaluate_some(ruleset, body, access=access, counted=is_now)
    members: dict[str, Any] = {"evaluations": evaluations, "revision": at}
    if body.config is not None:
        level = Level.of(body.config.app_id, body.environment)
        members["config"], _ = keys_service.fetch(
            session, access=access, level=level, names=body.config.keys, at=at
        )
    return answer(members)


@router.get("/snapshot", response_model=FlagSnapshot, responses=READ, dependencies=[Waited])
def get_snapshot(
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    environment: Environment,
    at: AsOf,
) -> Response:
    """Get the flags of an environment as a client evaluates them itself.

    Flags beyond the key's scope are not in it, or only as what others need.
    """
    at = access.head if at is None else at  # the revision that the answer's header names
    ruleset = evaluating.load(session, access=access, environment=environment, at=at)
    access.count_read("feature_flag", f"*@{environment}")
    body, etag = snapshots.snapshot(ruleset, access)
    return not_modified(request.headers, etag) or answer(orjson.Fragment(body), etag=etag)


@router.get("", response_model=FlagList, responses=READ, dependencies=[Waited])
def list_flags(
    session: SessionDep,
    access: ReadAccess,
    at: AsOf,
    environment: EnvironmentName | None = None,
    tag: Annotated[str | None, Query(max_length=100)] = None,
    q: Annotated[str | None, Query(max_length=255, description="Names that contain it")] = None,
    limit: Limit = PAGE_SIZE,
    offset: Offset = 0,
) -> Response:
    """List flags by name, as they are or were."""
    found = service.list_flags(
        session, access=access, environment=environment, tag=tag, text=q, at=at
    )
    access.count_read("feature_flag", "*")
    return answer(
        {
            "feature_flags": [presenters.flag(row) for row in found[offset : offset + limit]],
            "total": len(found),
            "limit": limit,
            "offset": offset,
        }
    )


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


@router.post("/{name:text}/explain", responses=READ, dependencies=[Waited])
def explain_flag(
    name: Flag, body: Asking, session: SessionDep, access: ReadAccess, at: AsOf
) -> Response:
    """Show each rule, condition and bucket on the way to what somebody gets."""
    ruleset = evaluating.load(session, access=access, environment=body.environment, at=at)
    steps = evaluating.explained(ruleset, name, body, access=access)
    return answer(rulesets.raw_value(steps))


@router.get("/{name:text}", response_model=FlagRead, responses=READ, dependencies=[Waited])
def get_flag(
    name: Flag,
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    environment: Environment,
    at: AsOf,
) -> Response:
    """Get a flag as it is stored, or as it was."""
    row = service.require_flag(session, access=access, name=name, environment=environment, at=at)
    access.count_read("feature_flag", f"{name}@{environment}")
    etag = service.etag_of(row)
    return not_modified(request.headers, etag) or answer(presenters.flag(row), etag=etag)
