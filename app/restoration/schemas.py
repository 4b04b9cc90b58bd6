"""The wire of restoring a workspace."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from app.core.schemas import MAX_ID, Message, Strict


def read_time(value: object) -> datetime:
    """Return a time as in RFC 3339 with its offset, or raise ValueError."""
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004  (what Pydantic turns into an answer)
            "must be a revision or a time such as 2026-01-31T12:00:00Z"
        )
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:  # its message repeats the text
        raise ValueError("must be a revision or a time such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must have an offset, such as Z")
    return moment


Moment = Annotated[datetime, BeforeValidator(read_time)]


class RestoreWrite(Strict):
    """The moment to go back to: a revision or a time."""

    at: Annotated[int, Field(strict=True, ge=0, le=MAX_ID)] | Moment
    dry_run: bool = False
    message: Message | None = None


class RestoredRead(BaseModel):
    """One object that is put back; `to_version` null: it was not there then."""

    resource_type: str
    resource_id: int
    name: str | None = Field(description="Of an environment, a flag or a segment")
    service: str | None
    environment: str | None
    action: str
    from_version: int
    to_version: int | None
    keys: list[str] = Field(description="Keys whose description, type or activity changes too")


class RestorationRead(BaseModel):
    """What was put back, or with `dry_run` would be; without a difference `revision` is null."""

    workspace: str
    at: int
    at_time: datetime
    dry_run: bool
    revision: int | None
    changes: list[RestoredRead]
