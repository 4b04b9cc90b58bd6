"""The use of flags: taking reports of clients, telling of use, finding what is stale."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.configs import crud as configs_crud
from app.configs.errors import UnknownEnvironment
from app.core.db import AnyRow
from app.formats import json
from app.rules.definitions import variants_of
from app.usage import crud
from app.usage.recorder import usage
from app.usage.schemas import CountReport, UsageReport
from app.usage.staleness import Given, Life, Stale, stale
from app.workspaces.deps import Access
from app.workspaces.errors import OutsideScope
from app.workspaces.names import Level
from app.workspaces.permissions import Permission
from app.workspaces.scopes import covered

Definition = Mapping[str, Any]


def report(session: Session, *, access: Access, said: UsageReport) -> None:
    """Count what a client evaluated; raises OutsideScope, UnknownEnvironment.

    Flags beyond the key's scope and variants that a flag does not have are ignored; a rule that
    it does not have counts as none; a flag that is not there is an unknown one.
    """
    _require_environment(session, access, said.environment)
    rows = crud.list_flags(session, workspace_id=access.workspace_id, environment=said.environment)
    ids = {row.name: row.id for row in rows}
    covered_ids = []
    for name, count in _asked(said).items():
        if not _covers(access, name, said.environment):
            continue
        if name in ids:
            covered_ids.append(ids[name])
        else:
            usage.unknown(access.workspace_id, said.environment, name, count)
    known = {
        row.name: json.loads(row.content)
        for row in crud.list_contents(session, flag_ids=covered_ids)
    }
    usage.count_many(access.workspace_id, said.environment, _counted(said.counts, known))


def _asked(said: UsageReport) -> Mapping[str, int]:
    """Return how often flags were asked for, known ones and others."""
    asked: Counter[str] = Counter()
    for one in (*said.counts, *said.unknown):
        asked[one.flag] += one.count
    return asked


def _counted(
    counts: Iterable[CountReport], known: Mapping[str, Definition]
) -> Mapping[tuple[str, str, str | None], int]:
    variants = {name: {*variants_of(one)} for name, one in known.items()}
    rules = {name: {rule["id"] for rule in one.get("rules", ())} for name, one in known.items()}
    counted: Counter[tuple[str, str, str | None]] = Counter()
    for one in counts:
        if one.variant in variants.get(one.flag, ()):
            rule_id = one.rule_id if one.rule_id in rules[one.flag] else None
            counted[one.flag, one.variant, rule_id] += one.count
    return counted


def used(
    session: Session, *, access: Access, environment: str | None, flag: str | None, days: int
) -> dict[str, Any]:
    """Return the members of `UsageRead`; raises OutsideScope, UnknownEnvironment.

    Counts are of this day and so many before it, in UTC.
    """
    rows = _flags(session, access, environment)
    day = datetime.now(UTC).date() - timedelta(days=days)
    wanted = [row for row in rows if flag in {None, row.name}]
    served = _served(session, wanted, since=datetime.combine(day, time(), UTC))
    unknown = crud.list_unknown(
        session,
        workspace_id=access.workspace_id,
        environment=environment,
        since=datetime.combine(day, time(), UTC),
    )
    existing = {(row.name, row.environment) for row in rows}
    return {
        "flags": [_usage(row, served[row.id]) for row in wanted],
        "unknown": [
            _unknown(row)
            for row in unknown
            if flag in {None, row.name}
            and (row.name, row.environment) not in existing
            and _covers(access, row.name, row.environment)
        ],
    }


def stale_flags(
    session: Session, *, access: Access, environment: str | None, days: int
) -> list[dict[str, Any]]:
    """Return the members of `StaleRead` of each stale flag, as `used`."""
    now = datetime.now(UTC)
    edge = now - timedelta(days=days)
    ids = [row.id for row in _flags(session, access, environment)]
    rows = crud.list_contents(session, flag_ids=ids)
    served = _served(session, rows, since=edge)
    births = crud.list_births(session, flag_ids=ids)
    definitions = {row.id: json.loads(row.content) for row in rows}
    needed = {
        (one["flag"], row.environment)
        for row in rows
        for one in definitions[row.id].get("prerequisites", ())
    }
    found = []
    for row in rows:
        is_needed = (row.name, row.environment) in needed
        life = _life(row, definitions[row.id], births.get(row.id, row.created_at), is_needed)
        given = [Given(one.variant, one.first_seen, one.last_seen) for one in served[row.id]]
        reasons = stale(life, given, now=now, edge=edge)
        if reasons:
            found.append(_stale(row, definitions[row.id], life, reasons))
    return found


def _require_environment(session: Session, access: Access, environment: str) -> None:
    access.require(Permission.READ)
    if not covered(environment, access.scopes.environments):
        raise OutsideScope(Level(None, environment))
    if not configs_crud.environment_exists(
        session, workspace_id=access.workspace_id, name=environment
    ):
        raise UnknownEnvironment(environment, access.slug)


def _covers(access: Access, flag: str, environment: str) -> bool:
    return access.scopes.covers_flag(flag, environment, to_write=False)


def _flags(session: Session, access: Access, environment: str | None) -> list[AnyRow]:
    """Return the flags that a caller may see, by name."""
    if environment is not None:
        _require_environment(session, access, environment)
    rows = crud.list_flags(session, workspace_id=access.workspace_id, environment=environment)
    return [row for row in rows if _covers(access, row.name, row.environment)]


def _served(
    session: Session, rows: Sequence[AnyRow], *, since: datetime
) -> Mapping[int, list[AnyRow]]:
    by_flag: defaultdict[int, list[AnyRow]] = defaultdict(list)
    ids = [row.id for row in rows]
    for one in crud.list_served(session, flag_ids=ids, since=since.date()):
        by_flag[one.flag_id].append(one)
    return by_flag


def _usage(row: AnyRow, served: Sequence[AnyRow]) -> dict[str, Any]:
    return {
        "flag": row.name,
        "environment": row.environment,
        "last_seen": max((one.last_seen for one in served), default=None),
        "total": sum(int(one.number) for one in served),
        "counts": [
            {
                "variant": one.variant,
                "rule_id": one.rule_id,
                "count": int(one.number),
                "first_seen": one.first_seen,
                "last_seen": one.last_seen,
            }
            for one in served
            if one.number
        ],
    }


def _unknown(row: AnyRow) -> dict[str, Any]:
    return {
        "flag": row.name,
        "environment": row.environment,
        "count": row.number,
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
    }


def _life(row: AnyRow, definition: Definition, created_at: datetime, is_needed: bool) -> Life:
    return Life(
        is_enabled=definition.get("is_enabled", True),
        expires_at=_moment(definition.get("expires_at")),
        created_at=created_at,
        updated_at=row.updated_at,
        is_needed=is_needed,
    )


def _moment(text: object) -> datetime | None:
    """Return a moment that a definition names, None where it names none that can be."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(str(text))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None


def _stale(
    row: AnyRow, definition: Definition, life: Life, reasons: Sequence[Stale]
) -> dict[str, Any]:
    return {
        "flag": row.name,
        "environment": row.environment,
        "reasons": [one.reason for one in reasons],
        "since": min(one.since for one in reasons),
        "variant": next((one.variant for one in reasons if one.variant is not None), None),
        "owner": definition.get("owner"),
        "expires_at": life.expires_at,
        "hint": " ".join(one.hint for one in reasons),
    }
