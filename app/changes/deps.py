"""What the headers of a write demand."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Header, Query

from app.changes.plan import Precondition
from app.core.answers import tags
from app.core.errors import Invalid
from app.core.schemas import MAX_ID, Message

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


class PreconditionUnsupported(Invalid):
    """The call is about many objects: a condition on one does not fit."""

    code, title = "precondition_unsupported", "Precondition unsupported"


async def refuse_precondition(if_match: IfMatch = None, if_none_match: IfNoneMatch = None) -> None:
    """Refuse headers that would say nothing here."""
    if if_match is not None or if_none_match is not None:
        raise PreconditionUnsupported(
            "If-Match and If-None-Match do not fit a call about many objects.",
            loc=("header", "If-Match"),
        )


NoPreconditions = Depends(refuse_precondition)
Preconditions = Annotated[Precondition, Depends(get_precondition)]

MessageQuery = Annotated[Message | None, Query(description="Why, for the history")]
ExpectedQuery = Annotated[
    int | None,
    Query(ge=0, le=MAX_ID, description="Refuse unless it is at this version"),
]


def expecting(precondition: Precondition, version: int | None) -> Precondition:
    """Add the `expected_version` of a body to what the headers demand."""
    return replace(precondition, version=version)
