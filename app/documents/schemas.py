"""The wire of documents (surface A)."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.configs.levels import EnvironmentName, ServiceName
from app.core.schemas import MAX_ID, Message, Strict
from app.versions.schemas import DiffSummary

Document = Annotated[
    dict[str, Any],
    Field(description="Any JSON object", examples=[{"database": {"host": "db", "port": 5432}}]),
]
ExpectedVersion = Annotated[
    int | None,
    Field(
        strict=True,
        ge=0,
        le=MAX_ID,
        description="Refuse unless it is at this version; 0: must not exist",
    ),
]


class DocumentWrite(Strict):
    """The new document of a service's level."""

    environment: EnvironmentName | None = None
    config: Document
    message: Message | None = None
    expected_version: ExpectedVersion = None


class NamedDocumentWrite(DocumentWrite):
    """The new document, with the service's name in the body."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "billing",
                    "config": {"database": {"host": "db1", "timeout": 30}},
                    "message": "first version",
                }
            ]
        }
    )

    name: ServiceName


class RollbackWrite(Strict):
    """The version number to go back to."""

    version: Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]
    environment: EnvironmentName | None = None
    message: Message | None = None
    expected_version: ExpectedVersion = None


class MergeWrite(Strict):
    """Your document, and the version that it was made from."""

    base_version: Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]
    environment: EnvironmentName | None = None
    config: Document
    message: Message | None = None


class ConfigRead(BaseModel):
    """A stored document at one level."""

    id: int
    name: str
    service: str
    environment: str | None
    workspace: str
    config: dict[str, Any] | None = Field(description="null for a caller who may only write")
    version: int
    revision: int
    user_id: int | None
    updated_at: datetime
    updated_by: str


class ConfigList(BaseModel):
    """A page of configs."""

    configs: list[ConfigRead]
    next_cursor: str | None


class VersionRead(BaseModel):
    """One version; `config` is null where the document was deleted."""

    id: int
    version: int
    revision: int
    config: dict[str, Any] | None
    action: str
    message: str | None
    created_at: datetime
    created_by: str
    checksum: str | None


class VersionList(BaseModel):
    """A page of versions, newest first."""

    service_name: str
    versions: list[VersionRead]
    next_cursor: str | None


class DiffRead(BaseModel):
    """What differs between two versions."""

    service: str
    version1: int
    version2: int
    diff: dict[str, Any] | None
    patch: list[dict[str, Any]]
    text: str
    summary: DiffSummary
    diff_truncated: bool = False


class LevelRead(BaseModel):
    """A level, and the version of its document that took part."""

    level: str
    service: str
    environment: str | None
    version: int
    revision: int


class HiddenRead(LevelRead):
    """A wider value that a narrower level replaced."""

    value: Any


class OriginRead(HiddenRead):
    """A value, where it comes from, and what it hides, widest first."""

    hides: list[HiddenRead]


class Explanation(BaseModel):
    """Where everything comes from; `values` by address (the path with dots)."""

    levels: list[LevelRead]
    values: dict[str, OriginRead]
    warnings: list[str]


class EffectiveRead(BaseModel):
    """The config as the service sees it; `explain` only if asked for."""

    service: str
    environment: str | None
    version: str
    revision: int
    config: dict[str, Any]
    document_version: int | None
    document_etag: str | None
    explain: Explanation | None = None


class Deleted(BaseModel):
    """It is deleted."""

    detail: str = "Configuration deleted"
