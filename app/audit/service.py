"""Events as the audit shows them, with the paths that a change touched."""

from collections.abc import Container, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.audit import crud
from app.audit.schemas import ChangedPath, LogRead
from app.core.db import AnyRow
from app.diff.structural import changes, pointer
from app.formats import json
from app.models import Event
from app.secrets.markers import comparable_text

KEY = "key"
COMPARED = frozenset({"configuration", "environment"})
MASK = "•••"
MAX_PATHS = 100
MAX_BYTES = 32 * 1024


def present(session: Session, rows: Sequence[AnyRow]) -> list[LogRead]:
    """Return events for the wire; contents are compared for documents up to 32 KiB."""
    contents = crud.list_contents(session, pairs=_pairs(rows, COMPARED), longest=MAX_BYTES)
    keys = crud.list_key_versions(session, pairs=_pairs(rows, {KEY}))
    return [_log(row, _changes(row.Event, contents, keys)) for row in rows]


def _pairs(rows: Sequence[AnyRow], types: Container[str]) -> list[tuple[int, int]]:
    """Return the (object, version) pairs to be compared for events of these types."""
    places = [_place(row.Event) for row in rows if row.Event.resource_type in types]
    return [pair for place in places if place for pair in (place, _before(place))]


def _place(event: Event) -> tuple[int, int] | None:
    if event.resource_id is None or event.version is None:
        return None
    return int(event.resource_id), event.version


def _before(place: tuple[int, int]) -> tuple[int, int]:
    return place[0], place[1] - 1


def _changes(
    event: Event,
    contents: dict[tuple[int, int], str | None],
    keys: dict[tuple[int, int], bool],
) -> list[ChangedPath] | None:
    place = _place(event)
    known: Container[tuple[int, int]] = keys if event.resource_type == KEY else contents
    if place is None or place not in known:
        return None
    before = _before(place)
    if before[1] > 0 and before not in known:
        return None
    if event.resource_type == KEY:
        op = _key_op(before=keys.get(before, False), now=keys[place])
        return [_changed(pointer((str(event.detail.get("key", "")),)), op)]
    found = changes(_value(contents.get(before)), _value(contents[place]))
    return [_changed(pointer(one.path), one.op) for one in found[:MAX_PATHS]]


def _key_op(*, before: bool, now: bool) -> str:
    if not now:
        return "remove"
    return "replace" if before else "add"


def _changed(path: str, op: str) -> ChangedPath:
    old = None if op == "add" else MASK
    return ChangedPath(path=path, op=op, old=old, new=None if op == "remove" else MASK)


def _value(content: str | None) -> Any:
    return json.loads(comparable_text(content)) if content is not None else {}


def _log(row: AnyRow, changed: list[ChangedPath] | None) -> LogRead:
    event: Event = row.Event
    return LogRead(
        id=event.id,
        entity_type=event.resource_type,
        entity_id=event.resource_id,
        action=event.action,
        changes=changed,
        metadata={
            **event.detail,
            "actor": event.actor_name,
            "outcome": event.outcome,
            "request_id": event.request_id,
            "workspace": row.slug,
            "revision": event.revision,
            "version": event.version,
        },
        user_id=event.actor_id,
        ip_address=event.address,
        user_agent=event.user_agent,
        timestamp=event.at,
        app_id=event.service,
        environment=event.environment,
    )


def present_reads(rows: Sequence[AnyRow]) -> list[LogRead]:
    """Return counted reads for the wire, one per caller, object and minute."""
    return [
        LogRead(
            id=0,
            entity_type=row.ReadCount.resource_type,
            entity_id=None,
            action="read",
            changes=None,
            metadata={
                "actor": row.ReadCount.actor_name,
                "count": row.ReadCount.count,
                "object": row.ReadCount.resource,
                "workspace": row.slug,
            },
            user_id=row.ReadCount.actor_id,
            ip_address=None,
            user_agent=None,
            timestamp=row.ReadCount.minute,
            app_id=_service_of(row.ReadCount.resource),
            environment=_environment_of(row.ReadCount.resource),
        )
        for row in rows
    ]


def _service_of(resource: str) -> str | None:
    """Return the service in `service@environment versions`; `*` is a list of many."""
    service = resource.partition("@")[0].partition(" ")[0]
    return None if service == "*" else service


def _environment_of(resource: str) -> str | None:
    return resource.partition(" ")[0].partition("@")[2] or None
