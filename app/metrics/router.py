"""Metrics for Prometheus."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool

from app.core.routing import StrictRoute
from app.core.schemas import problems
from app.metrics import service
from app.metrics.deps import Admitted

router = APIRouter(tags=["health"], route_class=StrictRoute)

EXAMPLE = """\
# HELP configsync_outbox_lag_seconds Age of the oldest event that is not in the audit log, 0 when all are.
# TYPE configsync_outbox_lag_seconds gauge
configsync_outbox_lag_seconds 0.0
"""  # noqa: E501
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics", "content": {"text/plain": {"example": EXAMPLE}}}
}


@router.get("/metrics", response_class=Response, responses={**TEXT, **problems(401, 403, 404)})
async def get_metrics(_: Admitted) -> Response:
    """Return metrics in Prometheus' text format, summed over the processes of this server.

    Open to this machine, unless a proxy's headers say that the call comes from elsewhere;
    otherwise it takes the permission `metrics`. It answers while the database is away too,
    without the figures of the outbox.
    """
    text = await run_in_threadpool(service.report)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
