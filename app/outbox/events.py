"""Recording events: the audit row and the outbox entry, in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.core import context
from app.models import Event, EventPending


@dataclass(frozen=True, slots=True)
class Happened:
    """One fact: who did what to which thing, and with what outcome."""

    action: str
    resource_type: str
    resource_id: str | None = None
    actor_id: int | None = None
    actor_name: str = "anonymous"
    workspace_id: int | None = None
    service: str | None = None
    environment: str | None = None
    outcome: str = "success"
    detail: dict[str, Any] = field(default_factory=dict)


def record(session: Session, *happened: Happened) -> None:
    """Write events of this request into this transaction; the audit log has them after commit."""
    request = context.current()
    record_of(session, [(one, request) for one in happened])


def record_of(
    session: Session, happened: Sequence[tuple[Happened, context.RequestContext]]
) -> None:
    """Write events of several requests into this transaction."""
    rows = [
        {
            "workspace_id": one.workspace_id,
            "action": one.action,
            "resource_type": one.resource_type,
            "resource_id": one.resource_id,
            "service": one.service,
            "environment": one.environment,
            "outcome": one.outcome,
            "actor_id": one.actor_id,
            "actor_name": one.actor_name,
            "detail": one.detail,
            "address": request.address,
            "user_agent": request.user_agent,
            "request_id": request.request_id,
        }
        for one, request in happened
    ]
    made = session.execute(insert(Event).returning(Event.id, Event.at), rows).all()
    session.execute(insert(EventPending), [{"event_id": row.id, "at": row.at} for row in made])
    mark(session)


def mark(session: Session) -> None:
    """Remember that this transaction recorded events: its commit wakes the drain."""
    session.info["events"] = True
