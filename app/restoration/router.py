"""`/api/v1/workspaces/{slug}/restore`: everything back to a moment (contract G)."""

from fastapi import APIRouter

from app.changes.deps import NoPreconditions
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.idempotency.deps import Idempotent
from app.restoration import service
from app.restoration.schemas import RestorationRead, RestoreWrite
from app.workspaces.deps import PathAdminAccess

router = APIRouter(prefix="/api/v1/workspaces", tags=["workspaces"], route_class=Route)


@router.post(
    "/{slug}/restore",
    response_model=RestorationRead,
    responses=problems(401, 403, 404, 409, 410, 415),
    dependencies=[NoPreconditions],
)
def restore_workspace(
    body: RestoreWrite, session: SessionDep, access: PathAdminAccess, _: Idempotent
) -> object:
    """Put all configs, keys and environments back to a moment, as one new revision.

    Nothing of the history is lost: restore again to undo it. `dry_run` only lists.
    """
    return service.restore(session, access=access, wanted=body)
