"""Who may read the metrics: this machine, and callers with the permission `metrics`."""

import time
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.auth.deps import ANONYMOUS, Credential, KeyDigest, get_credential
from app.core import context, db
from app.core.errors import AppError
from app.metrics.service import be_brief
from app.workspaces.deps import Access, WorkspaceSlug, open_access
from app.workspaces.errors import NotAllowed
from app.workspaces.permissions import Permission

# Behind a proxy on the same machine everybody comes from there.
OF_PROXIES = frozenset({"forwarded", "via", "x-real-ip"})
PREFIX_OF_PROXIES = "x-forwarded-"
REMEMBERED_SECONDS = 3600.0
MAX_REMEMBERED = 100

_let_in: dict[tuple[KeyDigest, str | None], float] = {}
"""Until when keys, each from its address, are let in unasked while the database is away."""


async def admit(request: Request, workspace: WorkspaceSlug = None) -> None:
    """Let this machine in, and callers who may read metrics."""
    if is_local(request):
        return
    credential = await get_credential(request)
    await run_in_threadpool(_require, request, credential, workspace)


Admitted = Annotated[None, Depends(admit)]


def is_local(request: Request) -> bool:
    """Say whether the request comes from this machine, past no proxy that tells."""
    if request.client is None or any(
        name in OF_PROXIES or name.startswith(PREFIX_OF_PROXIES) for name in request.headers
    ):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _require(request: Request, credential: Credential | None, slug: str | None) -> None:
    key = credential if isinstance(credential, KeyDigest) else None
    caller = (key, context.current().address) if key else None
    known = caller is not None and _let_in.get(caller, 0.0) > time.monotonic()
    if known:
        be_brief()
    try:
        with Session(db.get_probe_engine()) as session:
            request.state.session = session  # an audited refusal names whom it met
            access = open_access(session, credential=credential, slug=slug, target_user_id=None)
            session.info["access"] = access
            _require_metrics(access)
    except (SQLAlchemyError, OSError):
        if not known:
            raise
    except AppError:
        if caller:
            _let_in.pop(caller, None)
        raise
    else:
        if caller:
            _remember(caller, access.lasts)


def _require_metrics(access: Access) -> None:
    if Permission.METRICS not in access.scopes.actions and access.caller != ANONYMOUS:
        raise NotAllowed(access.role, "read the metrics", access.slug)
    access.require(Permission.METRICS)


def _remember(caller: tuple[KeyDigest, str | None], lasts: float | None) -> None:
    if len(_let_in) >= MAX_REMEMBERED and caller not in _let_in:
        _let_in.clear()
    seconds = REMEMBERED_SECONDS if lasts is None else min(REMEMBERED_SECONDS, lasts)
    _let_in[caller] = time.monotonic() + seconds
