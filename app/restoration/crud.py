"""SQL of going back: what differs between now and a revision."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import Environment, Revision
from app.workspaces.crud import rename_in_scopes

_OLD = """
    LEFT JOIN LATERAL (
        SELECT version, content, checksum FROM versions
        WHERE object_id = o.id AND revision <= :at
        ORDER BY revision DESC LIMIT 1
    ) AS old ON true
"""

_ENVIRONMENTS = text(
    f"""
    SELECT o.id, o.version, o.checksum, o.history_from, e.name,
        old.version AS old_version, old.content AS old_content, old.checksum AS old_checksum
    FROM objects AS o JOIN environments AS e ON e.id = o.id {_OLD}
    WHERE o.workspace_id = :workspace_id AND o.revision > :at
        AND o.checksum IS DISTINCT FROM old.checksum
    ORDER BY o.id
    FOR UPDATE OF o, e
    """  # noqa: S608
)

_CONFIGS = text(
    f"""
    SELECT o.id, o.version, o.checksum, o.history_from, s.name AS service, e.name AS environment,
        NULL AS name,
        old.version AS old_version, old.content AS old_content, old.checksum AS old_checksum
    FROM objects AS o JOIN configs AS c ON c.id = o.id
    LEFT JOIN services AS s ON s.id = c.service_id
    LEFT JOIN environments AS e ON e.id = c.environment_id {_OLD}
    WHERE o.workspace_id = :workspace_id
        AND (o.revision > :at AND o.checksum IS DISTINCT FROM old.checksum
             OR o.id = ANY (:also))
    ORDER BY o.id
    """  # noqa: S608
)

_FLAGS = text(
    f"""
    SELECT o.id, o.version, o.checksum, o.history_from, n.name, e.name AS environment,
        old.version AS old_version, old.content AS old_content, old.checksum AS old_checksum
    FROM objects AS o JOIN flags AS f ON f.id = o.id
    JOIN flag_names AS n ON n.id = f.name_id
    JOIN environments AS e ON e.id = f.environment_id {_OLD}
    WHERE o.workspace_id = :workspace_id AND o.revision > :at
        AND o.checksum IS DISTINCT FROM old.checksum
    ORDER BY o.id
    """  # noqa: S608
)

_SEGMENTS = text(
    f"""
    SELECT o.id, o.version, o.checksum, o.history_from, s.name,
        old.version AS old_version, old.content AS old_content, old.checksum AS old_checksum
    FROM objects AS o JOIN segments AS s ON s.id = o.id {_OLD}
    WHERE o.workspace_id = :workspace_id AND o.revision > :at
        AND o.checksum IS DISTINCT FROM old.checksum
    ORDER BY o.id
    """  # noqa: S608
)

_KEYS = text(
    """
    SELECT k.config_id, k.name, k.value, k.value IS NOT NULL AS live, k.is_active, k.description,
        k.value_type, old.value AS old_value, old.is_active AS old_is_active,
        old.description AS old_description, old.value_type AS old_value_type
    FROM keys AS k
    LEFT JOIN LATERAL (
        SELECT value, is_active, description, value_type FROM key_versions
        WHERE key_id = k.id AND revision <= :at
        ORDER BY revision DESC LIMIT 1
    ) AS old ON true
    WHERE k.workspace_id = :workspace_id AND k.revision > :at
    ORDER BY k.config_id, k.name
    """
)


def get_time(session: Session, *, workspace_id: int, revision: int) -> Any:
    """Return when a revision was made."""
    return session.execute(
        select(Revision.at).where(Revision.workspace_id == workspace_id, Revision.n == revision)
    ).scalar_one()


def list_environments(session: Session, *, workspace_id: int, at: int) -> Sequence[AnyRow]:
    """List and lock the environments that are not what they were at a revision."""
    return session.execute(_ENVIRONMENTS, {"workspace_id": workspace_id, "at": at}).all()


def list_configs(
    session: Session, *, workspace_id: int, at: int, also: Sequence[int]
) -> Sequence[AnyRow]:
    """List the configs whose content is not what it was at a revision, and some more."""
    values = {"workspace_id": workspace_id, "at": at, "also": list(also)}
    return session.execute(_CONFIGS, values).all()


def list_flags(session: Session, *, workspace_id: int, at: int) -> Sequence[AnyRow]:
    """List the flags that are not what they were at a revision."""
    return session.execute(_FLAGS, {"workspace_id": workspace_id, "at": at}).all()


def list_segments(session: Session, *, workspace_id: int, at: int) -> Sequence[AnyRow]:
    """List the segments that are not what they were at a revision."""
    return session.execute(_SEGMENTS, {"workspace_id": workspace_id, "at": at}).all()


def list_keys(session: Session, *, workspace_id: int, at: int) -> Sequence[AnyRow]:
    """List the keys that changed since a revision, as they are and as they were."""
    return session.execute(_KEYS, {"workspace_id": workspace_id, "at": at}).all()


def put_back(
    session: Session,
    *,
    workspace_id: int,
    contents: Mapping[int, Mapping[str, Any]],
    leaving: Sequence[int],
) -> None:
    """Let rows of environments, and API keys that name them, say what they said.

    Names may change places: for a moment all of them stand aside. Those that are leaving give
    up a name that another one gets back.
    """
    names = [content["name"] for content in contents.values()]
    session.execute(
        update(Environment)
        .where(Environment.id.in_(leaving), Environment.name.in_(names))
        .values(name=func.concat("~", Environment.id))
    )
    for environment_id in contents:
        _rename(session, workspace_id, environment_id, f"~{environment_id}")
    for environment_id, content in contents.items():
        _rename(session, workspace_id, environment_id, content["name"])
        session.execute(
            update(Environment)
            .where(Environment.id == environment_id)
            .values({**content, "deleted": False})
        )


def _rename(session: Session, workspace_id: int, environment_id: int, name: str) -> None:
    row = select(Environment.name).where(Environment.id == environment_id)
    before = session.execute(row).scalar_one()
    rename_in_scopes(session, workspace_id=workspace_id, old=before, new=name)
    session.execute(update(Environment).where(Environment.id == environment_id).values(name=name))
