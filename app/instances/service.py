"""Instances: what running copies of services report of the configs that they got."""

from typing import Any

from sqlalchemy.orm import Session

from app.auth.deps import ANONYMOUS
from app.auth.errors import LoginRequired
from app.core.answers import raw
from app.core.db import AnyRow
from app.instances import crud
from app.instances.errors import TooManyInstances
from app.instances.schemas import InstanceReport
from app.workspaces.deps import Access
from app.workspaces.names import Level
from app.workspaces.permissions import Permission

MAX_INSTANCES = 10_000
"""Instances of a workspace."""


def report(session: Session, *, access: Access, said: InstanceReport) -> None:
    """Store what an instance reports, in the place of what it said before.

    Raises LoginRequired (open reads open no reports), OutsideScope, TooManyInstances.
    """
    if access.caller == ANONYMOUS:
        raise LoginRequired
    access.require(Permission.READ, Level(said.service, said.environment))
    stored = crud.upsert(
        session,
        limit=MAX_INSTANCES,
        workspace_id=access.workspace_id,
        service=said.service,
        environment=said.environment or "",
        instance_id=said.instance_id,
        revision=said.revision,
        version=said.version,
        status=said.status.value,
        error=said.error,
        app_version=said.app_version,
        metadata=said.metadata or {},
    )
    if not stored:
        raise TooManyInstances(MAX_INSTANCES)


def present(row: AnyRow) -> dict[str, Any]:
    """Return an instance for the wire."""
    return {
        "instance_id": row.instance_id,
        "service": row.service,
        "environment": row.environment or None,
        "revision": row.revision,
        "version": row.version,
        "behind": row.behind,
        "status": row.status,
        "error": row.error,
        "app_version": row.app_version,
        "metadata": raw(row.metadata),
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
    }
