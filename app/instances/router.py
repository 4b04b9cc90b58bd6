"""`/api/v1/instances`: which config runs where (contract E)."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.core.answers import answer
from app.core.pagination import after_names, next_names_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Done, Limit, LongCursor, problems
from app.instances import crud, service
from app.instances.schemas import InstanceList, InstanceReport, Status
from app.workspaces.deps import ReadAccess, Waited
from app.workspaces.names import EnvironmentName, OwnServiceName

router = APIRouter(prefix="/api/v1/instances", tags=["instances"], route_class=Route)

OfService = Annotated[
    OwnServiceName | None, Query(alias="service", description="Left out: of all services")
]
InEnvironment = Annotated[
    EnvironmentName | None, Query(description="Left out: in every environment and in none")
]
WithStatus = Annotated[Status | None, Query(description="What became of the last config")]


@router.post(
    "/report", status_code=202, response_model=Done, responses=problems(401, 403, 404, 415)
)
def report_instance(body: InstanceReport, session: SessionDep, access: ReadAccess) -> Response:
    """Report which config an instance runs, or that it could not use one, and why.

    The last report of an instance counts; it may be sent again and again, and after a day
    without one the instance is forgotten. `environment` left out or null: it runs in none.
    `error` and `metadata` are kept and shown as they are: keep secrets out of them. Members
    that this server does not know are ignored. A report is no change: it has no revision.
    """
    service.report(session, access=access, said=body)
    return answer({"msg": "reported"}, status=202)


@router.get(
    "",
    response_model=InstanceList,
    responses=problems(401, 403, 404, 410),
    dependencies=[Waited],
)
def list_instances(
    session: SessionDep,
    access: ReadAccess,
    service_name: OfService = None,
    environment: InEnvironment = None,
    status: WithStatus = None,
    limit: Limit = PAGE_SIZE,
    cursor: LongCursor = None,
) -> Response:
    """List instances that reported within a day, by service, environment and name.

    `behind` is how many revisions after the one that it reported changed a document that
    reaches the instance: of all services or its own, in all environments or its own. It
    counts to 1,000.
    """
    rows = crud.list_instances(
        session,
        workspace_id=access.workspace_id,
        scopes=access.scopes,
        filters=crud.Filters(service_name, environment, status),
        after=after_names(cursor, count=3),
        limit=limit,
    )
    access.count_read("instance", "*")
    places = [(row.service, row.environment, row.instance_id) for row in rows]
    return answer(
        {
            "instances": [service.present(row) for row in rows],
            "next_cursor": next_names_cursor(places, limit=limit),
        }
    )
