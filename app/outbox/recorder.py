"""What is recorded beside the requests: counted reads and refusals, written within a second."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from app.core import context, db
from app.models import Event, EventPending
from app.outbox.events import mark

log = structlog.get_logger()

SINGLY_PER_MINUTE = 20
MAX_KEYS = 20_000
BATCH = 500


@dataclass(frozen=True, slots=True)
class Read:
    """Who reads what, in which minute."""

    minute: datetime
    workspace_id: int
    actor_name: str
    resource_type: str
    resource: str
    actor_id: int | None


Counted = tuple[Read, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 401 or 403, to whom if known, and where it came from."""

    actor_id: int | None
    actor_name: str
    workspace_id: int | None
    status: int
    code: str
    path: str
    request: context.RequestContext
    at: datetime


class Recorder:
    """The buffers of one process. Bounded: what does not fit is dropped, counted and logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._reads: Counter[Read] = Counter()
        self._refusals: list[Refusal] = []
        self._per_minute: Counter[tuple[int, str, str]] = Counter()
        self._more: Counter[tuple[int, str, str]] = Counter()
        self._dropped = 0
        self._used: dict[int, datetime] = {}

    def used(self, key_id: int) -> None:
        """Note that an API key was used just now."""
        with self._lock:
            self._used[key_id] = datetime.now(UTC)

    def count_read(
        self,
        *,
        workspace_id: int,
        actor_id: int | None,
        actor_name: str,
        resource_type: str,
        resource: str,
        count: int = 1,
    ) -> None:
        """Count reads of an object by a caller in this minute."""
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        read = Read(minute, workspace_id, actor_name, resource_type, resource, actor_id)
        with self._lock:
            if len(self._reads) < MAX_KEYS or read in self._reads:
                self._reads[read] += count
            else:
                self._dropped += count

    def refused(
        self,
        *,
        status: int,
        code: str,
        path: str,
        actor_id: int | None = None,
        actor_name: str = "anonymous",
        workspace_id: int | None = None,
    ) -> None:
        """Note a refusal: singly up to 20 per address, code and minute, beyond that counted."""
        request = context.current()
        key = (int(time.time() // 60), request.address or "", code)
        with self._lock:
            self._per_minute[key] += 1
            if self._per_minute[key] <= SINGLY_PER_MINUTE and len(self._refusals) < MAX_KEYS:
                at = datetime.now(UTC)
                who = (actor_id, actor_name, workspace_id)
                self._refusals.append(Refusal(*who, status, code, path, request, at))
            elif len(self._more) < MAX_KEYS:
                self._more[key] += 1

    def flush(self) -> None:
        """Write everything to the database; what cannot be written is kept for the next time.

        Who comes while another thread writes waits: then what was there before is written.
        """
        with self._writing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            reads, self._reads = self._reads, Counter()
            refusals, self._refusals = self._refusals, []
            more = self._take_finished_minutes()
            dropped, self._dropped = self._dropped, 0
            used, self._used = self._used, {}
        if dropped:
            log.warning("reads.dropped", count=dropped)
        if not (reads or refusals or more or used):
            return
        try:
            _write(reads)
            with db.transaction() as session:
                if used:
                    session.execute(_USE, {"ids": [*used], "moments": [*used.values()]})
                rows = [_refusal_row(one) for one in refusals]
                rows += [_count_row(key, count) for key, count in more.items()]
                if rows:
                    made = session.execute(insert(Event).returning(Event.id, Event.at), rows).all()
                    session.execute(
                        insert(EventPending), [{"event_id": r.id, "at": r.at} for r in made]
                    )
                    mark(session)
        except SQLAlchemyError:
            with self._lock:
                self._reads.update(reads)
                self._refusals = (refusals + self._refusals)[:MAX_KEYS]
                self._more.update(more)
                self._used = used | self._used
            raise

    def _take_finished_minutes(self) -> Counter[tuple[int, str, str]]:
        """Return counted refusals of minutes that are over, and forget those minutes."""
        this_minute = int(time.time() // 60)
        over = [key for key in self._per_minute if key[0] < this_minute]
        for key in over:
            del self._per_minute[key]
        return Counter(
            {key: self._more.pop(key) for key in list(self._more) if key[0] < this_minute}
        )


_COUNT = text(
    """
    INSERT INTO read_counts AS r
        (minute, workspace_id, actor_name, resource_type, resource, actor_id, count)
    SELECT minute, workspace_id, actor_name, resource_type, resource, max(actor_id), sum(count)
    FROM unnest(
        CAST(:minutes AS timestamptz[]), CAST(:workspaces AS bigint[]), CAST(:names AS text[]),
        CAST(:types AS text[]), CAST(:resources AS text[]), CAST(:actors AS bigint[]),
        CAST(:counts AS bigint[])
    ) AS read (minute, workspace_id, actor_name, resource_type, resource, actor_id, count)
    GROUP BY minute, workspace_id, actor_name, resource_type, resource
    ORDER BY minute, workspace_id, actor_name, resource_type, resource
    ON CONFLICT (minute, workspace_id, actor_name, resource_type, resource)
    DO UPDATE SET count = r.count + excluded.count
    """
)
_USE = text(
    """
    UPDATE api_keys AS k SET last_used_at = used.at
    FROM (
        SELECT k.id, used.at
        FROM unnest(CAST(:ids AS bigint[]), CAST(:moments AS timestamptz[])) AS used (id, at)
        JOIN api_keys AS k ON k.id = used.id AND coalesce(k.last_used_at < used.at, true)
        ORDER BY k.id FOR NO KEY UPDATE OF k
    ) AS used
    WHERE k.id = used.id
    """
)


def _write(reads: Counter[Read]) -> None:
    """Write reads, and take out what is written; by parts, as many at once hold up all threads."""
    counted = [*reads.items()]
    for begin in range(0, len(counted), BATCH):
        some = counted[begin : begin + BATCH]
        with db.transaction() as session:
            session.execute(_COUNT, _columns(some))
        for read, _ in some:
            del reads[read]


def _columns(reads: Sequence[Counted]) -> dict[str, object]:
    return {
        "minutes": [one.minute for one, _ in reads],
        "workspaces": [one.workspace_id for one, _ in reads],
        "names": [one.actor_name for one, _ in reads],
        "types": [one.resource_type for one, _ in reads],
        "resources": [one.resource for one, _ in reads],
        "actors": [one.actor_id for one, _ in reads],
        "counts": [count for _, count in reads],
    }


def _refusal_row(one: Refusal) -> dict[str, object]:
    return {
        "at": one.at,
        "action": "refused",
        "resource_type": "token" if one.status == 401 else "workspace",  # noqa: PLR2004
        "outcome": "refused",
        "workspace_id": one.workspace_id,
        "actor_id": one.actor_id,
        "actor_name": one.actor_name,
        "address": one.request.address,
        "user_agent": one.request.user_agent,
        "request_id": one.request.request_id,
        "detail": {"code": one.code, "status": one.status, "path": one.path},
    }


def _count_row(key: tuple[int, str, str], count: int) -> dict[str, object]:
    minute, address, code = key
    return {
        "at": datetime.now(UTC),
        "action": "refused",
        "resource_type": "token",
        "outcome": "refused",
        "workspace_id": None,
        "actor_id": None,
        "actor_name": "anonymous",
        "address": address or None,
        "user_agent": None,
        "request_id": context.current().request_id,
        "detail": {
            "code": code,
            "more": count,
            "minute": datetime.fromtimestamp(minute * 60, UTC).isoformat(),
        },
    }


recorder = Recorder()
