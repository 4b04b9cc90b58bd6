"""Renewing a value step by step: at every instant the old one or the new one works.

    create  the new value is made and kept, encrypted, beside the old one
    set     the target system accepts it
    test    it was used there
    switch  the key has it; the old one is good for the grace time
    finish  the old one is retired, and the rotator waits for its next time

Whatever was done is written down before the next step begins, and every step may be repeated: a
run that was killed is continued by whoever comes next. One process at a time works on a rotator,
held by a lock that goes with its connection.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.auth.deps import Caller
from app.changes import edits
from app.changes.plan import Change
from app.changes.service import apply
from app.configs.levels import Level
from app.core import db
from app.core.errors import AppError, Unavailable
from app.formats import json
from app.models import Action, Key, Rotator
from app.outbox.events import Happened, record
from app.rotators import crud
from app.rotators.errors import RotationUnderWay
from app.rotators.kinds import KINDS, Job, Kind, RotationFailed
from app.secrets import markers
from app.secrets.service import open_all, seal
from app.workspaces import crud as workspaces_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission
from app.workspaces.scopes import Scopes

log = structlog.get_logger()

MAX_FAILURES = 6
FIRST_PAUSE = 10
LONGER = 4
POSTPONED = 30
DONE: Mapping[str, Any] = {
    "step": None,
    "run": None,
    "pending": None,
    "previous": None,
    "failures": 0,
    "last_error": None,
}


@dataclass(frozen=True, slots=True)
class State:
    """A rotator with what it is about, as it was read a moment ago."""

    rotator: Rotator
    key: Key
    level: Level
    slug: str
    seconds: int
    """Until its next time."""

    @property
    def name(self) -> str:
        """Return the name of the key."""
        return self.key.name


def run(rotator_id: int, *, asked: bool = False) -> None:
    """Take a rotator as far as it goes now. `asked`: somebody wants a new value at once.

    Raises RotationUnderWay when it was asked for and another is at work, or in its grace time.
    """
    with db.lone_connection() as connection:
        if not crud.try_lock(connection, rotator_id=rotator_id):
            if asked:
                raise RotationUnderWay(1)
            return
        state = read(rotator_id)
        if state is not None and asked:
            _begin(state)
        while state is not None and (asked or _is_due(state)) and _advance(state):
            asked = asked and state.rotator.step != "test"
            state = read(rotator_id)


def read(rotator_id: int) -> State | None:
    """Return the state of a rotator."""
    with db.transaction() as session:
        row = crud.get_state(session, rotator_id=rotator_id)
    if row is None:
        return None
    return State(
        row.Rotator, row.Key, Level(row.service, row.environment), row.slug, int(row.seconds or 0)
    )


def _begin(state: State) -> None:
    """Raise RotationUnderWay in the grace time; begin anew where it had been given up."""
    rotator = state.rotator
    waits = rotator.step == "switch" and not rotator.failures
    if waits and state.seconds > 0 and rotator.orphaned_at is None:
        raise RotationUnderWay(state.seconds)
    if rotator.orphaned_at is not None:
        with db.transaction() as session:
            crud.update_rotator(session, rotator=rotator, next_in=0, orphaned_at=None, failures=0)


def _is_due(state: State) -> bool:
    rotator = state.rotator
    return rotator.orphaned_at is None and rotator.next_at is not None and state.seconds == 0


def _advance(state: State) -> bool:
    """Do the next step; return whether there may be another one now."""
    step = _NEXT[state.rotator.step]
    try:
        step(state, KINDS[state.rotator.kind])
    except RotationFailed as failure:
        _fail(state, str(failure))
        return False
    except Unavailable as error:
        log.warning("rotation.postponed", rotator=state.rotator.id, reason=error.code)
        _postpone(state)
        return False
    except AppError as error:
        _fail(state, error.detail)
        return False
    except Exception as error:
        if db.unavailable(error) or db.is_retryable(error):  # nothing is known of the step
            raise
        log.exception("rotation.broken", rotator=state.rotator.id)
        _fail(state, "a fault of the server, see its log")
        return False
    return True


def _create(state: State, kind: Kind) -> None:
    if state.key.value is None:
        raise RotationFailed("the key is deleted")
    if state.rotator.run is None:  # the name of the run, the same when this step is repeated
        with db.transaction() as session:
            run = secrets.token_hex(8)
            crud.update_rotator(session, rotator=state.rotator, next_in=0, run=run)
        return
    value = kind.create(_job(state))
    with db.transaction() as session:
        _move(session, state, "create", pending=_seal(session, state, value))


def _set(state: State, kind: Kind) -> None:
    kind.set(_job(state))
    with db.transaction() as session:
        _move(session, state, "set")


def _test(state: State, kind: Kind) -> None:
    kind.test(_job(state))
    with db.transaction() as session:
        _move(session, state, "test")


def _switch(state: State, _kind: Kind) -> None:
    """Give the key the new value, and remember the old one, in one transaction."""
    rotator = state.rotator
    with db.transaction() as session:
        previous = _current(session, state)
        access = _access(session, state)
        value = json.loads(rotator.pending or "null")
        operation = edits.set_key(state.name, value, must_exist=True, action=Action.ROTATE)
        edit = edits.edit_keys([operation], level=state.level, slug=state.slug)
        apply(
            session,
            access=access,
            changes=[Change(state.level, edit)],
            message=f"rotation {rotator.run}",
        )
        _move(
            session,
            state,
            "switch",
            next_in=rotator.grace_seconds,
            previous=previous,
            rotated_at=datetime.now(UTC),
        )


def _finish(state: State, kind: Kind) -> None:
    rotator = state.rotator
    kind.finish(_job(state, current=_value(state, rotator.previous)))
    left = None
    if rotator.every_seconds is not None:
        left = max(0, rotator.every_seconds - rotator.grace_seconds)
    with db.transaction() as session:
        crud.update_rotator(session, rotator=rotator, next_in=left, **DONE)


_NEXT: Mapping[str | None, Callable[[State, Kind], None]] = {
    None: _create,
    "create": _set,
    "set": _test,
    "test": _switch,
    "switch": _finish,
}


def _move(
    session: Session, state: State, step: str, *, next_in: int | None = 0, **values: Any
) -> None:
    """Write a step down; raise RotationFailed when the rotator was changed meanwhile."""
    if not crud.update_rotator(
        session,
        rotator=state.rotator,
        next_in=next_in,
        **{"step": step, "failures": 0, "last_error": None, **values},
    ):
        raise RotationFailed("the rotator was changed meanwhile")


def _job(state: State, *, current: Any = None) -> Job:
    rotator = state.rotator
    with db.transaction() as session:
        settings = opened(
            session, workspace_id=rotator.workspace_id, value=json.loads(rotator.settings)
        )
        if current is None and rotator.step != "switch" and state.key.value is not None:
            current = opened(
                session, workspace_id=rotator.workspace_id, value=json.loads(state.key.value)
            )
    return Job(
        id=rotator.run or "",
        settings=settings,
        current=current,
        pending=_value(state, rotator.pending),
    )


def opened(session: Session, *, workspace_id: int, value: Any) -> Any:
    """Return a stored value with its secrets in it, for rotators' own use."""
    found = markers.find(value)
    if not found:
        return value
    plain = open_all(session, workspace_id=workspace_id, found=found)
    return markers.replace(value, lambda one: plain[one[markers.HANDLE]])


def _value(state: State, stored: str | None) -> Any:
    """Return the value that a secret's stored form, as JSON text, stands for."""
    if stored is None:
        return None
    with db.transaction() as session:
        return opened(session, workspace_id=state.rotator.workspace_id, value=json.loads(stored))


def _seal(session: Session, state: State, value: Any) -> str:
    """Store a value as a secret of the key's config; return its stored form as JSON text."""
    sealed = seal(
        session,
        workspace_id=state.rotator.workspace_id,
        config_id=state.key.config_id,
        values={state.name: value},
        whole={state.name},
        compare=False,
        actor=_caller(state).username,
    )
    return json.dumps(sealed.values[state.name])


def _current(session: Session, state: State) -> str | None:
    """Return the stored form of the key's present value, made a secret if it is none."""
    key = session.get(Key, state.key.id)
    if key is None or key.value is None:
        return None
    if markers.is_secret_text(key.value):
        return key.value
    return _seal(session, state, json.loads(key.value))


def _caller(state: State) -> Caller:
    return Caller(username=f"rotator:{state.name}")


def _access(session: Session, state: State) -> Access:
    """Return the right to write the key; whoever made the rotator had it."""
    row = workspaces_crud.get_open_access(session, slug=state.slug)
    if row is None:
        raise RotationFailed("the workspace is deleted")
    return Access(
        caller=_caller(state),
        workspace_id=row.workspace_id,
        slug=row.slug,
        owner_id=row.owner_id,
        role="rotator",
        head=row.revision,
        epoch=row.epoch,
        scopes=Scopes(frozenset({Permission.READ, Permission.WRITE, Permission.PUBLISH})),
    )


def _fail(state: State, reason: str) -> None:
    """Note a failure and try again later, each time longer; give up after some."""
    rotator = state.rotator
    failures = rotator.failures + 1
    log.warning("rotation.failed", rotator=rotator.id, step=rotator.step, failures=failures)
    if failures >= MAX_FAILURES:
        _give_up(state, reason, failures)
        return
    with db.transaction() as session:
        crud.update_rotator(
            session,
            rotator=rotator,
            next_in=FIRST_PAUSE * LONGER ** (failures - 1),
            failures=failures,
            last_error=reason,
        )


def _give_up(state: State, reason: str, failures: int) -> None:
    """Leave the rotator to people, with an alarm; what was never used is taken back."""
    rotator = state.rotator
    unused = rotator.step in {"create", "set", "test"}
    if unused:
        try:
            KINDS[rotator.kind].rollback(_job(state))
        except (RotationFailed, AppError) as error:
            log.warning("rotation.rollback_failed", rotator=rotator.id, reason=str(error))
    with db.transaction() as session:
        crud.update_rotator(
            session,
            rotator=rotator,
            next_in=None,
            orphaned_at=datetime.now(UTC),
            **(dict(DONE) if unused else {}) | {"failures": failures, "last_error": reason},
        )
        record(
            session,
            Happened(
                action="rotate",
                resource_type="rotator",
                resource_id=str(state.key.id),
                service=state.level.name,
                environment=state.level.environment,
                actor_name=_caller(state).username,
                workspace_id=rotator.workspace_id,
                outcome="alarm",
                detail={"code": "orphaned", "reason": reason, "step": rotator.step},
            ),
        )
    log.error("rotation.orphaned", rotator=rotator.id, key=state.key.id)


def _postpone(state: State) -> None:
    """Try again in a while: our own side is not ready, which is no failure of the rotation."""
    rotator = state.rotator
    with db.transaction() as session:
        crud.update_rotator(session, rotator=rotator, next_in=POSTPONED)
