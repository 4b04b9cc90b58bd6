"""SQL of the audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, false, func, or_, select, tuple_
from sqlalchemy.orm import Session

from app.core.db import AnyRow, AnySelect
from app.models import Event, KeyVersion, Member, ReadCount, Version, Workspace

TOTAL_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; None matches all."""

    entity_type: str | None = None
    entity_id: str | None = None
    outcome: str | None = None
    action: str | None = None
    user_id: int | None = None
    app_id: str | None = None
    environment: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: a user, or whoever is confined to one workspace. Neither: sees everything."""

    user_id: int | None = None
    workspace_id: int | None = None


def visible_to(viewer: Viewer, table: type[Event | ReadCount]) -> list[ColumnElement[bool]]:
    """Return the conditions for what a viewer may see.

    A user: the own acts, and workspaces that the user administers.
    """
    if viewer.workspace_id is not None:
        return [table.workspace_id == viewer.workspace_id]
    if viewer.user_id is None:
        return []
    administered = select(Member.workspace_id).where(
        Member.user_id == viewer.user_id, Member.role.in_(("admin", "owner"))
    )
    return [or_(table.actor_id == viewer.user_id, table.workspace_id.in_(administered))]


def _conditions(filters: Filters, viewer: Viewer) -> list[ColumnElement[bool]]:
    wanted = {
        Event.resource_type: filters.entity_type,
        Event.resource_id: filters.entity_id,
        Event.action: filters.action,
        Event.outcome: filters.outcome,
        Event.actor_id: filters.user_id,
        Event.service: filters.app_id,
        Event.environment: filters.environment,
    }
    conditions = [column == value for column, value in wanted.items() if value is not None]
    if filters.since is not None:
        conditions.append(Event.at >= filters.since)
    if filters.until is not None:
        conditions.append(Event.at <= filters.until)
    return conditions + visible_to(viewer, Event)


def _events() -> AnySelect:
    return select(Event, Workspace.slug).outerjoin(Workspace, Workspace.id == Event.workspace_id)


def list_events(
    session: Session, *, filters: Filters, viewer: Viewer, limit: int, offset: int
) -> tuple[int, Sequence[AnyRow]]:
    """Return how many events match (10,000 at most are counted) and a page, newest first."""
    conditions = _conditions(filters, viewer)
    capped = select(Event.id).where(*conditions).limit(TOTAL_CAP).subquery()
    total = session.execute(select(func.count()).select_from(capped)).scalar_one()
    page = _events().where(*conditions).order_by(Event.id.desc()).limit(limit).offset(offset)
    return total, session.execute(page).all()


def get_event(session: Session, *, event_id: int, viewer: Viewer) -> AnyRow | None:
    """Return an event that the viewer may see."""
    statement = _events().where(Event.id == event_id, *visible_to(viewer, Event))
    return session.execute(statement).one_or_none()


def list_reads(
    session: Session, *, filters: Filters, viewer: Viewer, limit: int, offset: int
) -> tuple[int, Sequence[AnyRow]]:
    """Return counted reads, newest minute first."""
    conditions = visible_to(viewer, ReadCount)
    if filters.user_id is not None:
        conditions.append(ReadCount.actor_id == filters.user_id)
    if filters.since is not None:
        conditions.append(ReadCount.minute >= filters.since)
    if filters.until is not None:
        conditions.append(ReadCount.minute <= filters.until)
    if filters.entity_type is not None:
        conditions.append(ReadCount.resource_type == filters.entity_type)
    if filters.entity_id is not None or filters.outcome not in {None, "success"}:
        conditions.append(false())
    place = func.split_part(ReadCount.resource, " ", 1)
    if filters.app_id is not None:
        conditions.append(func.split_part(place, "@", 1) == filters.app_id)
    if filters.environment is not None:
        conditions.append(func.split_part(place, "@", 2) == filters.environment)
    capped = select(ReadCount.minute).where(*conditions).limit(TOTAL_CAP).subquery()
    total = session.execute(select(func.count()).select_from(capped)).scalar_one()
    page = (
        select(ReadCount, Workspace.slug)
        .join(Workspace, Workspace.id == ReadCount.workspace_id)
        .where(*conditions)
        .order_by(ReadCount.minute.desc(), ReadCount.resource, ReadCount.actor_name)
        .limit(limit)
        .offset(offset)
    )
    return total, session.execute(page).all()


def list_contents(
    session: Session, *, pairs: Sequence[tuple[int, int]], longest: int
) -> dict[tuple[int, int], str | None]:
    """Return the contents of (object, version) pairs; those longer than `longest` are left out."""
    if not pairs:
        return {}
    rows = session.execute(
        select(Version.object_id, Version.version, Version.content).where(
            or_(
                *(
                    and_(Version.object_id == object_id, Version.version == version)
                    for object_id, version in pairs
                )
            ),
            or_(Version.content.is_(None), func.octet_length(Version.content) <= longest),
        )
    )
    return {(row.object_id, row.version): row.content for row in rows}


def list_key_versions(
    session: Session, *, pairs: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bool]:
    """Return, of (key, version) pairs that exist, whether the key had a value then."""
    if not pairs:
        return {}
    rows = session.execute(
        select(
            KeyVersion.key_id, KeyVersion.version, KeyVersion.value.is_not(None).label("valued")
        ).where(tuple_(KeyVersion.key_id, KeyVersion.version).in_(pairs))
    )
    return {(row.key_id, row.version): row.valued for row in rows}
