"""SQL of the write pipeline: finding, locking and creating what is changed."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, bindparam, exists, func, insert, or_, select, text, tuple_, update
from sqlalchemy.orm import Session

from app.changes.plan import FlagTarget, SegmentTarget, StoredKey
from app.configs.crud import at_level, level_values, shape
from app.configs.levels import Level
from app.core.db import AnyRow, AnySelect
from app.models import (
    Config,
    Environment,
    Flag,
    FlagName,
    Key,
    Kind,
    Object,
    Segment,
    Service,
)

_STATE = (Object.id, Object.version, Object.revision, Object.checksum)
_PROTECTED = func.coalesce(Environment.protected, False).label("protected")
LOCKED_CONFIG = (*_STATE, Config.created_by, _PROTECTED)
LOCKED = (
    *_STATE,
    func.coalesce(Config.created_by, Flag.created_by, Segment.created_by).label("created_by"),
    _PROTECTED,
)

PASSED = (
    select(
        func.pg_advisory_xact_lock_shared(
            func.hashtextextended(func.concat("gate:", bindparam("workspace_id")), 0)
        ).cast(Text)
    )
    .scalar_subquery()
    .is_not(None)
)
"""True, once this transaction is through the workspace's gate (see `close_gate`)."""


def pass_gate(session: Session, *, workspace_id: int) -> None:
    """Wait while somebody puts the whole workspace back."""
    session.execute(select(PASSED), {"workspace_id": workspace_id})


def close_gate(session: Session, *, workspace_id: int) -> None:
    """Wait for the changes that are under way, and hold up those to come until the end."""
    gate = func.hashtextextended(f"gate:{workspace_id}", 0)
    session.execute(select(func.pg_advisory_xact_lock(gate)))


FIND_CONFIGS = text(
    """
    SELECT wanted.place, c.id
    FROM unnest(CAST(:services AS text[]), CAST(:environments AS text[]))
        WITH ORDINALITY AS wanted (service, environment, place)
    LEFT JOIN services AS s ON s.workspace_id = :workspace_id AND s.name = wanted.service
    LEFT JOIN environments AS e
        ON e.workspace_id = :workspace_id AND e.name = wanted.environment AND NOT e.deleted
    CROSS JOIN LATERAL (
        SELECT id FROM configs
        WHERE workspace_id = :workspace_id AND service_id = s.id AND environment_id = e.id
            AND wanted.service IS NOT NULL AND wanted.environment IS NOT NULL
        UNION ALL
        SELECT id FROM configs
        WHERE workspace_id = :workspace_id AND service_id = s.id AND environment_id IS NULL
            AND wanted.service IS NOT NULL AND wanted.environment IS NULL
        UNION ALL
        SELECT id FROM configs
        WHERE workspace_id = :workspace_id AND service_id IS NULL AND environment_id = e.id
            AND wanted.service IS NULL AND wanted.environment IS NOT NULL
        UNION ALL
        SELECT id FROM configs
        WHERE workspace_id = :workspace_id AND service_id IS NULL AND environment_id IS NULL
            AND wanted.service IS NULL AND wanted.environment IS NULL
    ) AS c
    """
)


def find_configs(
    session: Session, *, workspace_id: int, levels: Sequence[Level]
) -> dict[Level, int]:
    """Return the ids of the configs that exist (deleted ones too), without locking."""
    rows = session.execute(
        FIND_CONFIGS,
        {
            "workspace_id": workspace_id,
            "services": [level.service for level in levels],
            "environments": [level.environment for level in levels],
        },
    ).all()
    return {levels[row.place - 1]: row.id for row in rows}


def find_environments(
    session: Session, *, workspace_id: int, names: Sequence[str]
) -> dict[str, int]:
    """Return the ids of environments by name; where there is none, of the one deleted last."""
    rows = session.execute(
        select(Environment.name, Environment.id)
        .where(Environment.workspace_id == workspace_id, Environment.name.in_(names))
        .order_by(Environment.deleted.desc(), Environment.id)
    )
    return {row.name: row.id for row in rows}


def find_flags(
    session: Session, *, workspace_id: int, targets: Sequence[FlagTarget]
) -> dict[FlagTarget, int]:
    """Return the ids of the flags that exist (deleted ones too), without locking."""
    places = [(target.flag, target.environment) for target in targets]
    rows = session.execute(
        select(Flag.id, FlagName.name, Environment.name.label("environment"))
        .join(FlagName, FlagName.id == Flag.name_id)
        .join(Environment, Environment.id == Flag.environment_id)
        .where(
            Flag.workspace_id == workspace_id,
            Environment.deleted.is_(False),
            tuple_(FlagName.name, Environment.name).in_(places),
        )
    )
    return {FlagTarget(row.name, row.environment): row.id for row in rows}


def find_segments(
    session: Session, *, workspace_id: int, targets: Sequence[SegmentTarget]
) -> dict[SegmentTarget, int]:
    """Return the ids of the segments that exist (deleted ones too), without locking."""
    rows = session.execute(
        select(Segment.name, Segment.id).where(
            Segment.workspace_id == workspace_id,
            Segment.name.in_([target.segment for target in targets]),
        )
    )
    return {SegmentTarget(row.name): row.id for row in rows}


def create_flag(
    session: Session, *, workspace_id: int, target: FlagTarget, created_by: int | None
) -> int:
    """Insert the object and the place of a new flag, whose name is there; return its id."""
    object_id = create_object(session, workspace_id=workspace_id, kind=Kind.FLAG)
    name = select(FlagName.id).where(
        FlagName.workspace_id == workspace_id, FlagName.name == target.flag
    )
    environment = select(Environment.id).where(
        Environment.workspace_id == workspace_id,
        Environment.name == target.environment,
        Environment.deleted.is_(False),
    )
    session.execute(
        insert(Flag).values(
            id=object_id,
            workspace_id=workspace_id,
            name_id=name.scalar_subquery(),
            environment_id=environment.scalar_subquery(),
            created_by=created_by,
        )
    )
    return object_id


def create_segment(
    session: Session, *, workspace_id: int, target: SegmentTarget, created_by: int | None
) -> int:
    """Insert the object and the row of a new segment; return its id."""
    object_id = create_object(session, workspace_id=workspace_id, kind=Kind.SEGMENT)
    values = {"id": object_id, "workspace_id": workspace_id, "name": target.segment}
    session.execute(insert(Segment).values(**values, created_by=created_by))
    return object_id


def _locked() -> AnySelect:
    return (
        select(*LOCKED)
        .outerjoin(Config, Config.id == Object.id)
        .outerjoin(Flag, Flag.id == Object.id)
        .outerjoin(Segment, Segment.id == Object.id)
        .outerjoin(
            Environment,
            Environment.id == func.coalesce(Config.environment_id, Flag.environment_id, Object.id),
        )
        .with_for_update(of=Object)
    )


def lock_objects(session: Session, *, ids: Sequence[int]) -> Sequence[AnyRow]:
    """Lock objects in ascending order of their ids and return them as they are then."""
    return session.execute(_locked().where(Object.id.in_(ids)).order_by(Object.id)).all()


@lru_cache
def _lock_config(*, service: bool, environment: bool) -> AnySelect:
    return (
        select(*LOCKED_CONFIG)
        .join(Config, Config.id == Object.id)
        .outerjoin(Environment, Environment.id == Config.environment_id)
        .where(at_level(service=service, environment=environment), PASSED)
        .with_for_update(of=Object)
    )


def lock_config(session: Session, *, workspace_id: int, level: Level) -> AnyRow | None:
    """Find and lock one config in one statement, behind the gate."""
    return (
        session.connection()
        .execute(_lock_config(**shape(level)), level_values(workspace_id, level))
        .one_or_none()
    )


_LOCK_ADDRESSES = text(
    """
    SELECT CASE WHEN :alone THEN pg_advisory_xact_lock(2, hashtext(:workspace))
                ELSE pg_advisory_xact_lock_shared(2, hashtext(:workspace)) END,
        (SELECT count(pg_advisory_xact_lock(hashtextextended(address, 0)))
         FROM unnest(CAST(:addresses AS text[])) AS address)
    """
)


def lock_addresses(
    session: Session, *, workspace_id: int, addresses: Sequence[str], alone: bool
) -> None:
    """Let one transaction at a time create what has these addresses; alone: anything at all.

    Addresses are locked in the order in which they are given.
    """
    values = {"workspace": str(workspace_id), "addresses": list(addresses), "alone": alone}
    session.execute(_LOCK_ADDRESSES, values)


def get_keys(session: Session, *, config_ids: Sequence[int]) -> dict[int, dict[str, StoredKey]]:
    """Return the keys of configs by config and name, deleted ones too; values only if parked."""
    found: dict[int, dict[str, StoredKey]] = {config_id: {} for config_id in config_ids}
    rows = session.connection().execute(_GET_KEYS, {"config_ids": list(config_ids)})
    for config_id, *rest in rows:
        key = StoredKey(*rest)
        found[config_id][key.name] = key
    return found


_GET_KEYS = text(
    """
    SELECT config_id, id, name, version, revision, checksum, value_type, description, is_active,
        coalesce(left(value, 11) = '{"$secret":', false),
        coalesce(strpos(value, '{"$secret":') > 0, false),
        CASE WHEN NOT is_active THEN value END, created_at, created_by, updated_at, updated_by
    FROM keys WHERE config_id = ANY (:config_ids)
    """
)


def hold_environments(
    session: Session, *, workspace_id: int, names: Sequence[str]
) -> Sequence[AnyRow]:
    """Return environments, which cannot be deleted until this transaction ends."""
    return session.execute(
        select(Environment.name, Environment.protected)
        .where(
            Environment.workspace_id == workspace_id,
            Environment.name.in_(names),
            Environment.deleted.is_(False),
        )
        .order_by(Environment.id)
        .with_for_update(read=True)
    ).all()


def count_services(session: Session, *, workspace_id: int, limit: int) -> int:
    """Count the services of a workspace, up to a limit."""
    some = select(Service.id).where(Service.workspace_id == workspace_id).limit(limit).subquery()
    return session.execute(select(func.count()).select_from(some)).scalar_one()


_CREATE_SERVICES = text(
    """
    INSERT INTO services (workspace_id, name)
    SELECT :workspace_id, name FROM unnest(CAST(:names AS text[])) AS name
    WHERE NOT EXISTS (
        SELECT FROM services AS s WHERE s.workspace_id = :workspace_id AND s.name = name.name
    )
    ORDER BY name
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)


def create_services(session: Session, *, workspace_id: int, names: Sequence[str]) -> int:
    """Insert the services that do not exist yet; return how many those were."""
    if not names:
        return 0
    values = {"workspace_id": workspace_id, "names": list(names)}
    return len(session.execute(_CREATE_SERVICES, values).all())


def create_object(session: Session, *, workspace_id: int, kind: Kind) -> int:
    """Insert an object at version 0; return its id."""
    return session.execute(
        insert(Object).values(workspace_id=workspace_id, kind=kind).returning(Object.id)
    ).scalar_one()


_CREATE_CONFIGS = text(
    """
    WITH wanted AS (
        SELECT nextval(pg_get_serial_sequence('objects', 'id')) AS id, w.place,
            s.id AS service_id, e.id AS environment_id
        FROM unnest(CAST(:services AS text[]), CAST(:environments AS text[]))
            WITH ORDINALITY AS w (service, environment, place)
        LEFT JOIN services AS s ON s.workspace_id = :workspace_id AND s.name = w.service
        LEFT JOIN environments AS e
            ON e.workspace_id = :workspace_id AND e.name = w.environment AND NOT e.deleted
    ), made AS (
        INSERT INTO objects (id, workspace_id, kind)
        SELECT id, :workspace_id, 'config' FROM wanted
    ), placed AS (
        INSERT INTO configs (id, workspace_id, service_id, environment_id, created_by)
        SELECT id, :workspace_id, service_id, environment_id, :created_by FROM wanted
    )
    SELECT id FROM wanted ORDER BY place
    """
)


def create_configs(
    session: Session, *, workspace_id: int, levels: Sequence[Level], created_by: int | None
) -> list[int]:
    """Insert objects and levels of new configs, version 0; return their ids in order.

    Services and environments exist.
    """
    values = {
        "workspace_id": workspace_id,
        "services": [level.service for level in levels],
        "environments": [level.environment for level in levels],
        "created_by": created_by,
    }
    return list(session.scalars(_CREATE_CONFIGS, values))


def create_environment(session: Session, *, workspace_id: int, name: str) -> int:
    """Insert the object and the row of a new environment; return its id."""
    object_id = create_object(session, workspace_id=workspace_id, kind=Kind.ENVIRONMENT)
    session.execute(insert(Environment).values(id=object_id, workspace_id=workspace_id, name=name))
    return object_id


def update_environment(
    session: Session, *, environment_id: int, content: Mapping[str, Any]
) -> None:
    """Let the row of an environment say what its new version says."""
    session.execute(
        update(Environment)
        .where(Environment.id == environment_id)
        .values({"deleted": False, **content})
    )


def clear_names(session: Session, *, environment_ids: Sequence[int]) -> None:
    """Take the names from environments that get new ones in this transaction."""
    session.execute(
        update(Environment)
        .where(Environment.id.in_(environment_ids))
        .values(name=func.concat("~", Environment.id))
    )


def count_configs(
    session: Session, *, workspace_id: int, environment_id: int, but: Sequence[int]
) -> int:
    """Count the configs that have content or keys in an environment, some left out."""
    return session.execute(
        select(func.count())
        .select_from(Config)
        .join(Object, Object.id == Config.id)
        .where(
            Config.workspace_id == workspace_id,
            Config.environment_id == environment_id,
            or_(
                Object.checksum.is_not(None),
                exists().where(Key.config_id == Config.id, Key.value.is_not(None)),
            ),
            Config.id.not_in(but),
        )
    ).scalar_one()


def count_flags(
    session: Session, *, workspace_id: int, environment_id: int, but: Sequence[int]
) -> int:
    """Count the flags in an environment, some left out."""
    return session.execute(
        select(func.count())
        .select_from(Flag)
        .join(Object, Object.id == Flag.id)
        .where(
            Flag.workspace_id == workspace_id,
            Flag.environment_id == environment_id,
            Object.checksum.is_not(None),
            Flag.id.not_in(but),
        )
    ).scalar_one()
