"""SQL of the write pipeline. What runs under the workspace's counter is one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.configs.crud import at_level, level_values, shape
from app.configs.levels import Level
from app.core.db import AnyRow, AnySelect
from app.models import Config, Environment, Kind, Object, Service

LOCKED = (Object.id, Object.version, Object.revision, Object.checksum, Config.created_by)

FIND_IDS = text(
    """
    SELECT wanted.place, c.id
    FROM unnest(CAST(:services AS text[]), CAST(:environments AS text[]))
        WITH ORDINALITY AS wanted (service, environment, place)
    LEFT JOIN services AS s ON s.workspace_id = :workspace_id AND s.name = wanted.service
    LEFT JOIN environments AS e
        ON e.workspace_id = :workspace_id AND e.name = wanted.environment
    JOIN configs AS c ON c.workspace_id = :workspace_id
        AND (c.service_id = s.id OR (wanted.service IS NULL AND c.service_id IS NULL))
        AND (c.environment_id = e.id
             OR (wanted.environment IS NULL AND c.environment_id IS NULL))
    """
)


def find_ids(session: Session, *, workspace_id: int, levels: Sequence[Level]) -> dict[Level, int]:
    """Return the ids of the configs that exist (deleted ones too), without locking."""
    rows = session.execute(
        FIND_IDS,
        {
            "workspace_id": workspace_id,
            "services": [level.service for level in levels],
            "environments": [level.environment for level in levels],
        },
    ).all()
    return {levels[row.place - 1]: row.id for row in rows}


def lock_objects(session: Session, *, ids: Sequence[int]) -> Sequence[AnyRow]:
    """Lock objects in ascending order of their ids and return them as they are then."""
    return session.execute(
        select(*LOCKED)
        .join(Config, Config.id == Object.id)
        .where(Object.id.in_(ids))
        .order_by(Object.id)
        .with_for_update(of=Object)
    ).all()


@lru_cache
def _lock_config(*, service: bool, environment: bool) -> AnySelect:
    return (
        select(*LOCKED)
        .join(Config, Config.id == Object.id)
        .where(at_level(service=service, environment=environment))
        .with_for_update(of=Object)
    )


def lock_config(session: Session, *, workspace_id: int, level: Level) -> AnyRow | None:
    """Find and lock one config in one statement."""
    return (
        session.connection()
        .execute(_lock_config(**shape(level)), level_values(workspace_id, level))
        .one_or_none()
    )


_LOCK_ADDRESS = text("SELECT pg_advisory_xact_lock(hashtextextended(:address, 0))")


def lock_address(session: Session, *, workspace_id: int, level: Level) -> None:
    """Let one transaction at a time create what this level addresses."""
    session.execute(_LOCK_ADDRESS, {"address": f"config:{workspace_id}:{level}"})


def get_environment_id(session: Session, *, workspace_id: int, name: str) -> int | None:
    """Return the id of an environment."""
    return session.scalar(
        select(Environment.id).where(
            Environment.workspace_id == workspace_id, Environment.name == name
        )
    )


def require_service_id(session: Session, *, workspace_id: int, name: str) -> int:
    """Return the id of a service, which comes into being with its first config."""
    found = select(Service.id).where(Service.workspace_id == workspace_id, Service.name == name)
    known = session.scalar(found)
    if known is not None:
        return known
    session.execute(
        upsert(Service).values(workspace_id=workspace_id, name=name).on_conflict_do_nothing()
    )
    return session.execute(found).scalar_one()


def create_config(
    session: Session,
    *,
    workspace_id: int,
    service_id: int | None,
    environment_id: int | None,
    created_by: int | None,
) -> int:
    """Insert the object and the level of a new config, version 0; return its id."""
    object_id = session.execute(
        insert(Object).values(workspace_id=workspace_id, kind=Kind.CONFIG).returning(Object.id)
    ).scalar_one()
    session.execute(
        insert(Config).values(
            id=object_id,
            workspace_id=workspace_id,
            service_id=service_id,
            environment_id=environment_id,
            created_by=created_by,
        )
    )
    return object_id


@dataclass(frozen=True, slots=True)
class Commit:
    """Who commits, why, and from where."""

    workspace_id: int
    actor_id: int | None
    actor_name: str
    message: str | None
    request_id: str
    address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One object's next version."""

    id: int
    action: str
    content: str | None
    checksum: str | None
    service: str
    environment: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """The revision that was taken, its time, and the new version of each object."""

    revision: int
    at: datetime
    versions: dict[int, int]


WRITE = """
WITH head AS (
    UPDATE workspace_heads
    SET revision = revision + 1, at = greatest(clock_timestamp(), at)
    WHERE workspace_id = :workspace_id
    RETURNING revision, at
), committed AS (
    INSERT INTO revisions (workspace_id, n, at, actor_id, actor_name, message, request_id)
    SELECT :workspace_id, revision, at, :actor_id, :actor_name, :message, :request_id FROM head
), item AS (
    SELECT * FROM unnest(
        CAST(:ids AS bigint[]), CAST(:actions AS text[]), CAST(:contents AS text[]),
        CAST(:checksums AS text[]), CAST(:services AS text[]), CAST(:environments AS text[])
    ) AS item (id, action, content, checksum, service, environment)
), moved AS (
    UPDATE objects AS o
    SET version = o.version + 1, revision = head.revision, checksum = item.checksum
    FROM item, head
    WHERE o.id = item.id AND o.workspace_id = :workspace_id
    RETURNING o.id, o.version
), saved AS (
    INSERT INTO versions
        (workspace_id, object_id, version, revision, action, content, checksum)
    SELECT :workspace_id, item.id, moved.version, head.revision,
        item.action, item.content, item.checksum
    FROM item JOIN moved ON moved.id = item.id, head
), noted AS (
    INSERT INTO events
        (at, workspace_id, revision, action, resource_type, resource_id, outcome, actor_id,
         actor_name, address, user_agent, request_id, service, environment, version)
    SELECT head.at, :workspace_id, head.revision, item.action, 'configuration', item.id::text,
        'success', :actor_id, :actor_name, :address, :user_agent, :request_id,
        item.service, item.environment, moved.version
    FROM item JOIN moved ON moved.id = item.id, head
    ORDER BY item.id
    RETURNING id, at
), queued AS (
    INSERT INTO event_pending (event_id, at) SELECT id, at FROM noted
)
SELECT head.revision, head.at, moved.id, moved.version FROM head, moved
"""
_WRITE = text(WRITE)


def write(session: Session, *, commit: Commit, items: Sequence[Item]) -> Written:
    """Take the next revision and write everything that belongs to it, in one statement.

    The row of the workspace's counter stays locked from here to the commit.
    """
    rows = (
        session.connection()
        .execute(
            _WRITE,
            {
                "workspace_id": commit.workspace_id,
                "actor_id": commit.actor_id,
                "actor_name": commit.actor_name,
                "message": commit.message,
                "request_id": commit.request_id,
                "address": commit.address,
                "user_agent": commit.user_agent,
                "ids": [item.id for item in items],
                "actions": [item.action for item in items],
                "contents": [item.content for item in items],
                "checksums": [item.checksum for item in items],
                "services": [item.service for item in items],
                "environments": [item.environment for item in items],
            },
        )
        .all()
    )
    return Written(
        revision=rows[0].revision,
        at=rows[0].at,
        versions={row.id: row.version for row in rows},
    )
