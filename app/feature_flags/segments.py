"""`/api/v1/segments`: conditions with a name, for the rules of all flags (contract F)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.changes import edits
from app.changes.deps import Preconditions, expecting
from app.changes.plan import Change, Edit, Edited, Precondition, SegmentTarget, Stored
from app.changes.service import apply
from app.core.answers import answer
from app.core.errors import AppError
from app.core.routing import Route, SessionDep
from app.core.schemas import problems
from app.feature_flags import presenters
from app.feature_flags.schemas import (
    SegmentCreate,
    SegmentList,
    SegmentMembers,
    SegmentRead,
    SegmentWrite,
)
from app.flags import crud
from app.flags.errors import SegmentExists, SegmentNotFound
from app.idempotency.deps import Idempotent
from app.workspaces.deps import Access, ReadAccess, Waited, WriteAccess
from app.workspaces.permissions import Permission

router = APIRouter(prefix="/api/v1/segments", tags=["flags"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)
MEMBERS = {"description", "included", "excluded", "when"}

Name = Annotated[str, Path(max_length=255, description="The segment's name")]


@router.get("", response_model=SegmentList, responses=READ, dependencies=[Waited])
def list_segments(session: SessionDep, access: ReadAccess) -> Response:
    """List the segments of the workspace by name."""
    access.require_segments(Permission.READ)
    rows = crud.list_segments(session, workspace_id=access.workspace_id)
    access.count_read("segment", "*")
    return answer({"segments": [presenters.segment(row) for row in rows]})


@router.post("", response_model=SegmentRead, status_code=201, responses=WRITE)
def create_segment(
    body: SegmentCreate,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Create a segment, or revive a deleted one."""
    edit = creating(body.name, body)
    members = _commit(session, access, body.name, edit, body.message, precondition, creates=True)
    return answer(members, status=201)


@router.get("/{name:text}", response_model=SegmentRead, responses=READ, dependencies=[Waited])
def get_segment(name: Name, session: SessionDep, access: ReadAccess) -> Response:
    """Get a segment."""
    access.require_segments(Permission.READ)
    access.count_read("segment", name)
    return answer(_segment(session, access, name))


@router.put("/{name:text}", response_model=SegmentRead, responses=WRITE)
def update_segment(
    name: Name,
    body: SegmentWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
) -> Response:
    """Replace a segment."""
    access.require_segments(Permission.READ)
    edit = changing(body, missing=SegmentNotFound(name, access.slug))
    expected = expecting(precondition, body.expected_version)
    return answer(_commit(session, access, name, edit, body.message, expected))


@router.delete("/{name:text}", status_code=204, responses=WRITE)
def delete_segment(
    name: Name, session: SessionDep, access: WriteAccess, precondition: Preconditions
) -> Response:
    """Delete a segment that no rule names."""
    edit = edits.remove(missing=SegmentNotFound(name, access.slug))
    change = Change(SegmentTarget(name), edit, precondition)
    apply(session, access=access, changes=[change])
    return Response(status_code=204)


def creating(name: str, body: SegmentMembers) -> Edit:
    """Return the edit that stores a new segment; raises SegmentExists."""

    def edit(stored: Stored) -> Edited:
        if stored.exists:
            raise SegmentExists(name)
        return storing(body)(stored)

    return edit


def changing(body: SegmentMembers, *, missing: AppError) -> Edit:
    """Return the edit that replaces a segment; raises `missing`."""

    def edit(stored: Stored) -> Edited:
        if not stored.exists:
            raise missing
        return storing(body)(stored)

    return edit


def storing(body: SegmentMembers) -> Edit:
    """Return the edit that stores a segment, new or not."""
    return edits.store(body.model_dump(mode="json", include=MEMBERS))


def _commit(
    session: Session,
    access: Access,
    name: str,
    edit: Edit,
    message: str | None,
    precondition: Precondition,
    *,
    creates: bool = False,
) -> dict[str, Any]:
    change = Change(SegmentTarget(name), edit, precondition, creates=creates)
    apply(session, access=access, changes=[change], message=message)
    return _segment(session, access, name)


def _segment(session: Session, access: Access, name: str) -> dict[str, Any]:
    row = crud.get_segment(session, workspace_id=access.workspace_id, name=name)
    if row is None:
        raise SegmentNotFound(name, access.slug)
    return presenters.segment(row)
