"""The wire of the audit."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel


class ChangedPath(BaseModel):
    """One path that changed. Values are masked: whoever may see them compares the versions."""

    path: str
    op: str
    old: str | None
    new: str | None


class LogRead(BaseModel):
    """One event. `changes` is null where there is nothing to compare, or too much."""

    id: int
    entity_type: str
    entity_id: str | None
    action: str
    changes: list[ChangedPath] | None
    metadata: dict[str, Any]
    user_id: int | None
    ip_address: str | None
    user_agent: str | None
    timestamp: datetime
    app_id: str | None
    environment: str | None


class LogList(BaseModel):
    """A page of events, newest first."""

    total: int
    total_capped: bool
    page: int
    page_size: int
    logs: list[LogRead]
