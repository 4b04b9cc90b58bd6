"""What the schemas of all features share."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.formats import json

MAX_ID = 2**53 - 1
PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


class Strict(BaseModel):
    """A body that authors something: unknown members are refused, input is never echoed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def storable(text: str) -> str:
    """Return a text that PostgreSQL can hold, or raise ValueError."""
    try:
        json.check_text(text)
    except json.JsonError as error:
        raise ValueError(str(error)) from None
    return text


def printable(text: str) -> str:
    """Return a name of printable characters, or raise ValueError."""
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return storable(text)


def in_utc(moment: datetime) -> datetime:
    """Return a time as PostgreSQL takes it, which knows no offsets beyond 16 hours."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is too far away") from None


def refuse_null(body: BaseModel, *names: str) -> None:
    """Raise ValueError for members that may be left out, but not be null."""
    for name in names:
        if name in body.model_fields_set and getattr(body, name) is None:
            raise ValueError(f"{name} must not be null: leave it out to keep it")


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(storable)]
Message = Annotated[str, Field(max_length=1000), AfterValidator(storable)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="Entries in this page")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before")]

LongCursor = Annotated[
    str | None, Query(max_length=2000, description="`next_cursor` of the page before")
]


class Done(BaseModel):
    """It was done."""

    msg: str


class Problem(BaseModel):
    """RFC 9457: what every error looks like."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the OpenAPI `responses` for the errors that a route can give."""
    return {
        status: {
            "description": _MEANING[status],
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                }
            },
        }
        for status in sorted({*statuses, *ALWAYS})
    }


ALWAYS = (413, 422, 500, 503)
_MEANING = {
    401: "Nobody is logged in, or not any more",
    403: "Seen, but not allowed",
    404: "Not there, or not for you to know",
    409: "The state does not allow it",
    410: "Of another line of history",
    412: "Somebody changed it meanwhile; `current` is what it is now",
    413: "The body is larger than 1 MiB",
    415: "The body is not JSON",
    422: "The input is wrong; `errors` says where",
    429: "Too many; wait `Retry-After` seconds",
    500: "Our fault",
    502: "Another system did not do its part",
    503: "Not now; try again after `Retry-After` seconds",
}
