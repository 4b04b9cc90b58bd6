"""`/api/v1/audit`: who did what, when, from where."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query

from app.audit import crud, service
from app.audit.deps import ViewerDep
from app.audit.errors import LogNotFound
from app.audit.schemas import LogList, LogRead
from app.core.errors import Invalid
from app.core.routing import Route, SessionDep
from app.core.schemas import MAX_PAGE_SIZE, PAGE_SIZE, Id, Moment, problems

MAX_OFFSET = 10_000


router = APIRouter(prefix="/api/v1/audit", tags=["audit"], route_class=Route)

Text = Annotated[str | None, Query(max_length=255)]


class EntityType(StrEnum):
    """What events are about."""

    USER = "user"
    TOKEN = "token"  # noqa: S105
    WORKSPACE = "workspace"
    MEMBER = "member"
    API_KEY = "api_key"
    ENVIRONMENT = "environment"
    CONFIGURATION = "configuration"
    KEY = "key"
    SCHEMA = "schema"
    TEMPLATE = "template"
    FEATURE_FLAG = "feature_flag"
    SEGMENT = "segment"
    ROLLOUT = "rollout"
    SERVICE = "service"
    SUBSCRIPTION = "subscription"
    SECRET = "secret"  # noqa: S105
    WRAPPED_SECRET = "wrapped_secret"  # noqa: S105
    ROTATOR = "rotator"
    DATA_KEY = "data_key"


class Outcome(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    THROTTLED = "throttled"
    REFUSED = "refused"
    ALARM = "alarm"


class Act(StrEnum):
    """What can happen."""

    REGISTER = "register"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    REFUSED = "refused"
    READ = "read"
    READ_SECRET = "read_secret"  # noqa: S105
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RESTORE = "restore"
    ROLLBACK = "rollback"
    ROTATE = "rotate"
    IMPORT = "import"
    PROMOTE = "promote"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"
    CANCEL = "cancel"
    TRIP = "trip"
    DESTROY = "destroy"


@router.get("", response_model=LogList, responses=problems(401, 403))
def list_logs(
    session: SessionDep,
    viewer: ViewerDep,
    entity_type: EntityType | None = None,
    outcome: Annotated[
        Outcome | None, Query(description="`alarm`: what a human should look at")
    ] = None,
    entity_id: Text = None,
    action: Act | None = None,
    user_id: Annotated[Id | None, Query()] = None,
    app_id: Text = None,
    environment: Text = None,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to")] = None,
    page: Annotated[int, Query(ge=1, le=MAX_OFFSET)] = 1,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = PAGE_SIZE,
) -> LogList:
    """List events, newest first.

    You see your own, those of workspaces that you administer, or as a global admin all; an API
    key with `admin` sees those of its workspace.
    Reads are counted per caller, object and minute: ask for them with `action=read`.
    """
    offset = (page - 1) * page_size
    if offset > MAX_OFFSET:
        raise Invalid("Too far back: narrow the search with from and to.", loc=("query", "page"))
    filters = crud.Filters(
        entity_type=entity_type,
        outcome=outcome,
        entity_id=entity_id,
        action=action,
        user_id=user_id,
        app_id=app_id,
        environment=environment,
        since=since,
        until=until,
    )
    find = crud.list_reads if action == Act.READ else crud.list_events
    total, rows = find(
        session,
        filters=filters,
        viewer=viewer,
        limit=page_size,
        offset=offset,
    )
    logs = service.present_reads(rows) if action == Act.READ else service.present(session, rows)
    return LogList(
        total=total,
        total_capped=total >= crud.TOTAL_CAP,
        page=page,
        page_size=page_size,
        logs=logs,
    )


@router.get("/{event_id}", response_model=LogRead, responses=problems(401, 403, 404))
def get_log(event_id: Id, session: SessionDep, viewer: ViewerDep) -> LogRead:
    """Get one event."""
    row = crud.get_event(session, event_id=event_id, viewer=viewer)
    if row is None:
        raise LogNotFound
    return service.present(session, [row])[0]
