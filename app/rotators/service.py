"""Rotators: what is asked for over HTTP."""

from typing import Any

from sqlalchemy.orm import Session

from app.configs.errors import ProtectedEnvironment
from app.configs.levels import Level
from app.core.answers import raw
from app.core.db import AnyRow
from app.formats import json
from app.keys.service import require_key
from app.models import Rotator
from app.outbox.events import Happened, record
from app.rotators import crud, engine
from app.rotators.errors import InvalidRotator, RotatorBusy, RotatorNotFound
from app.rotators.kinds import KINDS
from app.rotators.kinds.base import secret_settings
from app.rotators.schemas import RotatorWrite
from app.secrets import crud as secrets_crud
from app.secrets import markers
from app.secrets.service import seal
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def configure(
    session: Session, *, access: Access, key_id: int, wanted: RotatorWrite
) -> dict[str, Any]:
    """Say how a key's value is renewed; return the members of `RotatorRead`.

    Raises KeyNotFound, OutsideScope, ProtectedEnvironment, InvalidRotator, EgressRefused.
    """
    row = _require(session, access, key_id, Permission.ADMIN)
    known = crud.get_rotator(session, key_id=key_id)
    if known is not None and known.step is not None and known.orphaned_at is None:
        raise RotatorBusy
    kind = KINDS[wanted.type]
    names = secret_settings(kind.model)
    given = {
        name: {markers.SECRET: value} if name in names and isinstance(value, str) else value
        for name, value in wanted.settings.items()
    }
    label = f"{row.Key.name} rotator"
    sealed = seal(
        session,
        workspace_id=access.workspace_id,
        config_id=row.Key.config_id,
        values={label: given},
        whole=(),
        compare=True,
        actor=access.caller.username,
    ).values[label]
    try:
        kind.check(engine.opened(session, workspace_id=access.workspace_id, value=sealed))
    except ValueError as error:
        raise InvalidRotator(f"The settings are wrong: {error}.") from None
    rotator = crud.save_rotator(
        session,
        workspace_id=access.workspace_id,
        key_id=key_id,
        kind=wanted.type,
        settings=json.dumps(sealed),
        every_seconds=wanted.every_seconds,
        grace_seconds=wanted.grace_seconds,
        created_by=access.caller.username,
    )
    _tell(session, access, row, "update" if known else "create")
    return members(rotator)


def require_rotator(session: Session, *, access: Access, key_id: int) -> Rotator:
    """Return the rotator of a key; raises KeyNotFound, OutsideScope, RotatorNotFound."""
    _require(session, access, key_id, Permission.READ)
    rotator = crud.get_rotator(session, key_id=key_id)
    if rotator is None:
        raise RotatorNotFound
    return rotator


def remove(session: Session, *, access: Access, key_id: int) -> None:
    """Leave a key's value to people again; raises RotatorNotFound, RotatorBusy."""
    row = _require(session, access, key_id, Permission.ADMIN)
    rotator = require_rotator(session, access=access, key_id=key_id)
    if rotator.step is not None and rotator.orphaned_at is None:
        raise RotatorBusy
    crud.delete_rotator(session, key_id=key_id)
    _tell(session, access, row, "delete")


def rotate(session: Session, *, access: Access, key_id: int) -> dict[str, Any]:
    """Renew a key's value now, or go on where it stopped; return the members of `RotatorRead`.

    The session is given back before other systems are called. Raises RotationUnderWay.
    """
    _require(session, access, key_id, Permission.WRITE)
    rotator = require_rotator(session, access=access, key_id=key_id)
    session.close()
    engine.run(rotator.id, asked=True)
    found = crud.get_rotator(session, key_id=key_id)
    if found is None:
        raise RotatorNotFound
    return members(found)


def _require(session: Session, access: Access, key_id: int, permission: Permission) -> AnyRow:
    row = require_key(session, access=access, key_id=key_id)
    level = Level(row.service, row.environment)
    access.require(permission, level)
    if permission is not Permission.READ and not access.allows(Permission.PUBLISH):
        name = level.environment
        if name and secrets_crud.is_protected(session, workspace_id=access.workspace_id, name=name):
            raise ProtectedEnvironment(name)
    return row


def _tell(session: Session, access: Access, row: AnyRow, action: str) -> None:
    record(
        session,
        Happened(
            action=action,
            resource_type="rotator",
            resource_id=str(row.Key.id),
            service=Level(row.service, row.environment).name,
            environment=row.environment,
            actor_id=access.caller.user_id,
            actor_name=access.caller.username,
            workspace_id=access.workspace_id,
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
