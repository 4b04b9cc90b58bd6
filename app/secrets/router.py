"""`/api/v1/secrets`: sharing a value once, destroying one for ever."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.core.answers import answer, raw
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.idempotency.deps import Idempotent, forget
from app.secrets import disposal, sharing
from app.secrets.schemas import Destroyed, DestroyWrite, Unwrapped, UnwrapWrite, Wrapped, WrapWrite
from app.workspaces.deps import AdminAccess, WriteAccess

router = APIRouter(prefix="/api/v1/secrets", tags=["secrets"], route_class=Route)

Handle = Annotated[str, Path(max_length=100, description="As in the stored form of the secret")]


@router.post(
    "/wrap", response_model=Wrapped, status_code=201, responses=problems(401, 403, 404, 409, 415)
)
def wrap_secret(
    body: WrapWrite, session: SessionDep, access: WriteAccess, _: Idempotent
) -> Response:
    """Leave a value for somebody: the token opens it once, within its time.

    The value is encrypted under the token, which this server does not keep.
    """
    token, expires_at = sharing.wrap(
        session, access=access, value=body.value, seconds=body.ttl_seconds
    )
    forget(session, "token")
    return answer({"token": token, "expires_at": expires_at}, status=201)


@router.post("/unwrap", response_model=Unwrapped, responses=problems(404, 410, 415))
def unwrap_secret(body: UnwrapWrite, session: SessionDep) -> Response:
    """Open what waits under a token; nobody needs to be logged in.

    A second attempt is refused (410) and is an alarm in the audit.
    """
    row, text = sharing.unwrap(session, token=body.token)
    return answer({"value": raw(text), "created_by": row.created_by, "created_at": row.created_at})


@router.post(
    "/{handle}/destroy", response_model=Destroyed, responses=problems(401, 403, 404, 409, 415)
)
def destroy_secret(
    handle: Handle, body: DestroyWrite, session: SessionDep, access: AdminAccess
) -> Response:
    """Destroy a value that is not in use any more: it cannot be brought back, by nobody.

    `name` is that of the key under which it was written. Old versions show it as null.
    """
    members = disposal.destroy(session, access=access, handle=handle, name=body.name)
    return answer(members)
