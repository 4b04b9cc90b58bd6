"""Counting evaluations beside the requests: added up in memory, written every ten seconds."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from app.core import db
from app.flags.names import check_flag
from app.usage import crud
from app.usage.crud import Asked, Seen, Served
from app.workspaces.names import check_name

log = structlog.get_logger()

MAX_KEYS = 20_000
BATCH = 500

Flag = tuple[int, str, str]
"""Workspace, environment, name."""
Evaluated = tuple[int, str, str, str, str | None]
"""Workspace, environment, flag, variant, rule."""
Key = TypeVar("Key")


@dataclass(slots=True)
class Counts:
    """What was counted since the last flush."""

    served: dict[Evaluated, int]
    unknown: dict[Flag, int]
    names: Counter[int]
    """How many unknown names there are, by workspace."""
    dropped: int = 0


class Recorder:
    """The counts of one process. Bounded: what does not fit is dropped, counted and logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._now = _nothing()
        self._served: dict[Served, Seen] = {}
        self._asked: dict[Asked, Seen] = {}

    def count(
        self,
        workspace_id: int,
        environment: str,
        flag: str,
        variant: str,
        rule_id: str | None,
        count: int = 1,
    ) -> None:
        """Count evaluations of a flag that exists; from any thread."""
        with self._lock:
            self._add((workspace_id, environment, flag, variant, rule_id), count)

    def count_many(
        self,
        workspace_id: int,
        environment: str,
        counts: Mapping[tuple[str, str, str | None], int],
    ) -> None:
        """Count evaluations by flag, variant and rule; from any thread."""
        with self._lock:
            for key, count in counts.items():
                self._add((workspace_id, environment, *key), count)

    def _add(self, key: Evaluated, count: int) -> None:
        served = self._now.served
        known = served.get(key)
        if known is not None:
            served[key] = known + count
        elif len(served) < MAX_KEYS:
            served[key] = count
        else:
            self._now.dropped += count

    def unknown(self, workspace_id: int, environment: str, flag: str, count: int = 1) -> None:
        """Count evaluations of a flag that does not exist; what no flag can be called is not."""
        try:
            check_name(environment)
            check_flag(flag)
        except ValueError:
            return
        key = (workspace_id, environment, flag)
        with self._lock:
            now = self._now
            if key in now.unknown:
                now.unknown[key] += count
            elif now.names[workspace_id] < crud.MAX_UNKNOWN and len(now.unknown) < MAX_KEYS:
                now.unknown[key] = count
                now.names[workspace_id] += 1

    def flush(self) -> None:
        """Write everything to the database; what cannot be written is kept for the next time.

        Who comes while another thread writes waits: then what was there before is written.
        """
        with self._writing:
            dropped = self._take(datetime.now(UTC))
            if dropped:
                log.warning("usage.dropped", count=dropped)
            _write(self._served, crud.add_served)
            _write(self._asked, crud.add_asked)

    def _take(self, at: datetime) -> int:
        """Put what was counted to what waits to be written; return how many did not fit."""
        with self._lock:
            now, self._now = self._now, _nothing()
        today = at.date()
        dropped = now.dropped
        for flag, count in now.served.items():
            dropped += _merge(self._served, (today, *flag), Seen(count, at, at))
        for flag_asked, count in now.unknown.items():
            _merge(self._asked, flag_asked, Seen(count, at, at))
        return dropped


def _nothing() -> Counts:
    return Counts({}, {}, Counter())


def _merge(waiting: dict[Key, Seen], key: Key, seen: Seen) -> int:
    """Add to what waits; return how many evaluations there was no room for."""
    before = waiting.get(key)
    if before is not None:
        waiting[key] = Seen(before.count + seen.count, before.first, seen.last)
    elif len(waiting) < MAX_KEYS:
        waiting[key] = seen
    else:
        return seen.count
    return 0


def _write(waiting: dict[Key, Seen], add: Callable[[Session, Mapping[Key, Seen]], None]) -> None:
    """Write by parts, and take out what is written."""
    keys = [*waiting]
    for begin in range(0, len(keys), BATCH):
        some = {key: waiting[key] for key in keys[begin : begin + BATCH]}
        with db.transaction() as session:
            add(session, some)
        for key in some:
            del waiting[key]


usage = Recorder()
