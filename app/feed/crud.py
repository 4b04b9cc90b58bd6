"""SQL of the change feed: heads, and what was committed after a revision."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from app.core.db import AnyRow

MOST_BYTES = 7000
"""Of a notification; PostgreSQL takes no more than 8,000."""
EVERYWHERE = "*"

Reader = Session | Connection
"""What runs a statement: a session, or the feed's own connection."""

_HEADS = text(
    """
    SELECT e.epoch, h.workspace_id, h.revision, h.rights
    FROM (SELECT epoch FROM epochs ORDER BY id DESC LIMIT 1) AS e
    LEFT JOIN workspace_heads AS h ON h.workspace_id = ANY(CAST(:ids AS bigint[]))
    """
)


def list_heads(session: Reader, *, workspace_ids: Sequence[int]) -> Sequence[AnyRow]:
    """Return epoch, head and rights of workspaces; without any a row with only the epoch."""
    return session.execute(_HEADS, {"ids": list(workspace_ids)}).all()


_COMMITS = text(
    """
    SELECT r.workspace_id, r.n AS revision, r.at, r.actor_name, r.message,
        e.action, e.resource_type, e.resource_id, e.service, e.environment, e.version,
        e.detail ->> 'key' AS key
    FROM unnest(CAST(:ids AS bigint[]), CAST(:afters AS bigint[]), CAST(:heads AS bigint[]))
        AS wanted (workspace_id, after, head)
    JOIN LATERAL (
        SELECT * FROM revisions
        WHERE workspace_id = wanted.workspace_id AND n > wanted.after AND n <= wanted.head
        ORDER BY n LIMIT :most
    ) AS r ON true
    LEFT JOIN events AS e
        ON e.workspace_id = r.workspace_id AND e.revision = r.n AND e.at = r.at
    ORDER BY r.workspace_id, r.n, e.id
    """
)


def list_commits(
    session: Reader, *, ranges: Mapping[int, tuple[int, int]], limit: int
) -> Sequence[AnyRow]:
    """Return the changes of the first revisions after one and up to another, in order.

    One row a change, by workspace; a revision whose events are not kept any more has one row
    with `action` null.
    """
    values = {
        "ids": list(ranges),
        "afters": [after for after, _ in ranges.values()],
        "heads": [head for _, head in ranges.values()],
        "most": limit,
    }
    return session.execute(_COMMITS, values).all()


_BEGIN_EPOCH = text(
    """
    INSERT INTO epochs (epoch, reason)
    SELECT substr(replace(gen_random_uuid()::text, '-', ''), 1, 12), :reason
    WHERE CAST(:after AS text) IS NULL
        OR (SELECT epoch FROM epochs ORDER BY id DESC LIMIT 1) = :after
    """
)
_EPOCH_LOCK = text("LOCK TABLE epochs IN SHARE ROW EXCLUSIVE MODE")


def begin_epoch(session: Reader, *, reason: str, after: str | None = None) -> None:
    """Begin a new line of history; if `after` one, unless somebody else has ended that already."""
    session.execute(_EPOCH_LOCK)
    session.execute(_BEGIN_EPOCH, {"after": after, "reason": reason})


_LISTEN = text("LISTEN configsync")
_NOTIFY = text("SELECT pg_notify('configsync', :ids)")


def listen(connection: Connection) -> None:
    """Have this connection told of what other processes commit."""
    connection.execute(_LISTEN)


def notify(connection: Connection, *, workspace_ids: Iterable[int]) -> None:
    """Tell other processes where something was committed; of very many: that something was."""
    ids = ",".join(map(str, workspace_ids))
    connection.execute(_NOTIFY, {"ids": ids if len(ids) <= MOST_BYTES else EVERYWHERE})
