"""Rotators: what is asked for over HTTP."""

from collections.abc import Container, Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.configs.levels import Level
from app.core import db
from app.core.answers import raw
from app.core.db import AnyRow
from app.formats import json
from app.keys.service import require_key
from app.models import Rotator
from app.outbox.events import record
from app.rotators import crud, engine
from app.rotators.errors import InvalidRotator, RotationNotDone, RotatorBusy, RotatorNotFound
from app.rotators.kinds import KINDS
from app.rotators.kinds.base import secret_settings
from app.rotators.schemas import RotatorWrite
from app.secrets import markers
from app.secrets.errors import UnknownHandle
from app.secrets.service import ROTATOR, seal
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission
from app.workspaces.service import require_publish

SWITCH = "switch"
"""The step after which the old value is still good."""


def configure(
    session: Session, *, access: Access, key_id: int, wanted: RotatorWrite
) -> dict[str, Any]:
    """Say how a key's value is renewed; return the members of `RotatorRead`.

    Raises KeyNotFound, OutsideScope, ProtectedEnvironment, InvalidRotator, EgressRefused.
    """
    row = _require(session, access, key_id, Permission.ADMIN)
    known = crud.get_rotator(session, key_id=key_id)
    in_grace = known is not None and known.step == SWITCH
    if known is not None:
        _refuse_busy(session, known, changes_kind=in_grace and known.kind != wanted.type)
    kind = KINDS[wanted.type]
    names = secret_settings(kind.model)
    markers.refuse_names(wanted.settings)
    given = {
        name: {markers.SECRET: value} if name in names and isinstance(value, str) else value
        for name, value in wanted.settings.items()
    }
    label = f"{row.Key.name} rotator"
    _refuse_foreign(given, names, known)
    sealed = seal(
        session,
        workspace_id=access.workspace_id,
        config_id=row.Key.config_id,
        values={label: given},
        whole=(),
        compare=False,
        actor=access.caller.username,
        owner=ROTATOR,
    ).values[label]
    try:
        kind.check(engine.opened(session, workspace_id=access.workspace_id, value=sealed))
    except ValueError as error:
        raise InvalidRotator(f"The settings are wrong: {error}.") from None
    values = {
        "settings": json.dumps(sealed),
        "every_seconds": wanted.every_seconds,
        "grace_seconds": wanted.grace_seconds,
    }
    if in_grace:
        rotator = crud.adjust_rotator(session, key_id=key_id, **values)
    else:
        rotator = crud.save_rotator(
            session,
            workspace_id=access.workspace_id,
            key_id=key_id,
            kind=wanted.type,
            created_by=access.caller.username,
            **values,
        )
    _tell(session, access, row, "update" if known else "create")
    return members(rotator)


def require_rotator(session: Session, *, access: Access, key_id: int) -> Rotator:
    """Return the rotator of a key; raises KeyNotFound, OutsideScope, RotatorNotFound."""
    _require(session, access, key_id, Permission.READ, deleted=True)
    return _existing(session, key_id)


def remove(session: Session, *, access: Access, key_id: int) -> None:
    """Leave a key's value to people again; raises RotatorNotFound, RotatorBusy."""
    row = _require(session, access, key_id, Permission.ADMIN, deleted=True)
    rotator = _existing(session, key_id)
    in_grace = rotator.step == SWITCH and rotator.orphaned_at is None
    _refuse_busy(session, rotator, changes_kind=in_grace)
    crud.delete_rotator(session, key_id=key_id)
    _tell(session, access, row, "delete")


def rotate(session: Session, *, access: Access, key_id: int) -> dict[str, Any]:
    """Renew a key's value now, or go on where it stopped; return the members of `RotatorRead`.

    No transaction is open while other systems are called. Raises RotationUnderWay,
    RotationNotDone.
    """
    row = _require(session, access, key_id, Permission.WRITE)
    rotator = _existing(session, key_id)
    _tell(session, access, row, "start")
    db.finish(session)
    engine.run(rotator.id, asked=True)
    session.expire_all()
    found = _existing(session, key_id)
    if found.failures:
        raise RotationNotDone(found.last_error or "")
    return members(found)


def _existing(session: Session, key_id: int) -> Rotator:
    rotator = crud.get_rotator(session, key_id=key_id)
    if rotator is None:
        raise RotatorNotFound
    return rotator


def _refuse_busy(session: Session, rotator: Rotator, *, changes_kind: bool) -> None:
    """Raise RotatorBusy while a step is done, or where the old value could not be retired."""
    if changes_kind or not crud.try_lock_here(session, rotator_id=rotator.id):
        raise RotatorBusy


def _refuse_foreign(given: Mapping[str, Any], names: Container[str], known: Rotator | None) -> None:
    """Raise for secrets in other places than those for them, and of others than this rotator."""
    kept = {one.handle for one in markers.find(json.loads(known.settings))} if known else set()
    for name, value in given.items():
        for one in markers.read(value, (name,)):
            if name not in names or one.is_fernet:
                raise InvalidRotator(f"{name} is not kept secret: write it plainly.")
            if one.handle is not None and one.handle not in kept:
                raise UnknownHandle(one.path)


def _require(
    session: Session,
    access: Access,
    key_id: int,
    permission: Permission,
    *,
    deleted: bool = False,
) -> AnyRow:
    row = require_key(session, access=access, key_id=key_id, deleted=deleted)
    level = Level(row.service, row.environment)
    access.require(permission, level)
    if permission is not Permission.READ:
        require_publish(session, access, level)
    return row


def _tell(session: Session, access: Access, row: AnyRow, action: str) -> None:
    record(
        session,
        access.happened(
            action,
            "rotator",
            str(row.Key.id),
            place=Level(row.service, row.environment),
            detail={"key": row.Key.name},
        ),
    )


def members(rotator: Rotator) -> dict[str, Any]:
    """Return the members of `RotatorRead`."""
    return {
        "config_id": rotator.key_id,
        "type": rotator.kind,
        "settings": raw(rotator.settings),
        "every_seconds": rotator.every_seconds,
        "grace_seconds": rotator.grace_seconds,
        "step": rotator.step,
        "failures": rotator.failures,
        "last_error": rotator.last_error,
        "next_at": rotator.next_at,
        "rotated_at": rotator.rotated_at,
        "orphaned_at": rotator.orphaned_at,
        "created_at": rotator.created_at,
        "created_by": rotator.created_by,
    }
