"""The wire of feature flags and segments (contract F)."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    model_validator,
)

from app.configs.levels import EnvironmentName
from app.core.schemas import MAX_ID, Label, Message, Moment, Strict, refuse_null, storable
from app.flags.names import FlagName, SegmentName
from app.versions.schemas import DiffSummary

MAX_TARGETS = 100_000

Description = Annotated[str, Field(max_length=2000), AfterValidator(storable)]
UserId = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(storable)]
Users = Annotated[list[UserId], Field(max_length=MAX_TARGETS)]
Percentage = Annotated[float, Field(strict=True, ge=0, le=100)]
Owner = Annotated[str, Field(max_length=255), AfterValidator(storable)]
Object = dict[str, Any]
FlagType = Literal["boolean", "string", "number", "object"]
Expected = Annotated[int, Field(strict=True, ge=0, le=MAX_ID)]


def no_switch(value: Any) -> Any:
    """Refuse true and false, which are equal to 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004  (Pydantic's way)
    return value


def unique(labels: list[str]) -> list[str]:
    """Return labels of which none is there twice, or raise ValueError."""
    if len({*labels}) != len(labels):
        raise ValueError("must not name one twice")
    return labels


Tags = Annotated[list[Label], Field(max_length=100), AfterValidator(unique)]


class FlagMembers(Strict):
    """What both a new flag and a change of one may say."""

    description: Description | None = None
    is_enabled: StrictBool | None = None
    rollout_percentage: Annotated[
        Percentage | None,
        Field(description="Who gets the on variant, beside the target users; null: everybody"),
    ] = None
    target_users: Users | None = None
    variants: Annotated[Object, Field(description="Values by name")] | None = None
    variant_schema: Annotated[
        Object | None,
        Field(description="A JSON Schema (2020-12) that every variant's value must fit"),
    ] = None
    off_variant: str | None = None
    default_variant: str | None = None
    rules: list[Object] | None = None
    prerequisites: list[Object] | None = None
    bucket_by: str | None = None
    hash_version: Annotated[Literal[1] | None, BeforeValidator(no_switch)] = None
    tags: Tags | None = None
    owner: Owner | None = None
    expires_at: Annotated[
        Moment | None, Field(description="When it should be gone; it changes no evaluation")
    ] = None

    @model_validator(mode="after")
    def check_one_way(self) -> Self:
        """Refuse rules together with the two members that stand for rules."""
        if self.rules is not None and (self.rollout_percentage is not None or self.target_users):
            raise ValueError("rules stand for target_users and rollout_percentage: give one")
        refuse_null(self, "description", "is_enabled", "rules", "prerequisites", "tags")
        return self


class FlagCreate(FlagMembers):
    """A new flag in one environment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "new_checkout",
                    "environment": "production",
                    "is_enabled": True,
                    "target_users": ["ada"],
                    "rollout_percentage": 25,
                }
            ]
        }
    )

    name: FlagName
    environment: EnvironmentName
    is_enabled: StrictBool
    type: FlagType = "boolean"
    message: Message | None = None


class FlagUpdate(FlagMembers):
    """What shall change; an absent member stays as it is."""

    expected_version: Expected | None = None
    accept_rebucketing: StrictBool = False
    message: Message | None = None


class FlagRollback(Strict):
    """The version to go back to."""

    version: Annotated[int, Field(ge=1, le=MAX_ID)]
    message: Message | None = None
    accept_rebucketing: StrictBool = False


class FlagRead(BaseModel):
    """A flag in one environment.

    `target_users` and `rollout_percentage` are null where `rules` say more than they can:
    `is_simple` is false then, and they cannot be written.
    """

    id: int
    name: str
    description: str
    environment: str
    type: str
    is_enabled: bool
    rollout_percentage: float | None
    target_users: list[str] | None
    is_simple: bool
    variants: Object
    variant_schema: Object | None
    off_variant: str
    default_variant: str | None
    rules: list[Object]
    prerequisites: list[Object]
    bucket_by: str
    hash_version: int
    salt: str
    tags: list[str]
    owner: str | None
    expires_at: datetime | None
    version: int
    revision: int
    created_at: datetime
    updated_at: datetime


class FlagList(BaseModel):
    """A page of flags by name."""

    feature_flags: list[FlagRead]
    total: int
    limit: int
    offset: int


class FlagVersionRead(BaseModel):
    """One version of a flag; `definition` is null where it was deleted."""

    version: int
    revision: int
    action: str
    message: str | None
    definition: Object | None
    created_at: datetime
    created_by: str


class FlagVersionList(BaseModel):
    """A page of versions, newest first."""

    versions: list[FlagVersionRead]
    next_cursor: str | None


class FlagDiffRead(BaseModel):
    """What differs between two versions of a flag, by their definitions.

    `diff` is DeepDiff's, order ignored; `patch` is RFC 6902.
    """

    id: int
    from_: int = Field(alias="from")
    to: int
    diff: Object | None
    patch: list[Object]
    text: str
    summary: DiffSummary
    diff_truncated: bool


class SegmentMembers(Strict):
    """What a segment consists of."""

    description: Description = ""
    included: Users = Field(default_factory=list)
    excluded: Users = Field(default_factory=list)
    when: Object | None = None
    expected_version: Expected | None = None


class SegmentWrite(SegmentMembers):
    """What a segment shall be."""

    message: Message | None = None


class SegmentCreate(SegmentWrite):
    """A new segment."""

    name: SegmentName


class SegmentRead(BaseModel):
    """A segment of the workspace."""

    name: str
    description: str
    included: list[str]
    excluded: list[str]
    when: Object | None
    version: int
    revision: int


class SegmentList(BaseModel):
    """All segments by name."""

    segments: list[SegmentRead]
