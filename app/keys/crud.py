"""SQL of keys: lists, one key, its versions."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select, text, tuple_
from sqlalchemy.orm import Session, aliased

from app.configs.crud import within
from app.configs.levels import GLOBAL
from app.core.db import AnyRow, AnySelect
from app.core.schemas import MAX_ID
from app.models import Config, Environment, Key, KeyVersion, Revision, Service
from app.workspaces.scopes import Scopes

TOTAL_CAP = 10_000
FEW_CONFIGS = 200
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; None matches all. `service` may be `_global`."""

    service: str | None = None
    environment: str | None = None
    is_active: bool | None = None
    name: str | None = None
    prefix: str | None = None
    text: str | None = None
    checksums: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: after a key's (name, id), or from an offset on."""

    limit: int
    offset: int = 0
    after: tuple[str, int] | None = None


def select_keys() -> AnySelect:
    """Select keys with the names of their level."""
    return (
        select(Key, Service.name.label("service"), Environment.name.label("environment"))
        .outerjoin(Service, Service.id == Key.service_id)
        .outerjoin(Environment, Environment.id == Key.environment_id)
    )


def get_key(
    session: Session, *, workspace_id: int, scopes: Scopes, key_id: int, deleted: bool = False
) -> AnyRow | None:
    """Return a key that the scopes reach, by id; one that is deleted only if asked for."""
    statement = select_keys().where(
        Key.workspace_id == workspace_id,
        Key.id == key_id,
        *within(scopes, Service.name, Environment.name),
    )
    if not deleted:
        statement = statement.where(Key.value.is_not(None))
    return session.execute(statement).one_or_none()


_HOLDER = text(
    """
    SELECT k.id, v.version, v.description, k.created_at, r.at AS updated_at
    FROM keys AS k
    CROSS JOIN LATERAL (
        SELECT version, revision, description, value, is_active FROM key_versions
        WHERE key_id = k.id AND revision <= :at
        ORDER BY version DESC LIMIT 1
    ) AS v
    JOIN revisions AS r ON r.workspace_id = k.workspace_id AND r.n = v.revision
    WHERE k.config_id = :config_id AND k.name = :name
        AND v.value IS NOT NULL AND v.is_active
    """
)


def get_holder(session: Session, *, config_id: int, name: str, at: int | None) -> AnyRow | None:
    """Return the active key of a config of a name, as of a revision."""
    values = {"config_id": config_id, "name": name, "at": MAX_ID if at is None else at}
    return session.execute(_HOLDER, values).one_or_none()


def list_keys(
    session: Session, *, workspace_id: int, scopes: Scopes, filters: Filters, page: Page
) -> tuple[int, Sequence[AnyRow]]:
    """Return how many live keys match (10,000 at most are counted) and a page by name and id.

    A search by text looks at the first 10,000 names, and at 10,000 keys of a name or value.
    """
    conditions = _conditions(session, workspace_id, scopes, filters)
    total = session.execute(
        select(func.count()).select_from(
            _joined(select(Key.id)).where(*conditions).limit(TOTAL_CAP).subquery()
        )
    ).scalar_one()
    if page.after is not None:
        conditions.append(tuple_(Key.name, Key.id) > page.after)
    ids = _joined(select(Key.id, Key.name)).where(*conditions)
    if filters.service is not None or not scopes.everywhere:
        # few rows, found by their configs: sorting them beats walking all names of the workspace
        found = ids.offset(0).subquery()
    else:
        found = ids.order_by(Key.name, Key.id).limit(page.limit).offset(page.offset).subquery()
    statement = select_keys().join(found, found.c.id == Key.id).order_by(Key.name, Key.id)
    if filters.service is not None or not scopes.everywhere:
        statement = statement.limit(page.limit).offset(page.offset)
    return total, session.execute(statement).all()


def _joined(statement: AnySelect) -> AnySelect:
    return (
        statement.select_from(Key)
        .outerjoin(Service, Service.id == Key.service_id)
        .outerjoin(Environment, Environment.id == Key.environment_id)
    )


def _conditions(
    session: Session, workspace_id: int, scopes: Scopes, filters: Filters
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Key.workspace_id == workspace_id,
        Key.value.is_not(None),
    ]
    if filters.service is not None or not scopes.everywhere:
        conditions += _reached(session, workspace_id, scopes, filters.service)
    if filters.environment is not None:
        conditions.append(
            Key.environment_id
            == select(Environment.id)
            .where(
                Environment.workspace_id == workspace_id,
                Environment.name == filters.environment,
                Environment.deleted.is_(False),
            )
            .scalar_subquery()
        )
    if filters.is_active is not None:
        conditions.append(Key.is_active.is_(filters.is_active))
    if filters.name is not None:
        conditions.append(Key.name == filters.name)
    if filters.prefix:
        conditions.append(
            and_(Key.name >= filters.prefix, Key.name < filters.prefix + LAST_CHARACTER)
        )
    if filters.text is not None:
        conditions.append(_matches(session, workspace_id, filters.text, filters.checksums))
    return conditions


def _reached(
    session: Session, workspace_id: int, scopes: Scopes, service: str | None
) -> list[ColumnElement[bool]]:
    """Narrow to a service and to what scopes reach: by config when that are few."""
    wanted = within(scopes, Service.name, Environment.name)
    if service is not None:
        wanted.append(Service.name.is_(None) if service == GLOBAL else Service.name == service)
    configs = (
        select(Config.id)
        .outerjoin(Service, Service.id == Config.service_id)
        .outerjoin(Environment, Environment.id == Config.environment_id)
        .where(Config.workspace_id == workspace_id, *wanted)
        .limit(FEW_CONFIGS + 1)
    )
    ids = session.scalars(configs).all()
    return [Key.config_id.in_(ids)] if len(ids) <= FEW_CONFIGS else wanted


_NAMES = text(
    """
    WITH RECURSIVE known (name, n) AS (
        (SELECT name, 1 FROM keys WHERE workspace_id = :workspace_id AND value IS NOT NULL
         ORDER BY name LIMIT 1)
        UNION ALL
        SELECT (SELECT name FROM keys
                WHERE workspace_id = :workspace_id AND value IS NOT NULL AND name > known.name
                ORDER BY name LIMIT 1), n + 1
        FROM known WHERE known.name IS NOT NULL AND n < :most
    )
    SELECT name FROM known
    WHERE name IS NOT NULL AND position(lower(:text) IN lower(name COLLATE "default")) > 0
    """
)


def _matches(
    session: Session, workspace_id: int, wanted: str, checksums: Sequence[str]
) -> ColumnElement[bool]:
    """Match keys whose name contains a text, or whose value is equal to it."""
    names = session.scalars(
        _NAMES, {"workspace_id": workspace_id, "text": wanted, "most": TOTAL_CAP}
    ).all()
    live = (Key.workspace_id == workspace_id, Key.value.is_not(None))
    named = (
        select(Key.id).where(*live, Key.name.in_(names)).order_by(Key.name, Key.id).limit(TOTAL_CAP)
    )
    valued = select(Key.id).where(*live, Key.checksum.in_(checksums)).limit(TOTAL_CAP)
    return or_(
        Key.id.in_(select(named.subquery().c.id)), Key.id.in_(select(valued.subquery().c.id))
    )


def _versions(key_id: int) -> AnySelect:
    before = aliased(KeyVersion)
    return (
        select(
            KeyVersion,
            before.value.label("old_value"),
            Revision.at,
            Revision.actor_name,
            Revision.message,
        )
        .join(
            Revision,
            (Revision.workspace_id == KeyVersion.workspace_id)
            & (Revision.n == KeyVersion.revision),
        )
        .outerjoin(
            before,
            (before.key_id == KeyVersion.key_id) & (before.version == KeyVersion.version - 1),
        )
        .where(KeyVersion.key_id == key_id)
    )


def list_versions(
    session: Session, *, key_id: int, before: int, limit: int, offset: int = 0
) -> Sequence[AnyRow]:
    """List versions of a key below a number, newest first, each with the value before it."""
    return session.execute(
        _versions(key_id)
        .where(KeyVersion.version < before)
        .order_by(KeyVersion.version.desc())
        .limit(limit)
        .offset(offset)
    ).all()


def count_versions(session: Session, *, key_id: int) -> int:
    """Count the versions of a key that are kept, 10,000 at most."""
    some = select(KeyVersion.id).where(KeyVersion.key_id == key_id).limit(TOTAL_CAP).subquery()
    return session.execute(select(func.count()).select_from(some)).scalar_one()


def get_version(session: Session, *, key_id: int, version: int) -> AnyRow | None:
    """Return a version of a key."""
    return session.execute(
        select(
            KeyVersion.value,
            KeyVersion.value_type,
            KeyVersion.is_active,
        ).where(KeyVersion.key_id == key_id, KeyVersion.version == version)
    ).one_or_none()
