"""`/environments`: the stages of a workspace (contract A)."""

from fastapi import APIRouter
from starlette.responses import Response

from app.changes.deps import Preconditions
from app.configs.levels import EnvironmentName
from app.core.pagination import after, next_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Cursor, Limit, problems
from app.environments import crud, service
from app.environments.schemas import (
    EnvironmentCreate,
    EnvironmentList,
    EnvironmentRead,
    EnvironmentUpdate,
)
from app.idempotency.deps import Idempotent
from app.workspaces.deps import AdminAccess, ReadAccess, Waited

router = APIRouter(prefix="/environments", tags=["environments"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)


@router.get("", response_model=EnvironmentList, responses=READ, dependencies=[Waited])
def list_environments(
    session: SessionDep, access: ReadAccess, limit: Limit = PAGE_SIZE, cursor: Cursor = None
) -> object:
    """List the environments of the workspace."""
    found = crud.list_environments(
        session,
        workspace_id=access.workspace_id,
        scopes=access.scopes,
        after=after(cursor),
        limit=limit,
    )
    access.count_read("environment", "*")
    return {
        "environments": found,
        "next_cursor": next_cursor([one.id for one in found], limit=limit),
    }


@router.post("", response_model=EnvironmentRead, status_code=201, responses=WRITE)
def create_environment(
    body: EnvironmentCreate, session: SessionDep, access: AdminAccess, _: Idempotent
) -> object:
    """Create an environment. The name of a deleted one revives it, history and all."""
    return service.create(session, access=access, new=body)


@router.patch("/{name}", response_model=EnvironmentRead, responses=WRITE)
def update_environment(
    name: EnvironmentName,
    body: EnvironmentUpdate,
    session: SessionDep,
    access: AdminAccess,
    precondition: Preconditions,
) -> object:
    """Rename, describe or protect an environment. Configs, history and grants stay with it."""
    return service.update(session, access=access, name=name, change=body, precondition=precondition)


@router.delete("/{name}", status_code=204, responses=WRITE)
def delete_environment(
    name: EnvironmentName, session: SessionDep, access: AdminAccess, precondition: Preconditions
) -> Response:
    """Delete an environment in which there are no configs."""
    service.delete(session, access=access, name=name, precondition=precondition)
    return Response(status_code=204)
