"""SQL of the use of flags: adding counts up, reading them, forgetting them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.flags.crud import select_flags
from app.models import Environment, Flag, FlagCount, FlagName, Revision, UnknownFlag, Version

MAX_UNKNOWN = 1_000
"""Unknown names that a workspace may have."""
KEPT_DAYS = 90
MOST = 2**53 - 1
"""Where counting ends."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How often, and when first and last."""

    count: int
    first: datetime
    last: datetime


Served = tuple[date, int, str, str, str, str | None]
"""Day, workspace, environment, flag, variant, rule."""
Asked = tuple[int, str, str]
"""Workspace, environment, unknown name."""

_ADD_SERVED = text(
    """
    INSERT INTO flag_counts AS c
        (flag_id, day, variant, rule_id, count, first_seen, last_seen)
    SELECT f.id, u.day, u.variant, u.rule_id, u.count, u.first, u.last
    FROM unnest(
        CAST(:days AS date[]), CAST(:workspaces AS bigint[]), CAST(:environments AS text[]),
        CAST(:flags AS text[]), CAST(:variants AS text[]), CAST(:rules AS text[]),
        CAST(:counts AS bigint[]), CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])
    ) AS u (day, workspace_id, environment, flag, variant, rule_id, count, first, last)
    JOIN environments AS e
        ON e.workspace_id = u.workspace_id AND e.name = u.environment AND NOT e.deleted
    JOIN flag_names AS n ON n.workspace_id = u.workspace_id AND n.name = u.flag
    JOIN flags AS f
        ON f.workspace_id = u.workspace_id AND f.name_id = n.id AND f.environment_id = e.id
    ORDER BY f.id, u.day, u.variant, u.rule_id
    ON CONFLICT (flag_id, day, variant, rule_id) DO UPDATE SET
        count = least(c.count + excluded.count, :most),
        first_seen = least(c.first_seen, excluded.first_seen),
        last_seen = greatest(c.last_seen, excluded.last_seen)
    """
)
_ADD_ASKED = text(
    """
    INSERT INTO unknown_flags AS k
        (environment_id, name, workspace_id, count, first_seen, last_seen)
    SELECT e.id, u.name, e.workspace_id, u.count, u.first, u.last
    FROM unnest(
        CAST(:workspaces AS bigint[]), CAST(:environments AS text[]), CAST(:flags AS text[]),
        CAST(:counts AS bigint[]), CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])
    ) AS u (workspace_id, environment, name, count, first, last)
    JOIN environments AS e
        ON e.workspace_id = u.workspace_id AND e.name = u.environment AND NOT e.deleted
    ORDER BY e.id, u.name
    ON CONFLICT (environment_id, name) DO UPDATE SET
        count = least(k.count + excluded.count, :most),
        first_seen = least(k.first_seen, excluded.first_seen),
        last_seen = greatest(k.last_seen, excluded.last_seen)
    """
)
_FORGET_SURPLUS = text(
    """
    DELETE FROM unknown_flags AS k
    USING (
        SELECT environment_id, name, row_number() OVER (
            PARTITION BY workspace_id ORDER BY count DESC, last_seen DESC, environment_id, name
        ) AS place
        FROM unknown_flags WHERE workspace_id = ANY(CAST(:workspaces AS bigint[]))
    ) AS ranked
    WHERE ranked.place > :most
        AND k.environment_id = ranked.environment_id AND k.name = ranked.name
    """
)


def add_served(session: Session, served: Mapping[Served, Seen]) -> None:
    """Add to the counts of flags; of those that are not there (any more) nothing is kept."""
    columns = dict(
        zip(
            ("days", "workspaces", "environments", "flags", "variants"),
            map(list, zip(*(key[:5] for key in served), strict=True)),
            strict=True,
        )
    )
    columns["rules"] = [key[5] or "" for key in served]
    session.execute(_ADD_SERVED, columns | _seen(served.values()))


def add_asked(session: Session, asked: Mapping[Asked, Seen]) -> None:
    """Add to the counts of unknown flags; a workspace keeps those asked for most."""
    lock = func.hashtextextended("unknown_flags", 0)
    session.execute(select(func.pg_advisory_xact_lock(lock)))
    workspaces, environments, flags = map(list, zip(*asked, strict=True))
    columns = {"workspaces": workspaces, "environments": environments, "flags": flags}
    session.execute(_ADD_ASKED, columns | _seen(asked.values()))
    surplus = {"workspaces": sorted({*workspaces}), "most": MAX_UNKNOWN}
    session.execute(_FORGET_SURPLUS, surplus)


def _seen(seen: Collection[Seen]) -> dict[str, object]:
    return {
        "counts": [min(one.count, MOST) for one in seen],
        "firsts": [one.first for one in seen],
        "lasts": [one.last for one in seen],
        "most": MOST,
    }


def list_flags(session: Session, *, workspace_id: int, environment: str | None) -> Sequence[AnyRow]:
    """List which flags there are, without their contents, by name."""
    statement = (
        select_flags()
        .with_only_columns(Flag.id, FlagName.name, Environment.name.label("environment"))
        .where(Flag.workspace_id == workspace_id, Environment.deleted.is_(False))
        .order_by(FlagName.name, Environment.name)
    )
    if environment is not None:
        statement = statement.where(Environment.name == environment)
    return session.execute(statement).all()


def list_contents(session: Session, *, flag_ids: Sequence[int]) -> Sequence[AnyRow]:
    """List flags with their contents, by name."""
    statement = select_flags().where(Flag.id.in_(flag_ids))
    return session.execute(statement.order_by(FlagName.name, Environment.name)).all()


def list_served(session: Session, *, flag_ids: Sequence[int], since: date) -> Sequence[AnyRow]:
    """List what flags have served, by flag, variant and rule.

    `number` counts the days from `since` on; `first_seen` and `last_seen` are of all days.
    """
    recent = func.sum(FlagCount.count).filter(FlagCount.day >= since)
    return session.execute(
        select(
            FlagCount.flag_id,
            FlagCount.variant,
            func.nullif(FlagCount.rule_id, "").label("rule_id"),
            func.coalesce(recent, 0).label("number"),
            func.min(FlagCount.first_seen).label("first_seen"),
            func.max(FlagCount.last_seen).label("last_seen"),
        )
        .where(FlagCount.flag_id.in_(flag_ids))
        .group_by(FlagCount.flag_id, FlagCount.variant, FlagCount.rule_id)
        .order_by(FlagCount.flag_id, FlagCount.variant, FlagCount.rule_id)
    ).all()


def list_unknown(
    session: Session, *, workspace_id: int, environment: str | None, since: datetime
) -> Sequence[AnyRow]:
    """List unknown flags that were asked for since then, those asked for most first."""
    statement = (
        select(
            UnknownFlag.name,
            Environment.name.label("environment"),
            UnknownFlag.count.label("number"),
            UnknownFlag.first_seen,
            UnknownFlag.last_seen,
        )
        .join(Environment, Environment.id == UnknownFlag.environment_id)
        .where(
            UnknownFlag.workspace_id == workspace_id,
            UnknownFlag.last_seen >= since,
            Environment.deleted.is_(False),
        )
        .order_by(UnknownFlag.count.desc(), UnknownFlag.name, Environment.name)
    )
    if environment is not None:
        statement = statement.where(Environment.name == environment)
    return session.execute(statement).all()


def list_births(session: Session, *, flag_ids: Sequence[int]) -> dict[int, datetime]:
    """Return since when flags exist, by id: since they were created, or were revived last."""
    gone = (
        select(Version.object_id, func.max(Version.version).label("version"))
        .where(Version.object_id.in_(flag_ids), Version.content.is_(None))
        .group_by(Version.object_id)
        .subquery()
    )
    rows = session.execute(
        select(Version.object_id, func.min(Revision.at).label("since"))
        .join(
            Revision,
            (Revision.workspace_id == Version.workspace_id) & (Revision.n == Version.revision),
        )
        .outerjoin(gone, gone.c.object_id == Version.object_id)
        .where(Version.object_id.in_(flag_ids), Version.version > func.coalesce(gone.c.version, 0))
        .group_by(Version.object_id)
    )
    return {row.object_id: row.since for row in rows}


def sweep(session: Session) -> None:
    """Delete what is older than 90 days, as whole days."""
    last_day = func.date(func.timezone("UTC", func.now())) - (KEPT_DAYS + 1)
    session.execute(delete(FlagCount).where(FlagCount.day < last_day))
    kept = func.now() - func.make_interval(0, 0, 0, KEPT_DAYS)
    session.execute(delete(UnknownFlag).where(UnknownFlag.last_seen < kept))
