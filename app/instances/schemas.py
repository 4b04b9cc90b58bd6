"""The wire of instances."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.core.schemas import MAX_ID, printable, storable
from app.formats import json
from app.workspaces.names import EnvironmentName, OwnServiceName

MAX_METADATA = 4096
"""Bytes of an instance's metadata as JSON."""


class Status(StrEnum):
    """What became of a config in an instance."""

    APPLIED = "applied"
    REJECTED = "rejected"


def check_metadata(members: dict[str, Any]) -> dict[str, Any]:
    """Return members that are scalars and small together, or raise ValueError."""
    if any(isinstance(value, dict | list) for value in members.values()):
        raise ValueError("must have only strings, numbers, booleans and null as members")
    written = {name: _written_out(value) for name, value in members.items()}
    if len(json.dumps(written).encode()) > MAX_METADATA:
        raise ValueError(f"must be {MAX_METADATA} bytes of JSON at most, numbers written out")
    return members


def _written_out(value: Any) -> Any:
    # PostgreSQL's jsonb keeps 1e300 as 301 digits.
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else value


InstanceName = Annotated[
    str,
    Field(min_length=1, max_length=255, description="Printable, the same as long as it runs"),
    AfterValidator(printable),
]
Revision = Annotated[
    int,
    Field(strict=True, ge=0, le=MAX_ID, description="`revision` of the answer that it is about"),
]
ConfigVersion = Annotated[
    str,
    Field(max_length=64, description="`version` of the answer that it is about"),
    AfterValidator(storable),
]
ErrorText = Annotated[str, Field(max_length=2000), AfterValidator(storable)]
AppVersion = Annotated[str, Field(max_length=100), AfterValidator(storable)]
Metadata = Annotated[
    dict[str, Any],
    Field(description="Strings, numbers, booleans and null by name; 4 KiB of JSON at most"),
    AfterValidator(check_metadata),
]


class InstanceReport(BaseModel):
    """What an instance did with a config; members that this server does not know are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "service": "billing",
                    "environment": "production",
                    "instance_id": "billing-7d9f-x2x4q",
                    "revision": 42,
                    "version": "1f0c9a3b5d7e",
                    "status": "applied",
                    "app_version": "2.3.1",
                    "metadata": {"zone": "eu-1a", "pid": 4711},
                }
            ]
        },
    )

    service: OwnServiceName
    environment: EnvironmentName | None = None
    instance_id: InstanceName
    revision: Revision
    version: ConfigVersion
    status: Status
    error: ErrorText | None = None
    app_version: AppVersion | None = None
    metadata: Metadata | None = None


class InstanceRead(BaseModel):
    """An instance as it last reported; `behind` counts what changed for it since, to 1,000."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "instance_id": "billing-7d9f-x2x4q",
                    "service": "billing",
                    "environment": "production",
                    "revision": 42,
                    "version": "1f0c9a3b5d7e",
                    "behind": 0,
                    "status": "applied",
                    "error": None,
                    "app_version": "2.3.1",
                    "metadata": {"zone": "eu-1a", "pid": 4711},
                    "first_seen": "2026-11-21T10:00:00Z",
                    "last_seen": "2026-11-21T10:05:00Z",
                }
            ]
        }
    )

    instance_id: str
    service: str
    environment: str | None
    revision: int
    version: str
    behind: int
    status: Status
    error: str | None
    app_version: str | None
    metadata: dict[str, Any]
    first_seen: datetime
    last_seen: datetime


class InstanceList(BaseModel):
    """A page of instances by service, environment and name."""

    instances: list[InstanceRead]
    next_cursor: str | None
