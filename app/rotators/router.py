"""`/api/v1/config/{config_id}/rotator`: secrets that renew themselves."""

from fastapi import APIRouter
from starlette.responses import Response

from app.core.answers import answer
from app.core.routing import Route, SessionDep
from app.core.schemas import Id, problems
from app.idempotency.deps import Idempotent
from app.rotators import service
from app.rotators.schemas import RotatorRead, RotatorWrite
from app.workspaces.deps import AdminAccess, ReadAccess, Waited, WriteAccess

router = APIRouter(prefix="/api/v1/config", tags=["secrets"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 415)


@router.put("/{config_id:int}/rotator", response_model=RotatorRead, responses=WRITE)
def put_rotator(
    config_id: Id, body: RotatorWrite, session: SessionDep, access: AdminAccess
) -> Response:
    """Say how a key's value is renewed: at random, by a webhook, or as a PostgreSQL user.

    Secret settings are stored encrypted. Nothing is renewed before its time, or before `rotate`.
    """
    return answer(service.configure(session, access=access, key_id=config_id, wanted=body))


@router.get(
    "/{config_id:int}/rotator", response_model=RotatorRead, responses=READ, dependencies=[Waited]
)
def get_rotator(config_id: Id, session: SessionDep, access: ReadAccess) -> Response:
    """Get how a key's value is renewed, and how far that has come."""
    rotator = service.require_rotator(session, access=access, key_id=config_id)
    access.count_read("rotator", str(config_id))
    return answer(service.members(rotator))


@router.delete("/{config_id:int}/rotator", status_code=204, responses=WRITE)
def delete_rotator(config_id: Id, session: SessionDep, access: AdminAccess) -> Response:
    """Renew the key's value no more; the value itself stays."""
    service.remove(session, access=access, key_id=config_id)
    return Response(status_code=204)


@router.post(
    "/{config_id:int}/rotate",
    response_model=RotatorRead,
    responses=WRITE | problems(502),
)
def rotate(config_id: Id, session: SessionDep, access: WriteAccess, _: Idempotent) -> Response:
    """Renew a key's value now, or go on where a rotation stopped.

    The old value stays good for the grace time. 502: a step failed, which is tried again.
    """
    return answer(service.rotate(session, access=access, key_id=config_id))
