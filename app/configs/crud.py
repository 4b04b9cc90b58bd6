"""SQL of configs: levels and their documents."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    bindparam,
    false,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.configs.levels import GLOBAL, Level
from app.core.db import AnyRow, AnySelect
from app.models import Config, Environment, Object, Revision, Service, Version, Workspace
from app.workspaces.crud import matching
from app.workspaces.scopes import ANY, Scopes

AnyColumn = InstrumentedAttribute[Any] | ColumnElement[Any]


@lru_cache
def at_level(*, service: bool, environment: bool, past: bool = False) -> ColumnElement[bool]:
    """Return the condition that a config is the one of a level, to be used with `level_values`.

    The level's parts are bound by name, so that statements are built once. `past`: where the
    workspace has no such environment any more, the one that was deleted last is meant.
    """
    workspace_id = bindparam("workspace_id", type_=BigInteger)
    service_id = (
        select(Service.id)
        .where(Service.workspace_id == workspace_id, Service.name == bindparam("service"))
        .scalar_subquery()
    )
    environment_id = select(Environment.id).where(
        Environment.workspace_id == workspace_id,
        Environment.name == bindparam("environment"),
        true() if past else Environment.deleted.is_(False),
    )
    if past:
        environment_id = environment_id.order_by(Environment.deleted, Environment.id.desc()).limit(
            1
        )
    return and_(
        Config.workspace_id == workspace_id,
        Config.service_id == service_id if service else Config.service_id.is_(None),
        Config.environment_id == environment_id.scalar_subquery()
        if environment
        else Config.environment_id.is_(None),
    )


def level_values(workspace_id: int, level: Level) -> dict[str, Any]:
    """Return the values for `at_level`."""
    values = {
        "workspace_id": workspace_id,
        "service": level.service,
        "environment": level.environment,
    }
    return {name: value for name, value in values.items() if value is not None}


def shape(level: Level) -> dict[str, bool]:
    """Return which parts a level has, the arguments of `at_level`."""
    return {
        "service": level.service is not None,
        "environment": level.environment is not None,
    }


@lru_cache
def _config_id(*, service: bool, environment: bool) -> AnySelect:
    return select(Config.id).where(at_level(service=service, environment=environment, past=True))


def get_config_id(session: Session, *, workspace_id: int, level: Level) -> int | None:
    """Return the id of the config at a level, deleted or not."""
    return session.scalar(_config_id(**shape(level)), level_values(workspace_id, level))


def get_history_start(session: Session, *, workspace_id: int, level: Level) -> int | None:
    """Return the first revision whose state of a config is known; None without a config."""
    statement = select(Object.history_from).where(
        Object.id == _config_id(**shape(level)).scalar_subquery()
    )
    return session.scalar(statement, level_values(workspace_id, level))


def select_documents() -> AnySelect:
    """Select configs with a version of theirs: join `Version` on the one that is wanted."""
    return (
        select(
            Config.id,
            Config.created_by,
            Service.name.label("service"),
            Environment.name.label("environment"),
            Workspace.slug.label("workspace"),
            Workspace.owner_id,
            Version.version,
            Version.revision,
            Version.content,
            Version.checksum,
            Revision.at.label("updated_at"),
            Revision.actor_name.label("updated_by"),
        )
        .select_from(Config)
        .join(Object, Object.id == Config.id)
        .join(Workspace, Workspace.id == Config.workspace_id)
        .outerjoin(Service, Service.id == Config.service_id)
        .outerjoin(Environment, Environment.id == Config.environment_id)
        .where(Workspace.deleted_at.is_(None))
    )


def _with_revision(statement: AnySelect) -> AnySelect:
    return statement.join(
        Revision,
        (Revision.workspace_id == Version.workspace_id) & (Revision.n == Version.revision),
    )


def current(statement: AnySelect) -> AnySelect:
    """Join the current version; deleted configs fall out."""
    return _with_revision(
        statement.join(
            Version, (Version.object_id == Object.id) & (Version.version == Object.version)
        )
    ).where(Version.content.is_not(None))


def _newest() -> ColumnElement[int]:
    """Select the number of an object's version that was current at the revision `:at`."""
    return (
        select(Version.version)
        .where(Version.object_id == Object.id, Version.revision <= bindparam("at"))
        .order_by(Version.revision.desc())
        .limit(1)
        .correlate(Object)
        .scalar_subquery()
    )


@lru_cache
def _document(*, service: bool, environment: bool, past: bool) -> AnySelect:
    level = at_level(service=service, environment=environment, past=past)
    statement = select_documents().where(level)
    if not past:
        return current(statement)
    newest = _newest()
    return _with_revision(
        statement.join(Version, (Version.object_id == Object.id) & (Version.version == newest))
    ).where(Version.content.is_not(None))


def get_document(
    session: Session, *, workspace_id: int, level: Level, at: int | None = None
) -> AnyRow | None:
    """Return the document of a level, now or as of a revision; None if there was none."""
    values = level_values(workspace_id, level)
    if at is not None:
        values["at"] = at
    statement = _document(**shape(level), past=at is not None)
    return session.connection().execute(statement, values).one_or_none()


@lru_cache
def _levels(*, service: bool, environment: bool, past: bool) -> Any:
    version: ColumnElement[Any] = Object.version.expression
    if past:
        version = _newest()
    parts = []
    for of_service, of_environment in product((False, True), repeat=2):
        if of_service <= service and of_environment <= environment:
            parts.append(
                select(
                    literal(of_service).label("of_service"),
                    literal(of_environment).label("of_environment"),
                    Object.id,
                    Object.history_from,
                    Version.version,
                    Version.revision,
                    Version.content,
                    Version.checksum,
                )
                .select_from(Config)
                .join(Object, Object.id == Config.id)
                .outerjoin(
                    Version, and_(Version.object_id == Object.id, Version.version == version)
                )
                .where(at_level(service=of_service, environment=of_environment, past=past))
            )
    return union_all(*parts)


def list_levels(
    session: Session, *, workspace_id: int, level: Level, at: int | None = None
) -> Sequence[AnyRow]:
    """Return what stands at a level and at all wider ones, widest first, in one query.

    One row per config, deleted ones too; columns of the version are null where there was none
    yet.
    """
    values = level_values(workspace_id, level)
    if at is not None:
        values["at"] = at
    statement = _levels(**shape(level), past=at is not None)
    rows = session.connection().execute(statement, values).all()
    return sorted(rows, key=lambda row: (row.of_service, row.of_environment))


def environment_exists(
    session: Session, *, workspace_id: int, name: str, at: int | None = None
) -> bool:
    """Say whether a workspace has an environment, or (by its present or last name) had it."""
    found = select(Environment.id).where(
        Environment.workspace_id == workspace_id, Environment.name == name
    )
    if at is None:
        return session.scalar(found.where(Environment.deleted.is_(False))) is not None
    environment_id = found.order_by(Environment.deleted, Environment.id.desc()).limit(1)
    state = (
        select(Version.content.is_not(None))
        .where(Version.object_id == environment_id.scalar_subquery(), Version.revision <= at)
        .order_by(Version.revision.desc())
        .limit(1)
    )
    return bool(session.scalar(state))


def list_documents(
    session: Session,
    *,
    workspace_id: int | None,
    scopes: Scopes,
    after: int,
    limit: int,
) -> Sequence[AnyRow]:
    """List current documents by id, of one workspace or (None) of all, as far as scopes reach."""
    statement = current(select_documents()).where(
        Config.id > after, *within(scopes, Service.name, Environment.name)
    )
    if workspace_id is not None:
        statement = statement.where(Config.workspace_id == workspace_id)
    return session.execute(statement.order_by(Config.id).limit(limit)).all()


def within(scopes: Scopes, service: AnyColumn, environment: AnyColumn) -> list[ColumnElement[bool]]:
    """Return the conditions that names (null: all) are covered by a caller's patterns."""
    conditions = []
    for column, patterns, whole in (
        (service, scopes.services, GLOBAL),
        (environment, scopes.environments, None),
    ):
        if ANY not in patterns:
            unnamed = column.is_(None) if whole in patterns else false()
            conditions.append(or_(matching(column, patterns), unnamed))
    return conditions
