"""The wire of the use of flags."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.configs.levels import EnvironmentName
from app.core.schemas import storable
from app.usage.staleness import Reason

MAX_ENTRIES = 10_000
MAX_COUNT = 10**9
MAX_NAME = 255

Text = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(storable)]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]


class Reported(BaseModel):
    """A part of a report; members that this server does not know are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class UnknownReport(Reported):
    """How often a flag was asked for that is not there."""

    flag: Text
    count: Count


class CountReport(UnknownReport):
    """How often a flag gave a variant by a rule; null: by none."""

    variant: Text
    rule_id: Text | None = None


class UsageReport(Reported):
    """What a client has evaluated itself since its last report."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "environment": "production",
                    "counts": [
                        {"flag": "new_checkout", "variant": "on", "rule_id": "rollout", "count": 70}
                    ],
                    "unknown": [{"flag": "old_checkout", "count": 2}],
                }
            ]
        }
    )

    environment: EnvironmentName
    counts: Annotated[list[CountReport], Field(max_length=MAX_ENTRIES)] = Field(
        default_factory=list
    )
    unknown: Annotated[list[UnknownReport], Field(max_length=MAX_ENTRIES)] = Field(
        default_factory=list
    )


class CountRead(BaseModel):
    """How often a flag gave a variant by a rule."""

    variant: str
    rule_id: str | None
    count: int
    first_seen: datetime
    last_seen: datetime


class FlagUsage(BaseModel):
    """What a flag gave in one environment; `last_seen` null: nothing for 90 days."""

    flag: str
    environment: str
    last_seen: datetime | None
    total: int
    counts: list[CountRead]


class UnknownRead(BaseModel):
    """A flag that was asked for and is not there."""

    flag: str
    environment: str
    count: int
    first_seen: datetime
    last_seen: datetime


class UsageRead(BaseModel):
    """The use of flags by name, and unknown ones, those asked for most first."""

    flags: list[FlagUsage]
    unknown: list[UnknownRead]


class StaleRead(BaseModel):
    """A flag that may have had its day: why, since when, and what to do next."""

    flag: str
    environment: str
    reasons: list[Reason]
    since: datetime
    variant: str | None
    owner: str | None
    expires_at: datetime | None
    hint: str


class StaleList(BaseModel):
    """Stale flags by name."""

    flags: list[StaleRead]
