"""SQL of the history, the same for every kind of object."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.core.db import AnyRow, AnySelect
from app.models import Object, Revision, Version


def select_versions() -> AnySelect:
    """Select versions with who made them, when and why."""
    return select(
        Version.id,
        Version.object_id,
        Version.version,
        Version.revision,
        Version.action,
        Version.content,
        Version.checksum,
        Revision.at,
        Revision.actor_name,
        Revision.message,
    ).join(
        Revision,
        (Revision.workspace_id == Version.workspace_id) & (Revision.n == Version.revision),
    )


def list_versions(
    session: Session, *, object_id: int, before: int | None, limit: int
) -> list[AnyRow]:
    """List versions of an object, newest first, below a version number."""
    statement = select_versions().where(Version.object_id == object_id)
    if before is not None:
        statement = statement.where(Version.version < before)
    return list(session.execute(statement.order_by(Version.version.desc()).limit(limit)))


def get_version(session: Session, *, object_id: int, version: int) -> AnyRow | None:
    """Return a version by its number."""
    return session.execute(
        select_versions().where(Version.object_id == object_id, Version.version == version)
    ).one_or_none()


def get_version_by_id(session: Session, *, object_id: int, version_id: int) -> AnyRow | None:
    """Return a version of this object by the version's own id."""
    return session.execute(
        select_versions().where(Version.object_id == object_id, Version.id == version_id)
    ).one_or_none()


def get_last_content(session: Session, *, object_id: int) -> AnyRow | None:
    """Return the newest version that has content."""
    return session.execute(
        select_versions()
        .where(Version.object_id == object_id, Version.content.is_not(None))
        .order_by(Version.version.desc())
        .limit(1)
    ).one_or_none()


def revision_at(session: Session, *, workspace_id: int, at: datetime) -> int | None:
    """Return the newest revision that was there at a time, None before the workspace began."""
    return session.scalar(
        select(func.max(Revision.n)).where(Revision.workspace_id == workspace_id, Revision.at <= at)
    )


def get_contents(session: Session, *, object_ids: Sequence[int]) -> dict[int, str]:
    """Return the current contents of objects by id; deleted ones are left out."""
    rows = session.execute(
        select(Version.object_id, Version.content)
        .join(Object, (Object.id == Version.object_id) & (Object.version == Version.version))
        .where(Object.id.in_(object_ids), Version.content.is_not(None))
    )
    return {row.object_id: row.content for row in rows}


def list_numbers(session: Session, *, object_id: int) -> list[int]:
    """Return the numbers of an object's versions that have content, oldest first."""
    return list(
        session.scalars(
            select(Version.version)
            .where(Version.object_id == object_id, Version.content.is_not(None))
            .order_by(Version.version)
        )
    )


_PRUNE = text(
    """
    WITH old AS (
        SELECT v.id FROM objects AS o
        JOIN versions AS v ON v.object_id = o.id AND v.version <= o.version - :keep
        WHERE o.version > :keep AND NOT (
            o.checksum IS NULL AND v.version = (
                SELECT max(version) FROM versions
                WHERE object_id = o.id AND content IS NOT NULL
            )
        )
        LIMIT :limit
        FOR UPDATE OF o SKIP LOCKED
    ), gone AS (
        DELETE FROM versions USING old WHERE versions.id = old.id
        RETURNING versions.object_id, versions.version
    ), newest AS (
        SELECT object_id, max(version) AS version FROM gone GROUP BY object_id
    ), moved AS (
        UPDATE objects AS o SET history_from = greatest(o.history_from, next.revision)
        FROM newest JOIN versions AS next
            ON next.object_id = newest.object_id AND next.version = newest.version + 1
        WHERE o.id = newest.object_id
    )
    SELECT object_id FROM gone
    """
)

_PRUNE_KEYS = text(
    """
    WITH old AS (
        SELECT v.id, k.config_id FROM keys AS k
        JOIN objects AS o ON o.id = k.config_id
        JOIN key_versions AS v ON v.key_id = k.id AND v.version <= k.version - :keep
        JOIN key_versions AS next ON next.key_id = k.id AND next.version = v.version + 1
            AND next.revision <= o.history_from
        WHERE k.version > :keep AND NOT (
            k.value IS NULL AND v.version = (
                SELECT max(version) FROM key_versions WHERE key_id = k.id AND value IS NOT NULL
            )
        )
        LIMIT :limit
    ), gone AS (
        DELETE FROM key_versions USING old WHERE key_versions.id = old.id
        RETURNING old.config_id AS object_id
    )
    SELECT object_id FROM gone
    """
)


def prune(session: Session, *, keep: int, limit: int) -> set[int]:
    """Delete up to `limit` versions beyond the newest `keep` of each object and key.

    Never the current one, nor the last with content of what is deleted: a restore needs it.
    Objects remember since which revision their history is whole; that of their keys is whole
    since then, too. Returns the objects whose history is shorter now.
    """
    values = {"keep": keep, "limit": limit}
    return {
        object_id
        for statement in (_PRUNE, _PRUNE_KEYS)
        for object_id in session.scalars(statement, values)
    }
