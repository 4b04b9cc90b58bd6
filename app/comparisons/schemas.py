"""The wire of comparisons."""

from typing import Any

from pydantic import BaseModel, Field

from app.versions.schemas import DiffSummary


class ComparisonRead(BaseModel):
    """What differs between two documents; `diff` is DeepDiff's, `patch` RFC 6902."""

    from_: str = Field(alias="from")
    to: str
    diff: dict[str, Any] | None
    patch: list[dict[str, Any]]
    text: str
    summary: DiffSummary
    diff_truncated: bool
