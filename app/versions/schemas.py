"""The wire of comparisons of versions."""

from pydantic import BaseModel


class DiffSummary(BaseModel):
    """How many values were added, removed and changed."""

    added: int
    removed: int
    changed: int
