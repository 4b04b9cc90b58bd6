"""The one statement that writes a commit, under the workspace's counter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.changes.keys import KeyRow
from app.feed.commits import Change, level_of
from app.feed.commits import Commit as Told


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
    """One object's next version. `noted`: an event tells of it (else those of its keys do).

    `name`: of what has one beside its place, a flag or segment.
    """

    id: int
    action: str
    content: str | None
    checksum: str | None
    resource_type: str
    service: str | None
    environment: str | None
    noted: bool
    name: str | None


@dataclass(frozen=True, slots=True)
class KeyItem:
    """One key's next version, the names of its level, and whether an event tells of it."""

    row: KeyRow
    service: str
    environment: str | None
    noted: bool


@dataclass(frozen=True, slots=True)
class Written:
    """The revision that was taken, its time, and the new versions of objects and keys.

    `keys` gives (id, version) by (config id, name).
    """

    revision: int
    at: datetime
    versions: dict[int, int] = field(default_factory=dict)
    keys: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)


_HEAD = """
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
        CAST(:checksums AS text[]), CAST(:types AS text[]), CAST(:services AS text[]),
        CAST(:environments AS text[]), CAST(:noted AS boolean[]), CAST(:names AS text[])
    ) AS item (id, action, content, checksum, resource_type, service, environment, noted, name)
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
)"""

_KEYS = """, key_item AS (
    SELECT * FROM unnest(
        CAST(:key_ids AS bigint[]), CAST(:key_configs AS bigint[]), CAST(:key_names AS text[]),
        CAST(:key_values AS text[]), CAST(:key_checksums AS text[]), CAST(:key_types AS text[]),
        CAST(:key_descriptions AS text[]), CAST(:key_actives AS boolean[]),
        CAST(:key_actions AS text[]), CAST(:key_services AS text[]),
        CAST(:key_environments AS text[]), CAST(:key_noted AS boolean[])
    ) WITH ORDINALITY AS item (
        id, config_id, name, value, checksum, value_type, description, is_active, action,
        service, environment, noted, place
    )
), key_made AS (
    INSERT INTO keys
        (workspace_id, config_id, service_id, environment_id, name, value, checksum, value_type,
         description, is_active, version, revision, created_at, created_by, updated_at, updated_by)
    SELECT :workspace_id, c.id, c.service_id, c.environment_id, i.name, i.value, i.checksum,
        i.value_type, i.description, i.is_active, 1, head.revision, head.at, :actor_name,
        head.at, :actor_name
    FROM key_item AS i JOIN configs AS c ON c.id = i.config_id, head
    WHERE i.id IS NULL
    ORDER BY i.place
    RETURNING id, config_id, name, version
), named AS (
    INSERT INTO key_names (workspace_id, name)
    SELECT DISTINCT :workspace_id, name FROM key_made ON CONFLICT DO NOTHING
), key_moved AS (
    UPDATE keys AS k
    SET value = i.value, checksum = i.checksum, value_type = i.value_type,
        description = i.description, is_active = i.is_active, version = k.version + 1,
        revision = head.revision, updated_at = head.at, updated_by = :actor_name
    FROM key_item AS i, head
    WHERE k.id = i.id AND k.workspace_id = :workspace_id
    RETURNING k.id, k.config_id, k.name, k.version
), key_now AS (
    SELECT * FROM key_made UNION ALL SELECT * FROM key_moved
), key_saved AS (
    INSERT INTO key_versions
        (workspace_id, key_id, version, revision, action, value, value_type, description,
         is_active)
    SELECT :workspace_id, k.id, k.version, head.revision, i.action, i.value, i.value_type,
        i.description, i.is_active
    FROM key_item AS i JOIN key_now AS k ON k.config_id = i.config_id AND k.name = i.name, head
)"""

_ITEM_EVENTS = """
    SELECT item.action, item.resource_type, item.id, item.service, item.environment,
        moved.version, jsonb_strip_nulls(jsonb_build_object('key', item.name)), 0 AS place
    FROM item JOIN moved ON moved.id = item.id
    WHERE item.noted"""

_KEY_EVENTS = """
    UNION ALL
    SELECT i.action, 'key', k.id, i.service, i.environment, k.version,
        jsonb_build_object('key', i.name), i.place
    FROM key_item AS i JOIN key_now AS k ON k.config_id = i.config_id AND k.name = i.name
    WHERE i.noted"""

_EVENTS = """, fact (
    action, resource_type, id, service, environment, version, detail, place
) AS ({facts}
), noted AS (
    INSERT INTO events
        (at, workspace_id, revision, action, resource_type, resource_id, outcome, actor_id,
         actor_name, address, user_agent, request_id, service, environment, version, detail)
    SELECT head.at, :workspace_id, head.revision, fact.action, fact.resource_type, fact.id::text,
        'success', :actor_id, :actor_name, :address, :user_agent, :request_id,
        fact.service, fact.environment, fact.version, fact.detail
    FROM fact, head
    ORDER BY fact.place, fact.id
    RETURNING id, at
), queued AS (
    INSERT INTO event_pending (event_id, at) SELECT id, at FROM noted
)
SELECT head.revision, head.at, done.* FROM head LEFT JOIN ({done}
) AS done ON true
"""

_ITEMS_DONE = """
    SELECT id, version, CAST(NULL AS bigint) AS config_id, CAST(NULL AS text) AS name FROM moved"""
_KEYS_DONE = """
    UNION ALL SELECT id, version, config_id, name FROM key_now"""

_WRITE = text(_HEAD + _EVENTS.format(facts=_ITEM_EVENTS, done=_ITEMS_DONE))
_WRITE_KEYS = text(
    _HEAD + _KEYS + _EVENTS.format(facts=_ITEM_EVENTS + _KEY_EVENTS, done=_ITEMS_DONE + _KEYS_DONE)
)


def write(
    session: Session, *, commit: Commit, items: Sequence[Item], keys: Sequence[KeyItem]
) -> Written:
    """Take the next revision and write everything that belongs to it, in one statement.

    The row of the workspace's counter stays locked from here to the commit.
    """
    values: dict[str, object] = {
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
        "types": [item.resource_type for item in items],
        "services": [item.service for item in items],
        "environments": [item.environment for item in items],
        "noted": [item.noted for item in items],
        "names": [item.name for item in items],
    }
    if keys:
        values |= _key_values(keys)
    rows = session.connection().execute(_WRITE_KEYS if keys else _WRITE, values).all()
    written = Written(revision=rows[0].revision, at=rows[0].at)
    for row in rows:
        if row.name is None:
            written.versions[row.id] = row.version
        else:
            written.keys[row.config_id, row.name] = (row.id, row.version)
    return written


def _key_values(keys: Sequence[KeyItem]) -> dict[str, object]:
    rows = [key.row for key in keys]
    return {
        "key_ids": [row.id for row in rows],
        "key_configs": [row.config_id for row in rows],
        "key_names": [row.name for row in rows],
        "key_values": [row.value for row in rows],
        "key_checksums": [row.checksum for row in rows],
        "key_types": [row.value_type for row in rows],
        "key_descriptions": [row.description for row in rows],
        "key_actives": [row.is_active for row in rows],
        "key_actions": [row.action for row in rows],
        "key_services": [key.service for key in keys],
        "key_environments": [key.environment for key in keys],
        "key_noted": [key.noted for key in keys],
    }


def told(commit: Commit, written: Written, items: Sequence[Item], keys: Sequence[KeyItem]) -> Told:
    """Return a commit as the feed would read it: the changes in the order of their events."""
    changes = [
        Change(
            item.action,
            item.resource_type,
            str(item.id),
            level_of(item.service, item.environment),
            item.name,
            written.versions[item.id],
        )
        for item in sorted(items, key=lambda item: item.id)
        if item.noted
    ]
    for key in keys:
        if key.noted:
            key_id, version = written.keys[key.row.config_id, key.row.name]
            level = level_of(key.service, key.environment)
            changes.append(Change(key.row.action, "key", str(key_id), level, key.row.name, version))
    return Told(written.revision, written.at, commit.actor_name, commit.message, tuple(changes))
