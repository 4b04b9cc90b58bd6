"""Health: for people, load balancers and orchestrators."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app import __version__
from app.core.routing import StrictRoute
from app.health import service
from app.health.service import CONNECTED, DISABLED, DISCONNECTED

router = APIRouter(tags=["health"], route_class=StrictRoute)

SEALED = "secrets are sealed: see `python -m app keys status`"

Status = Literal["connected", "disconnected", "disabled"]


class Health(BaseModel):
    """What works. `audit_log` names who writes the audit log: worker, server, or nobody."""

    status: Literal["healthy", "degraded", "unhealthy"]
    api_status: Literal["ok"] = "ok"
    db_status: Status
    redis_status: Status
    worker_status: Status
    audit_log: Literal["worker", "server", "nobody"]
    audit_pending_seconds: float | None
    secrets: Literal["open", "sealed", "unknown"]
    version: str


class Healthy(BaseModel):
    """The server answers."""

    status: Literal["healthy"] = "healthy"


class Ready(BaseModel):
    """Whether requests can be served."""

    status: Literal["ready", "not_ready"]
    degraded: bool = False
    reason: str | None = None


def look() -> Health:
    """Look at everything that the server depends on."""
    database, seen = service.database_status()
    broker = service.redis_status()
    worker = seen.get("worker")
    writer = str(seen.get("writer") or "nobody").partition(":")[0]
    pending = seen.get("pending")
    sealed = database == CONNECTED and service.is_sealed()
    fine = (
        database == CONNECTED
        and not sealed
        and broker != DISCONNECTED
        and (broker == DISABLED or worker is not None)
    )
    return Health(
        status="unhealthy" if database != CONNECTED else "healthy" if fine else "degraded",
        db_status=database,
        redis_status=broker,
        worker_status=DISABLED if broker == DISABLED else CONNECTED if worker else DISCONNECTED,
        audit_log=writer,
        audit_pending_seconds=pending,
        secrets="unknown" if database != CONNECTED else "sealed" if sealed else "open",
        version=__version__,
    )


async def get_health(response: Response) -> Health:
    """Show what works; 503 in the same shape while the database is away."""
    health = await run_in_threadpool(look)
    if health.status == "unhealthy":
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return health


UNHEALTHY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "The database is away"}
}
router.add_api_route("/config/health", get_health, responses=UNHEALTHY)
router.add_api_route("/api/v1/health", get_health, responses=UNHEALTHY)


@router.get("/health")
async def healthy() -> Healthy:
    """Say that the server answers."""
    return Healthy()


@router.get("/api/v1/health/live")
async def live() -> Healthy:
    """Say that the process lives; restart it when this fails."""
    return Healthy()


@router.get(
    "/api/v1/health/ready",
    responses={503: {"model": Ready, "description": "Send no requests here yet"}},
)
async def ready(
    response: Response,
    strict: Annotated[bool, Query(description="503 also while only degraded")] = False,
) -> Ready:
    """Say whether requests can be served: the database answers and is migrated.

    `degraded` while secrets are sealed: everything else works.
    """
    reason = await run_in_threadpool(service.not_ready)
    if reason is None:
        sealed = await run_in_threadpool(service.is_sealed)
        if not (sealed and strict):
            return Ready(status="ready", degraded=sealed, reason=SEALED if sealed else None)
        reason = SEALED
    response.status_code = 503
    response.headers["Retry-After"] = "2"
    return Ready(status="not_ready", reason=reason)
