"""Restoring a workspace: everything back to a moment, forward, in one revision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.changes import crud as changes_crud
from app.changes import kinds
from app.changes.plan import (
    Change,
    Edit,
    Edited,
    EnvironmentTarget,
    FlagTarget,
    KeyWish,
    SegmentTarget,
    Stored,
    Target,
)
from app.changes.service import apply
from app.configs.deps import revision_of
from app.configs.errors import HistoryPruned
from app.configs.levels import Level
from app.core.db import AnyRow
from app.formats import json
from app.models import Action
from app.restoration import crud
from app.restoration.schemas import RestoreWrite
from app.workspaces.deps import Access
from app.workspaces.errors import BeyondScope
from app.workspaces.permissions import Permission

NEEDED = (Permission.READ, Permission.WRITE, Permission.PUBLISH, Permission.ADMIN)


@dataclass(frozen=True, slots=True)
class Step:
    """One object that is put back."""

    target: Target
    row: AnyRow
    wishes: Mapping[str, KeyWish]

    @property
    def members(self) -> dict[str, Any]:
        """Return the members of `RestoredRead`."""
        action = "update" if self.row.old_checksum else "delete"
        if self.row.checksum is None:
            action = "create"
        return {
            "resource_type": kinds.resource_type(self.target),
            "resource_id": self.row.id,
            "name": self.row.name,
            "service": kinds.service_of(self.target),
            "environment": self.target.environment,
            "action": action,
            "from_version": self.row.version,
            "to_version": self.row.old_version if self.row.old_checksum else None,
            "keys": sorted(self.wishes),
        }


def restore(session: Session, *, access: Access, wanted: RestoreWrite) -> dict[str, Any]:
    """Put every object of a workspace back to what it was; return `RestorationRead`.

    Nobody else commits to the workspace meanwhile. A dry run leaves everything as it is. Raises
    NotAllowed, BeyondScope, AtOutOfRange, HistoryPruned.
    """
    for permission in NEEDED:
        access.require(permission)
    if not access.scopes.everywhere:
        raise BeyondScope("restore the workspace")
    changes_crud.close_gate(session, workspace_id=access.workspace_id)
    at = revision_of(session, access=access, at=_text(wanted))
    point = session.begin_nested()
    steps = _steps(session, access=access, at=at)
    revision = None
    if wanted.dry_run:
        point.rollback()
    elif steps:
        message = wanted.message or f"restored to revision {at}"
        changes = [Change(step.target, _edit(step)) for step in steps]
        revision = apply(session, access=access, changes=changes, message=message).revision
    return {
        "workspace": access.slug,
        "at": at,
        "at_time": crud.get_time(session, workspace_id=access.workspace_id, revision=at),
        "dry_run": wanted.dry_run,
        "revision": revision,
        "changes": [step.members for step in steps],
    }


def _text(wanted: RestoreWrite) -> str:
    return str(wanted.at) if isinstance(wanted.at, int) else wanted.at.isoformat()


def _steps(session: Session, *, access: Access, at: int) -> list[Step]:
    """Find what differs; environments are put back at once, because levels go by their names."""
    workspace_id = access.workspace_id
    environments = crud.list_environments(session, workspace_id=workspace_id, at=at)
    old = {row.id: json.loads(row.old_content) for row in environments if row.old_content}
    crud.put_back(
        session,
        workspace_id=workspace_id,
        contents=old,
        leaving=[row.id for row in environments if row.id not in old and row.checksum],
    )
    wishes = _wishes(crud.list_keys(session, workspace_id=workspace_id, at=at))
    configs = crud.list_configs(session, workspace_id=workspace_id, at=at, also=list(wishes))
    flags = crud.list_flags(session, workspace_id=workspace_id, at=at)
    segments = crud.list_segments(session, workspace_id=workspace_id, at=at)
    if any(row.history_from > at for row in (*environments, *configs, *flags, *segments)):
        raise HistoryPruned(at)
    names = {row.id: old[row.id]["name"] if row.id in old else row.name for row in environments}
    return [
        *(Step(EnvironmentTarget(names[row.id], row.id), row, {}) for row in environments),
        *(
            Step(Level(row.service, row.environment), row, wishes.get(row.id, {}))
            for row in configs
        ),
        *(Step(SegmentTarget(row.name), row, {}) for row in segments),
        *(Step(FlagTarget(row.name, row.environment), row, {}) for row in flags),
    ]


def _wishes(rows: Sequence[AnyRow]) -> dict[int, dict[str, KeyWish]]:
    """Return, by config and name, what keys said beside their values, where they differ."""
    wishes: dict[int, dict[str, KeyWish]] = {}
    for row in rows:
        was_live = row.old_value is not None
        if was_live:
            before = (row.old_is_active, row.old_description, row.old_value_type)
            alike = row.live and before == (row.is_active, row.description, row.value_type)
            if alike and (row.is_active or row.value == row.old_value):
                continue
            wish = KeyWish(
                value_type=row.old_value_type,
                description=row.old_description,
                parked=None if row.old_is_active else row.old_value,
                action=Action.RESTORE,
            )
        elif row.live and not row.is_active:
            wish = KeyWish(gone=True)
        else:
            continue
        wishes.setdefault(row.config_id, {})[row.name] = wish
    return wishes


def _edit(step: Step) -> Edit:
    def edit(_: Stored) -> Edited:
        row = step.row
        return Edited(row.old_content, row.old_checksum, Action.RESTORE, wishes=step.wishes)

    return edit
