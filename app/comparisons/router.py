"""`/api/v1/diff`: what differs between any two documents (contract G)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.comparisons import references, service
from app.comparisons.schemas import ComparisonRead
from app.core.answers import answer
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.versions import comparing
from app.workspaces.deps import ReadAccess, Waited

router = APIRouter(prefix="/api/v1/diff", tags=["documents"], route_class=Route)

Side = Annotated[str, Query(max_length=300)]


@router.get(
    "", response_model=ComparisonRead, responses=problems(401, 403, 404, 410), dependencies=[Waited]
)
def compare(
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    old: Annotated[Side, Query(alias="from", examples=["billing@staging"])],
    new: Annotated[Side, Query(alias="to", examples=["billing@production"])],
    effective: Annotated[
        bool, Query(description="Compare what the services see, not what is stored")
    ] = False,
) -> Response:
    """Compare two documents: versions, revisions, times, environments, levels or services.

    Each is `service[@environment][#version|@revision|@time]`; `billing@@42` is all
    environments' level at revision 42, `#` is written `%23` in a URL.
    """
    sides = [
        references.parse(text, parameter=parameter)
        for text, parameter in ((old, "from"), (new, "to"))
    ]
    before, after = (
        service.require_content(session, access=access, reference=side, effective=effective)
        for side in sides
    )
    session.close()  # the comparison takes its time; others need the connection
    compared = comparing.compare(request.app.state.workpool, before, after)
    for side in sides:
        access.count_read("configuration", str(side.level))
    return answer({"from": old, "to": new, **compared})
