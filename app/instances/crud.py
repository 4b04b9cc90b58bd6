"""SQL of instances: one upsert a report, one query a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.configs.crud import within
from app.core.db import AnyRow, AnySelect
from app.models import Config, Environment, Instance, Object, Service, Version
from app.workspaces.scopes import Scopes

MAX_BEHIND = 1000
FORGOTTEN_AFTER = timedelta(hours=24)

_ORDER = (Instance.service, Instance.environment, Instance.instance_id)
_KEY = ("workspace_id", "service", "environment", "instance_id")
_SAID = ("revision", "version", "status", "error", "app_version", "metadata")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; None matches all."""

    service: str | None = None
    environment: str | None = None
    status: str | None = None


def upsert(session: Session, *, limit: int, **values: Any) -> bool:
    """Store a report; say whether there was room for it.

    Instances are counted only for one that is new. New ones that come at the same moment do
    not see each other, so the limit may be passed by as many.
    """
    table = Instance.__table__
    known = exists().where(*(table.c[name] == values[name] for name in _KEY))
    some = select(1).where(Instance.workspace_id == values["workspace_id"]).limit(limit).subquery()
    room = select(func.count()).select_from(some).scalar_subquery() < limit
    names = (*_KEY, *_SAID)
    new = select(*(literal(values[name], table.c[name].type) for name in names))
    statement = insert(Instance).from_select(names, new.where(or_(known, room)))
    said = {name: statement.excluded[name] for name in _SAID}
    done = session.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY, set_={**said, "last_seen": func.now()}
        ).returning(table.c.instance_id)
    )
    return done.first() is not None


def list_instances(
    session: Session,
    *,
    workspace_id: int,
    scopes: Scopes,
    filters: Filters,
    after: tuple[str, ...] | None,
    limit: int,
) -> Sequence[AnyRow]:
    """List instances that scopes reach, each with how many revisions it is `behind`.

    In the order of service, environment and name, after such a place.
    """
    environment = func.nullif(Instance.environment, "")
    page = select(
        *(column for column in Instance.__table__.c if column.name != "metadata"),
        cast(Instance.details, Text).label("metadata"),
    ).where(Instance.workspace_id == workspace_id, *within(scopes, Instance.service, environment))
    wanted = {
        Instance.service: filters.service,
        Instance.environment: filters.environment,
        Instance.status: filters.status,
    }
    page = page.where(*(column == value for column, value in wanted.items() if value is not None))
    if after is not None:
        page = page.where(tuple_(*_ORDER) > after)
    rows = page.order_by(*_ORDER).limit(limit).cte("page")
    places = (rows.c.workspace_id, rows.c.service, rows.c.environment, rows.c.revision)
    counted = select(*places, _behind(rows).label("behind")).group_by(*places).subquery()
    same = and_(*(column == counted.c[column.name] for column in places))
    return session.execute(
        select(rows, counted.c.behind)
        .join(counted, same)
        .order_by(rows.c.service, rows.c.environment, rows.c.instance_id)
    ).all()


def _behind(rows: CTE) -> ColumnElement[int]:
    """Count the revisions after a row's that changed a config of a level which reaches it.

    Looks at four configs at most, from the first version after that revision on, and only at
    as many of the newest versions as are counted: never at what changed for others.
    """
    parts = [
        _changes(rows, of_service=of_service, of_environment=of_environment)
        for of_service, of_environment in product((False, True), repeat=2)
    ]
    every = union_all(*parts).subquery()
    newer = select(every.c.revision).distinct().limit(MAX_BEHIND).subquery()
    return select(func.count()).select_from(newer).scalar_subquery()


def _changes(rows: CTE, *, of_service: bool, of_environment: bool) -> AnySelect:
    service_id = (
        select(Service.id)
        .where(Service.workspace_id == rows.c.workspace_id, Service.name == rows.c.service)
        .correlate(rows)
    )
    environment_id = (
        select(Environment.id)
        .where(
            Environment.workspace_id == rows.c.workspace_id,
            Environment.name == rows.c.environment,
            Environment.deleted.is_(False),
        )
        .correlate(rows)
    )
    config_id = (
        select(Config.id)
        .where(
            Config.workspace_id == rows.c.workspace_id,
            Config.service_id == service_id.scalar_subquery()
            if of_service
            else Config.service_id.is_(None),
            Config.environment_id == environment_id.scalar_subquery()
            if of_environment
            else Config.environment_id.is_(None),
        )
        .correlate(rows)
    )
    later = aliased(Version)
    first = (
        select(later.version)
        .where(later.object_id == Object.id, later.revision > rows.c.revision)
        .order_by(later.revision)
        .limit(1)
        .correlate(rows, Object)
    )
    return (
        select(Version.revision)
        .join(Object, Object.id == Version.object_id)
        .where(
            Object.id == config_id.scalar_subquery(),
            Version.version >= first.scalar_subquery(),
            Version.version > Object.version - MAX_BEHIND,
        )
        .correlate(rows)
    )


def sweep(session: Session) -> None:
    """Delete instances that were not heard of for a day."""
    session.execute(delete(Instance).where(Instance.last_seen < func.now() - FORGOTTEN_AFTER))
