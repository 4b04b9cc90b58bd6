"""`/ofrep/v1/events`: telling clients of the OpenFeature protocol when to evaluate again."""

import random
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from app.auth.deps import CredentialDep
from app.configs.levels import EnvironmentName
from app.core.answers import answer
from app.core.routing import ForeignRoute, SessionDep
from app.core.schemas import problems
from app.feature_flags.evaluating import require_environment
from app.feed.commits import FLAG, SEGMENT, Commit
from app.ofrep import streams
from app.ofrep.errors import OfrepError
from app.ofrep.evaluating import environment_of
from app.ofrep.schemas import FAILURES
from app.realtime.live import Live
from app.realtime.service import Opening, read_interest
from app.realtime.stream import RETRY_MS
from app.workspaces.deps import WorkspaceSlug, open_access

TYPES = (FLAG, SEGMENT, "environment")
FULL_RETRY_MS = 30_000

router = APIRouter(prefix="/ofrep/v1", tags=["flags"], route_class=ForeignRoute)


@router.get("/events", response_class=Response, responses=FAILURES | problems(401, 403))
def open_events(
    request: Request,
    session: SessionDep,
    credential: CredentialDep,
    workspace: WorkspaceSlug = None,
    environment: EnvironmentName | None = None,
    ticket: Annotated[
        str | None, Query(max_length=4096, description="Instead of headers: from `eventStreams`")
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> Response:
    """Be told, as server-sent events, when to evaluate again; the address is in bulk answers."""
    if ticket is not None:
        workspace, environment, credential = streams.read_ticket(ticket)
    access = open_access(session, credential=credential, slug=workspace, target_user_id=None)
    session.info["access"] = access
    try:
        environment = environment_of(access, environment)
    except OfrepError as error:
        return answer(error.members(None), status=error.status)
    require_environment(access, environment)
    live: Live | None = request.scope.get("live")
    if live is None or live.is_full:
        return Response(full(), media_type="text/event-stream")
    request.scope["opening"] = Opening(
        access,
        credential,
        read_interest(access, environments=[environment], types=TYPES),
        since=None,
        asked_at=request.scope["asked_at"],
        hello=Greeting(last_event_id),
        write=write,
    )
    access.count_read("stream", "*")
    return Response()


class Greeting:
    """Writes the first frame: whoever has not seen the newest revision is told to ask again."""

    __slots__ = ("known",)

    def __init__(self, known: str | None) -> None:
        self.known = known

    def __call__(self, epoch: str, head: int, _since: int) -> bytes:
        """Return the frame."""
        retry = random.randint(*RETRY_MS)  # noqa: S311  (spreads load)
        if self.known == f"{epoch}-{head}":
            return b"retry: %d\nid: %b\n\n" % (retry, self.known.encode())
        return b"retry: %d\n" % retry + refetch(epoch, head)


def write(epoch: str | None, commit: Commit, _chosen: tuple[int, ...]) -> bytes:
    """Return the frame of a commit."""
    return refetch(epoch or "", commit.revision)


def refetch(epoch: str, revision: int) -> bytes:
    """Return the frame that has a client ask again; its tag comes back in the query."""
    cursor = f"{epoch}-{revision}"
    data = orjson.dumps({"type": "refetchEvaluation", "etag": cursor})
    return b"id: %b\nevent: message\ndata: %b\n\n" % (cursor.encode(), data)


def full() -> bytes:
    """Return what somebody is told for whom there is no place: to come again much later."""
    return b"retry: %d\n\n" % FULL_RETRY_MS
