"""The wire of streams (contract E)."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class TicketRead(BaseModel):
    """Opens one stream within its seconds: `?ticket=`."""

    ticket: str
    expires_in: int


class ChangeRead(BaseModel):
    """What a commit did to one thing. `service` `_global`: every one; `environment` null: all."""

    action: str
    resource_type: str
    resource_id: str | None
    level: str
    service: str
    environment: str | None
    key: str | None = None
    version: int | None = None


class CommitRead(BaseModel):
    """The data of a `change` frame; its id is `<epoch>-<revision>`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "revision": 42,
                    "at": "2026-01-31T12:00:00Z",
                    "actor": "ada",
                    "message": "more patience",
                    "changes": [
                        {
                            "action": "update",
                            "resource_type": "configuration",
                            "resource_id": "7",
                            "level": "service",
                            "service": "billing",
                            "environment": None,
                            "version": 3,
                        }
                    ],
                }
            ]
        }
    )

    revision: int
    at: datetime
    actor: str
    message: str | None
    changes: list[ChangeRead]
