"""SQL of configs: levels and their documents."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, select
from sqlalchemy.orm import Session

from app.configs.levels import Level
from app.core.db import AnyRow, AnySelect
from app.models import Config, Environment, Object, Revision, Service, Version, Workspace


@lru_cache
def at_level(*, service: bool, environment: bool) -> ColumnElement[bool]:
    """Return the condition that a config is the one of a level, to be used with `level_values`.

    The level's parts are bound by name, so that statements are built once.
    """
    workspace_id = bindparam("workspace_id", type_=BigInteger)
    service_id = (
        select(Service.id)
        .where(Service.workspace_id == workspace_id, Service.name == bindparam("service"))
        .scalar_subquery()
    )
    environment_id = (
        select(Environment.id)
        .where(
            Environment.workspace_id == workspace_id,
            Environment.name == bindparam("environment"),
        )
        .scalar_subquery()
    )
    return and_(
        Config.workspace_id == workspace_id,
        Config.service_id == service_id if service else Config.service_id.is_(None),
        Config.environment_id == environment_id if environment else Config.environment_id.is_(None),
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
    return select(Config.id).where(at_level(service=service, environment=environment))


def get_config_id(session: Session, *, workspace_id: int, level: Level) -> int | None:
    """Return the id of the config at a level, deleted or not."""
    return session.scalar(_config_id(**shape(level)), level_values(workspace_id, level))


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


@lru_cache
def _document(*, service: bool, environment: bool, past: bool) -> AnySelect:
    statement = select_documents().where(at_level(service=service, environment=environment))
    if not past:
        return current(statement)
    newest = (
        select(Version.version)
        .where(Version.object_id == Object.id, Version.revision <= bindparam("at"))
        .order_by(Version.version.desc())
        .limit(1)
        .correlate(Object)
        .scalar_subquery()
    )
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


def list_documents(
    session: Session, *, workspace_id: int | None, after: int, limit: int
) -> Sequence[AnyRow]:
    """List current documents by id, of one workspace or (None) of all."""
    statement = current(select_documents()).where(Config.id > after)
    if workspace_id is not None:
        statement = statement.where(Config.workspace_id == workspace_id)
    return session.execute(statement.order_by(Config.id).limit(limit)).all()
