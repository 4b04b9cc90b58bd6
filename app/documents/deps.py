"""Parameters that the document routes share."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Header, Query

from app.changes.plan import Precondition
from app.configs.errors import AtOutOfRange
from app.core.answers import tags
from app.core.errors import Invalid
from app.core.routing import SessionDep
from app.versions import crud as versions_crud
from app.workspaces import crud as workspaces_crud
from app.workspaces.deps import ReadAccess

CLOCK_SKEW = timedelta(seconds=5)

At = Annotated[
    str | None,
    Query(max_length=64, description="The past: a revision, or a time as in RFC 3339"),
]
IfMatch = Annotated[
    str | None, Header(description="The document's ETag: refuse (412) if it has changed")
]
IfNoneMatch = Annotated[str | None, Header(description="`*`: refuse (412) if the document exists")]


async def get_precondition(
    if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Precondition:
    """Return what a write's headers demand."""
    if if_none_match is not None and if_none_match.strip() != "*":
        raise Invalid("On a write, If-None-Match may only be *.", loc=("header", "If-None-Match"))
    return Precondition(etags=tags(if_match), must_not_exist=if_none_match is not None)


Preconditions = Annotated[Precondition, Depends(get_precondition)]


def get_at(session: SessionDep, access: ReadAccess, at: At = None) -> int | None:
    """Return the revision that `at` names, None for now. The future is refused (422)."""
    if at is None:
        return None
    if at.isascii() and at.isdecimal():
        revision = int(at)
        future = False
    else:
        moment = _moment(at)
        revision = versions_crud.revision_at(session, workspace_id=access.workspace_id, at=moment)
        future = moment > datetime.now(UTC) + CLOCK_SKEW
    head = workspaces_crud.get_head(session, workspace_id=access.workspace_id)
    if future or revision > head:
        raise AtOutOfRange(head)
    return revision


def _moment(text: str) -> datetime:
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid(
            "at must be a revision (an integer) or a time with its offset, such as "
            "2026-01-31T12:00:00Z.",
            loc=("query", "at"),
        )
    return moment


AsOf = Annotated[int | None, Depends(get_at)]
