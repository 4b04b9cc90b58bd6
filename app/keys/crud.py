"""SQL of keys: lists, one key, its versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Subquery,
    Text,
    and_,
    cast,
    false,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
    union,
)
from sqlalchemy.orm import Session, aliased

from app.configs.crud import within
from app.configs.levels import GLOBAL
from app.core.db import AnyRow, AnySelect
from app.core.schemas import MAX_ID
from app.models import Config, Environment, Key, KeyVersion, Revision, Service
from app.workspaces.crud import matching
from app.workspaces.scopes import ANY, Scopes

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
        ORDER BY revision DESC LIMIT 1
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

    A search by text takes the first 10,000 names that contain it.
    """
    parts = _parts(session, workspace_id, scopes, filters)
    every = union(*(part.some() for part in parts)).subquery()
    counted = select(every.c.id).limit(TOTAL_CAP).subquery()
    total = session.execute(select(func.count()).select_from(counted)).scalar_one()
    first = union(
        *(part.first(page.offset + page.limit, after=page.after) for part in parts)
    ).subquery()
    found = (
        select(first.c.id)
        .order_by(first.c.name, first.c.id)
        .limit(page.limit)
        .offset(page.offset)
        .subquery()
    )
    statement = select_keys().join(found, found.c.id == Key.id).order_by(Key.name, Key.id)
    return total, session.execute(statement).all()


@dataclass(frozen=True, slots=True)
class Part:
    """Keys that lie in order in an index; a list is merged of such parts.

    `names`: only keys of these names, of which the conditions say nothing. `few`: keys that are
    found by their configs and must be sorted.
    """

    conditions: Sequence[ColumnElement[bool]]
    names: Sequence[str] | None = None
    few: bool = False

    def some(self) -> AnySelect:
        """Select ids, as many as are counted: by the index, whatever the statistics say."""
        keys = _joined(select(Key.id)).where(*self.conditions)
        if self.few:
            found = keys.limit(TOTAL_CAP).subquery()
        elif self.names is None:
            found = keys.order_by(Key.name, Key.id).limit(TOTAL_CAP).subquery()
        else:
            wanted = (
                func.unnest(_array(self.names)).table_valued("name", name="wanted").render_derived()
            )
            one = (
                keys.where(Key.name == wanted.c.name)
                .order_by(Key.name, Key.id)
                .limit(TOTAL_CAP)
                .lateral()
            )
            named = select(one.c.id).select_from(wanted).join(one, true())
            found = named.limit(TOTAL_CAP).subquery()
        return select(found.c.id)

    def first(self, count: int, *, after: tuple[str, int] | None) -> AnySelect:
        """Select the first ids and names after a place."""
        keys = _joined(select(Key.id, Key.name)).where(*self.conditions)
        if after is not None:
            keys = keys.where(tuple_(Key.name, Key.id) > after)
        if self.few:
            # sorting them beats walking all names of the workspace
            found = keys.offset(0).subquery()
        elif self.names is None:
            found = keys.order_by(Key.name, Key.id).limit(count).subquery()
        else:
            found = _of_names(keys, self.names, count, after=after)
        return select(found.c.id, found.c.name)


def _of_names(
    keys: AnySelect, names: Sequence[str], count: int, *, after: tuple[str, int] | None
) -> Subquery:
    """Take the first keys of each name: a name may have as many keys as there are configs."""
    left = [name for name in names if after is None or name >= after[0]]
    wanted = func.unnest(_array(left)).table_valued("name", name="wanted").render_derived()
    one = keys.where(Key.name == wanted.c.name).order_by(Key.name, Key.id).limit(count).lateral()
    return (
        select(one.c.id, one.c.name)
        .select_from(wanted)
        .join(one, true())
        .order_by(one.c.name, one.c.id)
        .limit(count)
        .subquery()
    )


def _array(names: Sequence[str]) -> ColumnElement[Any]:
    return cast(names, ARRAY(Text))


def _joined(statement: AnySelect) -> AnySelect:
    return (
        statement.select_from(Key)
        .outerjoin(Service, Service.id == Key.service_id)
        .outerjoin(Environment, Environment.id == Key.environment_id)
    )


def _parts(session: Session, workspace_id: int, scopes: Scopes, filters: Filters) -> Sequence[Part]:
    conditions = _conditions(workspace_id, filters)
    places: list[list[ColumnElement[bool]]] = [[]]
    if filters.service is not None or not scopes.everywhere:
        ids = _configs(session, workspace_id, scopes, filters.service)
        if len(ids) <= FEW_CONFIGS:
            conditions.append(Key.config_id.in_(ids))
            if filters.text is not None:
                conditions.append(_matches(filters.text, filters.checksums))
            return [Part(conditions, few=True)]
        conditions += _reached(scopes, filters.service)
        if ANY not in scopes.environments:
            reached = _environments(session, workspace_id, scopes)
            places = [[Key.environment_id == number] for number in reached] or [[false()]]
    texts: list[tuple[list[ColumnElement[bool]], Sequence[str] | None]] = [([], None)]
    if filters.text is not None:
        values = {"workspace_id": workspace_id, "text": filters.text, "most": TOTAL_CAP}
        texts = [([Key.checksum == checksum], None) for checksum in {*filters.checksums}]
        texts.append(([], session.scalars(_NAMES, values).all()))
    return [
        Part([*conditions, *place, *of_text], names) for place in places for of_text, names in texts
    ]


def _conditions(workspace_id: int, filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Key.workspace_id == workspace_id,
        Key.value.is_not(None),
    ]
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
    return conditions


def _matches(wanted: str, checksums: Sequence[str]) -> ColumnElement[bool]:
    """Match keys whose name contains a text, or whose value is equal to it."""
    named = func.strpos(func.lower(Key.name.collate("default")), func.lower(wanted)) > 0
    return or_(named, Key.checksum.in_(checksums))


def _reached(scopes: Scopes, service: str | None) -> list[ColumnElement[bool]]:
    wanted = within(scopes, Service.name, Environment.name)
    if service is not None:
        wanted.append(Service.name.is_(None) if service == GLOBAL else Service.name == service)
    return wanted


def _configs(
    session: Session, workspace_id: int, scopes: Scopes, service: str | None
) -> Sequence[int]:
    """Return the configs that a service and scopes leave, one more than few at most."""
    return session.scalars(
        select(Config.id)
        .outerjoin(Service, Service.id == Config.service_id)
        .outerjoin(Environment, Environment.id == Config.environment_id)
        .where(Config.workspace_id == workspace_id, *_reached(scopes, service))
        .limit(FEW_CONFIGS + 1)
    ).all()


def _environments(session: Session, workspace_id: int, scopes: Scopes) -> Sequence[int]:
    return session.scalars(
        select(Environment.id).where(
            Environment.workspace_id == workspace_id,
            Environment.deleted.is_(False),
            matching(Environment.name, scopes.environments),
        )
    ).all()


_NAMES = text(
    """
    SELECT name FROM key_names
    WHERE workspace_id = :workspace_id
        AND strpos(lower(name COLLATE "default"), lower(:text)) > 0
    ORDER BY name LIMIT :most
    """
)


def _versions(key_id: int) -> AnySelect:
    before = aliased(KeyVersion)
    old = select(before.value).where(
        before.key_id == KeyVersion.key_id, before.version == KeyVersion.version - 1
    )
    return (
        select(
            KeyVersion,
            old.scalar_subquery().label("old_value"),
            Revision.at,
            Revision.actor_name,
            Revision.message,
        )
        .join(
            Revision,
            (Revision.workspace_id == KeyVersion.workspace_id)
            & (Revision.n == KeyVersion.revision),
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
