"""The wire of rotators."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.core.schemas import Strict

DAY = 24 * 3600
Seconds = Annotated[int, Field(strict=True, ge=60, le=3650 * DAY)]
Grace = Annotated[int, Field(strict=True, ge=0, le=30 * DAY)]


class RotatorWrite(Strict):
    """How a key's value is renewed; settings depend on the type (docs/secrets.md)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "postgres",
                    "settings": {
                        "url": "postgresql://rotator:password@db:5432/app",
                        "parent": "app",
                        "users": ["app_a", "app_b"],
                    },
                    "every_seconds": 30 * DAY,
                    "grace_seconds": 3600,
                }
            ]
        }
    )

    type: Literal["random", "webhook", "postgres"]
    settings: dict[str, Any] = Field(default_factory=dict)
    every_seconds: Seconds | None = Field(default=None, description="null: only when asked")
    grace_seconds: Grace = Field(
        default=3600, description="How long the old value stays good after the new one is out"
    )


class RotatorRead(BaseModel):
    """A rotator, and how far it has come. `step` is the last one done of a renewal under way."""

    config_id: int
    type: str
    settings: dict[str, Any]
    every_seconds: int | None
    grace_seconds: int
    step: Literal["create", "set", "test", "switch"] | None
    failures: int
    last_error: str | None
    next_at: datetime | None
    rotated_at: datetime | None
    orphaned_at: datetime | None
    created_at: datetime
    created_by: str
