"""SQL of flags and segments: names, and what stands in an environment."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core.db import AnyRow, AnySelect
from app.models import Environment, Flag, FlagName, Object, Revision, Segment, Version

SALT_BYTES = 8


def claim_name(session: Session, *, workspace_id: int, name: str, kind: str) -> FlagName:
    """Return the row of a flag's name, which is made with this type if there is none."""
    salt = secrets.token_hex(SALT_BYTES)
    session.execute(
        insert(FlagName)
        .values(workspace_id=workspace_id, name=name, type=kind, salt=salt)
        .on_conflict_do_nothing()
    )
    return session.execute(
        select(FlagName).where(FlagName.workspace_id == workspace_id, FlagName.name == name)
    ).scalar_one()


def lock_rules(session: Session, *, workspace_id: int) -> None:
    """Let one transaction at a time change flags or segments, which must fit together."""
    lock = func.hashtextextended(f"rules:{workspace_id}", 0)
    session.execute(select(func.pg_advisory_xact_lock(lock)))


def _version_at(at: int | None) -> ColumnElement[bool]:
    """Return what joins an object's version of now, or of a revision."""
    if at is None:
        number: Any = Object.version
    else:
        number = (
            select(Version.version)
            .where(Version.object_id == Object.id, Version.revision <= at)
            .order_by(Version.revision.desc())
            .limit(1)
            .correlate(Object)
            .scalar_subquery()
        )
    return and_(Version.object_id == Object.id, Version.version == number)


def select_flags(at: int | None = None) -> AnySelect:
    """Select flags that exist, now or as of a revision, with their contents and places."""
    return (
        select(
            Flag.id,
            FlagName.name,
            FlagName.type,
            FlagName.salt,
            Environment.name.label("environment"),
            Version.content,
            Version.version,
            Version.revision,
            Object.history_from,
            Flag.created_at,
            Revision.at.label("updated_at"),
        )
        .join(FlagName, FlagName.id == Flag.name_id)
        .join(Environment, Environment.id == Flag.environment_id)
        .join(Object, Object.id == Flag.id)
        .join(Version, _version_at(at))
        .join(
            Revision,
            (Revision.workspace_id == Version.workspace_id) & (Revision.n == Version.revision),
        )
        .where(Version.content.is_not(None))
    )


def get_flag(
    session: Session, *, workspace_id: int, name: str, environment: str, at: int | None = None
) -> AnyRow | None:
    """Return a flag by name and environment."""
    return session.execute(
        select_flags(at).where(
            Flag.workspace_id == workspace_id,
            FlagName.name == name,
            Environment.name == environment,
            Environment.deleted.is_(False),
        )
    ).one_or_none()


def is_pruned(
    session: Session, *, workspace_id: int, at: int, environments: Sequence[str] | None
) -> bool:
    """Say whether flags of some environments, or of all, lost versions of a revision."""
    lost = (
        select(Flag.id)
        .join(Object, Object.id == Flag.id)
        .join(Environment, Environment.id == Flag.environment_id)
        .where(Flag.workspace_id == workspace_id, Object.history_from > at)
    )
    if environments is not None:
        lost = lost.where(Environment.name.in_(environments))
    return bool(session.scalar(select(lost.exists())))


def get_flag_by_id(session: Session, *, workspace_id: int, flag_id: int) -> AnyRow | None:
    """Return a flag by id."""
    return session.execute(
        select_flags().where(Flag.workspace_id == workspace_id, Flag.id == flag_id)
    ).one_or_none()


def list_flags_by_id(
    session: Session, *, workspace_id: int, flag_ids: Sequence[int]
) -> dict[int, AnyRow]:
    """Return flags by id; deleted ones are left out."""
    rows = session.execute(
        select_flags().where(Flag.workspace_id == workspace_id, Flag.id.in_(flag_ids))
    )
    return {row.id: row for row in rows}


def get_place(session: Session, *, workspace_id: int, flag_id: int) -> AnyRow | None:
    """Return name and environment of a flag, also of a deleted one."""
    return session.execute(
        select(Flag.id, FlagName.name, Environment.name.label("environment"))
        .join(FlagName, FlagName.id == Flag.name_id)
        .join(Environment, Environment.id == Flag.environment_id)
        .where(Flag.workspace_id == workspace_id, Flag.id == flag_id)
    ).one_or_none()


def list_flags(
    session: Session,
    *,
    workspace_id: int,
    environments: Sequence[str] | None,
    at: int | None = None,
) -> Sequence[AnyRow]:
    """List all flags of some environments, or of all, by name."""
    statement = select_flags(at).where(
        Flag.workspace_id == workspace_id, Environment.deleted.is_(False)
    )
    if environments is not None:
        statement = statement.where(Environment.name.in_(environments))
    return session.execute(statement.order_by(FlagName.name, Environment.name)).all()


def select_segments(at: int | None = None) -> AnySelect:
    """Select segments that exist, now or as of a revision, with their contents."""
    return (
        select(Segment.id, Segment.name, Version.content, Version.version, Version.revision)
        .join(Object, Object.id == Segment.id)
        .join(Version, _version_at(at))
        .where(Version.content.is_not(None))
    )


def list_segments(
    session: Session, *, workspace_id: int, at: int | None = None
) -> Sequence[AnyRow]:
    """List all segments by name."""
    return session.execute(
        select_segments(at).where(Segment.workspace_id == workspace_id).order_by(Segment.name)
    ).all()


def list_environments_with_flags(session: Session, *, workspace_id: int) -> list[str]:
    """List the names of environments in which there are flags."""
    return list(
        session.scalars(
            select(Environment.name)
            .join(Flag, Flag.environment_id == Environment.id)
            .join(Object, Object.id == Flag.id)
            .where(Flag.workspace_id == workspace_id, Object.checksum.is_not(None))
            .distinct()
        )
    )


def list_segments_by_id(
    session: Session, *, workspace_id: int, segment_ids: Sequence[int]
) -> dict[int, AnyRow]:
    """Return segments by id; deleted ones are left out."""
    rows = session.execute(
        select_segments().where(Segment.workspace_id == workspace_id, Segment.id.in_(segment_ids))
    )
    return {row.id: row for row in rows}


def get_segment(session: Session, *, workspace_id: int, name: str) -> AnyRow | None:
    """Return a segment by name."""
    return session.execute(
        select_segments().where(Segment.workspace_id == workspace_id, Segment.name == name)
    ).one_or_none()
