"""`/api/v1/stream`: who may open one (contract E). The stream itself is `stream.py`."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from app.auth.deps import CredentialDep
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.realtime import service, stream
from app.realtime.deps import StreamAccess
from app.realtime.errors import TooManyListeners
from app.realtime.live import Live
from app.realtime.schemas import CommitRead, TicketRead
from app.realtime.service import TICKET_SECONDS, Opening
from app.workspaces.deps import ReadAccess

router = APIRouter(prefix="/api/v1/stream", tags=["live"], route_class=Route)

Names = Annotated[str | None, Query(max_length=100_000)]
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Frames: `hello` first, then a `change` for every commit that reaches you",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 5f3a-41\nevent: hello\ndata: {"epoch": "5f3a", "revision": 41}\n\n',
            },
            "application/json": {"schema": CommitRead.model_json_schema()},
        },
    }
}


@router.get("", response_class=Response, responses=STREAM | problems(401, 403, 404, 410, 503))
def open_stream(
    request: Request,
    session: SessionDep,
    caller: StreamAccess,
    services: Annotated[Names, Query(description="Comma-separated; left out: all")] = None,
    environments: Annotated[Names, Query(description="Comma-separated; left out: all")] = None,
    types: Annotated[
        Names, Query(description=f"Of {', '.join(service.TYPES)}; left out: all")
    ] = None,
    since: Annotated[
        str | None,
        Query(max_length=64, description="Go on after this cursor (`<epoch>-<revision>`)"),
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> Response:
    """Listen to changes as server-sent events, one frame a commit, in order, none left out.

    A frame's id is the cursor after it: send the last one as `Last-Event-ID` (browsers do) or
    `since`, and the stream goes on behind it; 410 when it cannot, then read anew. What reaches a
    service is told to who watches it: changes of wider levels too. Values are never in it. A
    comment comes every 15 s; a reader that is too slow is cut off, and resumes.
    """
    access, credential = caller
    live: Live | None = request.scope.get("live")
    if live is None or live.is_full:
        raise TooManyListeners("This process has as many listeners as it may. Try another one.")
    request.scope["opening"] = Opening(
        access,
        credential,
        service.read_interest(
            access,
            services=_names(services),
            environments=_names(environments),
            types=_names(types),
        ),
        service.read_cursor(session, access=access, cursor=last_event_id or since),
        asked_at=request.scope["asked_at"],
        hello=stream.hello,
        write=stream.write,
    )
    access.count_read("stream", "*")
    return Response()


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in (text or "").split(",") if part)


@router.post(
    "/tickets", response_model=TicketRead, status_code=201, responses=problems(401, 403, 404)
)
def create_ticket(session: SessionDep, credential: CredentialDep, access: ReadAccess) -> TicketRead:
    """Make a ticket for a client that cannot send headers: `?ticket=` opens one stream as you."""
    ticket = service.create_ticket(session, access=access, credential=credential)
    return TicketRead(ticket=ticket, expires_in=TICKET_SECONDS)
