"""The wire of change sets."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WrapValidator, model_validator

from app.configs.levels import EnvironmentName, ServiceName
from app.core.schemas import Message, Strict
from app.feature_flags.schemas import (
    Expected,
    FlagMembers,
    FlagRead,
    FlagType,
    SegmentMembers,
    SegmentRead,
)
from app.flags.names import FlagName, SegmentName
from app.keys.schemas import IsEncrypted, KeyName, KeyRead

MAX_CHANGES = 10_000

Operation = Literal["create", "update", "set", "delete"]


class KeyChange(Strict):
    """One change of one key; `service` left out: every service."""

    service: ServiceName | None = None
    environment: EnvironmentName | None = None
    key: KeyName
    op: Literal["set", "delete", "unset"]
    value: Any = None
    is_encrypted: IsEncrypted | None = None
    expected_version: Expected | None = None

    @model_validator(mode="after")
    def check_value(self) -> Self:
        """Demand a value where one is set, and none elsewhere."""
        if (self.op == "set") != ("value" in self.model_fields_set):
            raise ValueError("value belongs to op set, and only to it")
        if self.op != "set" and self.is_encrypted is not None:
            raise ValueError("is_encrypted belongs to op set")
        return self


class FlagChange(FlagMembers):
    """One change of a flag in an environment: `set` creates it, or changes what is said."""

    flag: FlagName
    environment: EnvironmentName
    op: Operation
    type: FlagType | None = None
    expected_version: Expected | None = None
    accept_rebucketing: bool = False

    @model_validator(mode="after")
    def check_members(self) -> Self:
        """Refuse members where the flag is deleted."""
        _refuse_members(self, {"flag", "environment"})
        return self


class SegmentChange(SegmentMembers):
    """One change of a segment, which is replaced as a whole."""

    segment: SegmentName
    op: Operation

    @model_validator(mode="after")
    def check_members(self) -> Self:
        """Refuse members where the segment is deleted."""
        _refuse_members(self, {"segment"})
        return self


def _refuse_members(change: FlagChange | SegmentChange, names: set[str]) -> None:
    more = change.model_fields_set - names - {"op", "expected_version"}
    if change.op == "delete" and more:
        raise ValueError(f"{min(more)} does not belong to op delete")


def _read(entry: Any, _: Callable[[Any], Any]) -> KeyChange | FlagChange | SegmentChange:
    """Read an entry as what it names, so that errors are those of one kind alone."""
    if isinstance(entry, dict):
        if "flag" in entry:
            return FlagChange.model_validate(entry)
        if "segment" in entry:
            return SegmentChange.model_validate(entry)
    return KeyChange.model_validate(entry)


Entry = Annotated[KeyChange | FlagChange | SegmentChange, WrapValidator(_read)]


class ChangeSet(Strict):
    """Changes of keys, flags and segments that are made together, or not at all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "changes": [
                        {"service": "billing", "key": "timeout", "op": "set", "value": 60},
                        {
                            "service": "shop",
                            "environment": "production",
                            "key": "banner",
                            "op": "delete",
                        },
                        {
                            "flag": "new_checkout",
                            "environment": "production",
                            "op": "set",
                            "is_enabled": True,
                            "rollout_percentage": 25,
                        },
                    ],
                    "message": "winter sale",
                }
            ]
        }
    )

    changes: Annotated[list[Entry], Field(min_length=1, max_length=MAX_CHANGES)]
    message: Message | None = None


class FlagStubRead(BaseModel):
    """A flag that was deleted, or whose definition the caller may not read."""

    id: int
    name: str
    environment: str
    version: int
    revision: int


class SegmentStubRead(BaseModel):
    """A segment that was deleted, or that the caller may not read."""

    name: str
    version: int
    revision: int


class ChangeSetRead(BaseModel):
    """The revision, and in the order of the changes what they left.

    Deleted keys are without a value, deleted flags and segments without what they said.
    """

    revision: int
    changes: list[KeyRead | FlagRead | SegmentRead | FlagStubRead | SegmentStubRead]
