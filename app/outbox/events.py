"""Recording events: the audit row and the outbox entry, in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core import context


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


_RECORD = text(
    """
    WITH made AS (
        INSERT INTO events (workspace_id, action, resource_type, resource_id, service,
            environment, outcome, actor_id, actor_name, detail, address, user_agent, request_id)
        SELECT workspace_id, action, resource_type, resource_id, service, environment, outcome,
            actor_id, actor_name, CAST(detail AS jsonb), address, user_agent, request_id
        FROM unnest(
            CAST(:workspace_id AS bigint[]), CAST(:action AS text[]),
            CAST(:resource_type AS text[]), CAST(:resource_id AS text[]),
            CAST(:service AS text[]), CAST(:environment AS text[]), CAST(:outcome AS text[]),
            CAST(:actor_id AS bigint[]), CAST(:actor_name AS text[]), CAST(:detail AS text[]),
            CAST(:address AS text[]), CAST(:user_agent AS text[]), CAST(:request_id AS text[])
        ) WITH ORDINALITY AS happened (
            workspace_id, action, resource_type, resource_id, service, environment, outcome,
            actor_id, actor_name, detail, address, user_agent, request_id, place
        )
        ORDER BY place
        RETURNING id, at
    )
    INSERT INTO event_pending (event_id, at) SELECT id, at FROM made
    """
)


def record_of(
    session: Session, happened: Sequence[tuple[Happened, context.RequestContext]]
) -> None:
    """Write events of several requests into this transaction, in one statement."""
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
            "detail": orjson.dumps(one.detail).decode(),
            "address": request.address,
            "user_agent": request.user_agent,
            "request_id": request.request_id,
        }
        for one, request in happened
    ]
    session.execute(_RECORD, {name: [row[name] for row in rows] for name in rows[0]})
    mark(session)


def mark(session: Session) -> None:
    """Remember that this transaction recorded events: its commit wakes the drain."""
    session.info["events"] = True
