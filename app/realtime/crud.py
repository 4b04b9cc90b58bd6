"""SQL of streams: tickets, logins that are still good, how far back commits are known."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import StreamTicket, Workspace


def create_ticket(
    session: Session, *, digest: str, workspace_id: int, credential: str, seconds: int
) -> None:
    """Store a ticket by its digest."""
    session.execute(
        insert(StreamTicket).values(
            digest=digest,
            workspace_id=workspace_id,
            credential=credential,
            expires_at=func.clock_timestamp() + timedelta(seconds=seconds),
        )
    )


def take_ticket(session: Session, *, digest: str) -> AnyRow | None:
    """Use a ticket up; return its credential and the workspace's slug, None if it is no good."""
    taken = (
        delete(StreamTicket)
        .where(StreamTicket.digest == digest)
        .returning(
            StreamTicket.credential,
            StreamTicket.workspace_id,
            (StreamTicket.expires_at > func.clock_timestamp()).label("is_good"),
        )
        .cte("taken")
    )
    return session.execute(
        select(taken.c.credential, Workspace.slug)
        .join(Workspace, Workspace.id == taken.c.workspace_id)
        .where(taken.c.is_good)
    ).one_or_none()


def sweep(session: Session) -> None:
    """Delete tickets that are over."""
    session.execute(delete(StreamTicket).where(StreamTicket.expires_at < func.now()))


_GOOD_LOGINS = text(
    """
    SELECT l.jti, w.id AS workspace_id
    FROM unnest(CAST(:jtis AS text[]), CAST(:workspaces AS bigint[])) AS asked (jti, workspace_id)
    JOIN login_sessions AS l ON l.jti = asked.jti
        AND l.revoked_at IS NULL AND l.expires_at > now() - interval '5 seconds'
    JOIN users AS u ON u.id = l.user_id AND NOT u.disabled
    JOIN workspaces AS w ON w.id = asked.workspace_id AND w.deleted_at IS NULL
    LEFT JOIN members AS m ON m.workspace_id = w.id AND m.user_id = u.id
    WHERE m.user_id IS NOT NULL OR u.role = 'admin'
    """
)


def list_good_logins(
    session: Session, *, logins: Sequence[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Return those of (login, workspace) that may still read: every role may."""
    rows = session.execute(
        _GOOD_LOGINS,
        {"jtis": [jti for jti, _ in logins], "workspaces": [number for _, number in logins]},
    )
    return {(row.jti, row.workspace_id) for row in rows}


_IS_WHOLE = text(
    """
    SELECT EXISTS (
        SELECT FROM events AS e JOIN revisions AS r
            ON r.workspace_id = e.workspace_id AND r.n = e.revision AND r.at = e.at
        WHERE e.workspace_id = :workspace_id AND e.revision = :revision
    )
    """
)


def has_events(session: Session, *, workspace_id: int, revision: int) -> bool:
    """Say whether it is still known what a revision changed."""
    values = {"workspace_id": workspace_id, "revision": revision}
    return bool(session.scalar(_IS_WHOLE, values))
