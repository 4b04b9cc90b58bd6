"""The flags and segments of a change set: what shall become of them, and what became."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Edit, Edited, FlagTarget, Precondition, SegmentTarget, Stored
from app.changes.service import Applied
from app.changesets.schemas import FlagChange, SegmentChange
from app.feature_flags import presenters, segments, service
from app.flags import crud
from app.flags.errors import FlagNotFound, FlagTypeDiffers, SegmentNotFound
from app.formats import json
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

CREATING = ("create", "set")


def changes(session: Session, *, access: Access, entries: Mapping[Any, Any]) -> list[Change]:
    """Return the changes of flags and segments; names are claimed in their order."""
    flags = [(place, one) for place, one in entries.items() if isinstance(one, FlagChange)]
    claimed = {
        target: service.claim(session, access=access, target=target, kind=change.type)
        for target, change in sorted(flags, key=lambda entry: entry[0])
        if change.op in CREATING
    }
    return [
        *(
            _change(place, _of_segment(place, one, access), one)
            for place, one in entries.items()
            if isinstance(one, SegmentChange)
        ),
        *(_change(target, _of_flag(target, one, claimed, access), one) for target, one in flags),
    ]


def _change(
    target: FlagTarget | SegmentTarget, edit: Edit, change: FlagChange | SegmentChange
) -> Change:
    precondition = Precondition(version=change.expected_version)
    return Change(target, edit, precondition, creates=change.op in CREATING)


def _of_segment(target: SegmentTarget, change: SegmentChange, access: Access) -> Edit:
    missing = SegmentNotFound(target.segment, access.slug)
    if change.op == "delete":
        return edits.remove(missing=missing)
    if change.op == "create":
        return segments.creating(target.segment, change)
    if change.op == "update":
        return segments.changing(change, missing=missing)
    return segments.storing(change)


def _of_flag(
    target: FlagTarget,
    change: FlagChange,
    claimed: Mapping[FlagTarget, Mapping[str, Any]],
    access: Access,
) -> Edit:
    missing = FlagNotFound(target.flag, target.environment, access.slug)
    if change.op == "delete":
        return edits.remove(missing=missing)
    revise = service.changing(
        target, change, access=access, accepted=change.accept_rebucketing, missing=missing
    )
    if change.op == "update":
        return _of_type(target, change.type, revise)
    create = service.creating(target, claimed[target], change, access=access)
    if change.op == "create":
        return create
    return lambda stored: (revise if stored.exists else create)(stored)


def _of_type(target: FlagTarget, kind: str | None, revise: Edit) -> Edit:
    """Return the edit for a flag of a type, if one is said; raises FlagTypeDiffers."""

    def edit(stored: Stored) -> Edited:
        if kind is not None and stored.exists:
            found = json.loads(stored.read())["type"]
            if found != kind:
                raise FlagTypeDiffers(target.flag, found)
        return revise(stored)

    return edit


def told(
    session: Session,
    access: Access,
    applied: Applied,
    targets: Sequence[FlagTarget | SegmentTarget],
) -> dict[Any, dict[str, Any]]:
    """Return what became of flags and segments, as far as the caller may read it."""
    ids = {target: applied.pending[target].stored.id for target in targets}
    workspace_id = access.workspace_id
    flag_ids = [ids[target] for target in targets if isinstance(target, FlagTarget)]
    segment_ids = [ids[target] for target in targets if isinstance(target, SegmentTarget)]
    flags = crud.list_flags_by_id(session, workspace_id=workspace_id, flag_ids=flag_ids)
    known = crud.list_segments_by_id(session, workspace_id=workspace_id, segment_ids=segment_ids)
    found: dict[Any, dict[str, Any]] = {}
    for target, object_id in ids.items():
        stub: dict[str, Any] = {
            "version": applied.version(target),
            "revision": applied.revision,
        }
        if isinstance(target, SegmentTarget):
            readable = access.allows(Permission.READ) and object_id in known
            stub |= {"name": target.segment}
            found[target] = presenters.segment(known[object_id]) if readable else stub
        else:
            readable = _may_read(access, target) and object_id in flags
            stub |= {"id": object_id, "name": target.flag, "environment": target.environment}
            found[target] = presenters.flag(flags[object_id]) if readable else stub
    return found


def _may_read(access: Access, target: FlagTarget) -> bool:
    return access.allows(Permission.READ) and access.scopes.covers_flag(
        target.flag, target.environment, to_write=False
    )
