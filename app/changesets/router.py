"""`/api/v1/changes`: many keys and flags, one revision or nothing (contract B)."""

from fastapi import APIRouter
from starlette.responses import Response

from app.changes.deps import NoPreconditions
from app.changesets import service
from app.changesets.schemas import ChangeSet, ChangeSetRead
from app.core.answers import answer
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.idempotency.deps import Idempotent
from app.workspaces.deps import WriteAccess

router = APIRouter(prefix="/api/v1/changes", tags=["keys"], route_class=Route)


@router.post(
    "",
    response_model=ChangeSetRead,
    responses=problems(401, 403, 404, 409, 412, 415),
    dependencies=[NoPreconditions],
)
def apply_changes(
    body: ChangeSet, session: SessionDep, access: WriteAccess, _: Idempotent
) -> Response:
    """Change keys, flags and segments of many places in one revision, or none of them.

    Of keys, `set` gives a value, `delete` removes the key, `unset` takes an inherited value
    away. Of flags and segments, `set` creates or changes. `expected_version` is that of the
    key, flag or segment; 0: it must not exist.
    """
    revision, left = service.apply_changes(
        session, access=access, changes=body.changes, message=body.message
    )
    return answer({"revision": revision, "changes": left})
