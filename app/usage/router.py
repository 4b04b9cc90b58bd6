"""`/api/v1/feature-flags/usage` and `/stale`: the use and life of flags."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.configs.levels import EnvironmentName
from app.core.answers import answer
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.usage import service
from app.usage.crud import KEPT_DAYS
from app.usage.schemas import StaleList, UsageRead, UsageReport
from app.workspaces.deps import ReadAccess, Waited

router = APIRouter(prefix="/api/v1/feature-flags", tags=["flags"], route_class=Route)

READ = problems(401, 403, 404, 410)
REPORT = problems(401, 403, 404, 415)

InEnvironment = Annotated[
    EnvironmentName | None, Query(description="Left out: in every environment")
]
OfFlag = Annotated[str | None, Query(max_length=255, description="Left out: of all flags")]
Days = Annotated[int, Query(ge=1, le=KEPT_DAYS, description="How far to look back")]


@router.post("/usage", status_code=204, responses=REPORT)
def report_usage(body: UsageReport, session: SessionDep, access: ReadAccess) -> Response:
    """Report what a client has evaluated itself since its last report.

    Flags beyond the key's scope, and variants that a flag does not have, are ignored. A rule
    that it does not have counts as none, a flag that is not there as an unknown one. Members
    that this server does not know are ignored. The counts can be read within ten seconds.
    """
    service.report(session, access=access, said=body)
    return Response(status_code=204)


@router.get("/usage", response_model=UsageRead, responses=READ, dependencies=[Waited])
def get_usage(
    session: SessionDep,
    access: ReadAccess,
    environment: InEnvironment = None,
    flag: OfFlag = None,
    days: Days = 30,
) -> Response:
    """Tell how often each flag gave which variant by which rule, and which flags are unknown.

    Counts are of today and `days` days before it (UTC); `first_seen` and `last_seen` look back
    90 days. Evaluations of the last ten seconds may be missing. A prerequisite is not counted.
    """
    found = service.used(session, access=access, environment=environment, flag=flag, days=days)
    access.count_read("feature_flag", flag or "*")
    return answer(found)


@router.get("/stale", response_model=StaleList, responses=READ, dependencies=[Waited])
def list_stale_flags(
    session: SessionDep, access: ReadAccess, environment: InEnvironment = None, days: Days = 30
) -> Response:
    """List flags that may have had their day, with the next step.

    `expired`: past `expires_at`. `one_variant`: enabled, unchanged, and everybody got the same
    variant for `days` days. `never_seen`: there for so long and not evaluated, nor needed by
    another flag; a batch of all flags evaluates all. `off`: off and unchanged for so long.
    `since` is that of the oldest reason.
    """
    found = service.stale_flags(session, access=access, environment=environment, days=days)
    access.count_read("feature_flag", "*")
    return answer({"flags": found})
