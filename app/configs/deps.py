"""The past as a parameter of reads."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query
from sqlalchemy.orm import Session

from app.configs.errors import AtOutOfRange
from app.core.errors import Invalid
from app.core.routing import SessionDep
from app.core.schemas import in_utc
from app.versions import crud as versions_crud
from app.workspaces import crud as workspaces_crud
from app.workspaces.deps import Access, ReadAccess

CLOCK_SKEW = timedelta(seconds=5)

At = Annotated[
    str | None,
    Query(max_length=64, description="The past: a revision, or a time as in RFC 3339"),
]


def get_at(session: SessionDep, access: ReadAccess, at: At = None) -> int | None:
    """Return the revision that `at` names, None for now."""
    return None if at is None else revision_of(session, access=access, at=at)


def revision_of(session: Session, *, access: Access, at: str) -> int:
    """Return the revision that a number or a time names; raise AtOutOfRange, Invalid."""
    head = workspaces_crud.get_head(session, workspace_id=access.workspace_id)
    if at.isascii() and at.isdecimal():
        if int(at) > head:
            raise AtOutOfRange(head, future=True)
        return int(at)
    moment = _moment(at)
    if moment > datetime.now(UTC) + CLOCK_SKEW:
        raise AtOutOfRange(head, future=True)
    revision = versions_crud.revision_at(session, workspace_id=access.workspace_id, at=moment)
    if revision is None:
        raise AtOutOfRange(head, future=False)
    return revision


def _moment(text: str) -> datetime:
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return in_utc(moment)
    raise Invalid(
        "at must be a revision (an integer) or a time with its offset, such as "
        "2026-01-31T12:00:00Z.",
        loc=("query", "at"),
    )


AsOf = Annotated[int | None, Depends(get_at)]
