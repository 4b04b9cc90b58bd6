"""The wire of versioned names (surface D)."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.configs.levels import ServiceName
from app.core.schemas import Strict

Data = Annotated[dict[str, Any], Field(examples=[{"timeout": 30}])]


class NameCreate(Strict):
    """A new document."""

    name: ServiceName
    data: Data


class NameWrite(Strict):
    """The new content of a document."""

    data: Data


class NameRead(BaseModel):
    """A version of a document; `created_at` in Unix seconds."""

    name: str
    version: int
    data: dict[str, Any] | None = Field(description="null for a caller who may only write")
    created_at: int
