"""Rotation of the keys themselves, while everybody goes on reading and writing.

Each step is a transaction of its own and says by the rows themselves how far it has come, so
that a run that was killed is continued by the next one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError as ConstraintError
from sqlalchemy.orm import Session

from app.core import db
from app.core.db import AnyRow
from app.outbox.events import Happened, record
from app.secrets import crud, data_keys, rotation_crud
from app.secrets.errors import IntegrityError
from app.secrets.keyring import WrappedKey, get_keyring
from app.secrets.providers import Wrapped
from app.secrets.service import open_text, seal_text

log = structlog.get_logger()

BATCH = 200
COMMAND = "python -m app keys"

Progress = Callable[[int, int], None]
"""Told how many of how many secrets are sealed under the new keys."""


class RotationRunning(Exception):
    """Somebody else rotates at this moment."""


@dataclass(frozen=True, slots=True)
class Kek:
    """A key-encryption key that stored data keys need."""

    id: str
    data_keys: int
    is_here: bool


@dataclass(frozen=True, slots=True)
class Status:
    """Which keys are in use, and what a rotation has left to do."""

    active: str
    keks: Sequence[Kek]
    data_keys: int
    old_data_keys: int
    secrets: int
    waiting: int
    is_rotating: bool
    is_sealed: bool


@dataclass(slots=True)
class Outcome:
    """What a rotation did; `damaged` are handles of secrets that could not be opened."""

    continued: bool = False
    rewrapped: int = 0
    sealed: int = 0
    retired: int = 0
    damaged: list[str] = field(default_factory=list)


def status() -> Status:
    """Say where things stand; raises Sealed when the active KEK's holder does not answer."""
    keyring = get_keyring()
    with db.transaction() as session:
        keks = [
            Kek(row.kek_id, row.data_keys, keyring.knows(row.kek_id))
            for row in rotation_crud.count_by_kek(session)
        ]
        counts = rotation_crud.count_all(session)
        return Status(
            keyring.active_id(),
            keks,
            counts.data_keys,
            counts.old_data_keys,
            counts.secrets,
            counts.waiting,
            rotation_crud.is_rotating(session),
            data_keys.is_sealed(session),
        )


def rewrap() -> int:
    """Wrap every data key under the active KEK; return how many. Raises RotationRunning, Sealed."""
    with alone():
        done = _rewrap()
        with db.transaction() as session:
            _tell(session, {"rewrapped": done})
        return done


def _rewrap() -> int:
    keyring = get_keyring()
    active = keyring.active_id()
    done = last = 0
    while True:
        with db.transaction() as session:
            rows = rotation_crud.list_wrapped_otherwise(
                session, kek_id=active, after=last, limit=BATCH
            )
            if not rows:
                rotation_crud.delete_unused_checks(session)
                return done
            last = rows[-1].id
            data_keys.ensure_check(session, keyring, active)
            for row in rows:
                key = crud.wrapped_key(row)
                plain = keyring.unwrap(Wrapped(key.kek_id, key.wrapped), key.context)
                wrapped = keyring.wrap(plain, key.context)
                done += rotation_crud.rewrap(session, old=key, new=wrapped)


def rotate(progress: Progress) -> Outcome:
    """Wrap data keys under the active KEK, replace them, seal every secret anew, drop the old.

    Raises RotationRunning, Sealed.
    """
    with alone():
        outcome = Outcome(rewrapped=_rewrap())
        outcome.continued = _begin()
        with db.transaction() as session:
            counts = rotation_crud.count_all(session)
        progress(0, counts.waiting)
        while _pass(outcome, progress, counts.waiting):
            pass
        outcome.retired = retire()
        _end(outcome)
    return outcome


@contextmanager
def alone() -> Iterator[None]:
    """Hold off other rotations, until this process ends at the latest."""
    with db.lone_connection() as connection:
        if not rotation_crud.try_lock(connection):
            raise RotationRunning
        yield


def _begin() -> bool:
    """Make new data keys for all places; return whether an earlier run had done so."""
    with db.transaction() as session:
        if not rotation_crud.begin(session):
            return True
        for place in rotation_crud.list_places(session):
            crud.lock_data_keys(session, workspace_id=place.workspace_id)
            data_keys.create(
                session,
                workspace_id=place.workspace_id,
                environment_id=place.environment_id,
                purpose=crud.VALUE,
            )
    return False


def _pass(outcome: Outcome, progress: Progress, total: int) -> int:
    """Go through the secrets under old data keys once; return how many were sealed anew."""
    done = 0
    for old in _old_keys():
        last = ""
        while True:
            with db.transaction() as session:
                rows = rotation_crud.list_under(
                    session, data_key_id=old.id, after=last, limit=BATCH
                )
                moved = _seal_anew(old, rows, outcome)
                done += rotation_crud.move(session, old_id=old.id, moved=moved)
            if not rows:
                break
            last = rows[-1].handle
            progress(outcome.sealed + done, max(total, outcome.sealed + done))
    outcome.sealed += done
    return done


def _old_keys() -> list[WrappedKey]:
    with db.transaction() as session:
        return [crud.wrapped_key(row) for row in rotation_crud.list_old_keys(session)]


def _seal_anew(
    old: WrappedKey, rows: Sequence[AnyRow], outcome: Outcome
) -> list[rotation_crud.Moved]:
    moved = []
    for row in rows:
        new = crud.wrapped_key(row)
        try:
            plain = open_text(old, row)
        except IntegrityError:
            if row.handle not in outcome.damaged:
                outcome.damaged.append(row.handle)
                log.error("secrets.integrity_error", handle=row.handle)  # noqa: TRY400
            continue
        sealed = seal_text(new, row.config_id, row.handle, plain)
        moved.append(rotation_crud.Moved(row.handle, new.id, sealed))
    return moved


def retire() -> int:
    """Delete the data keys that nothing needs any more, history included; return how many."""
    retired = 0
    for key in _old_keys():
        try:
            with db.transaction() as session:
                retired += rotation_crud.delete_unused(session, data_key_id=key.id)
        except ConstraintError:  # somebody sealed with it at this very moment
            log.info("secrets.data_key_in_use", data_key_id=key.id)
    return retired


def _end(outcome: Outcome) -> None:
    with db.transaction() as session:
        rotation_crud.end(session)
        _tell(
            session,
            {
                "rewrapped": outcome.rewrapped,
                "sealed": outcome.sealed,
                "retired": outcome.retired,
                "damaged": outcome.damaged[:100],
            },
        )


def _tell(session: Session, detail: dict[str, Any]) -> None:
    event = Happened(
        action="rotate",
        resource_type="data_key",
        actor_name=f"command:{COMMAND}",
        outcome="alarm" if detail.get("damaged") else "success",
        detail=detail,
    )
    record(session, event)
