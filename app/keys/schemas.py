"""The wire of keys (surfaces B and C)."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.configs.levels import MAX_KEY, EnvironmentName, ServiceName
from app.core.schemas import MAX_ID, Message, Strict, printable, refuse_null, storable
from app.formats.values import ValueType

KeyName = Annotated[str, Field(min_length=1, max_length=MAX_KEY), AfterValidator(printable)]
Description = Annotated[str, Field(max_length=2000), AfterValidator(storable)]
Version = Annotated[int, Field(strict=True, ge=0, le=MAX_ID)]
IsEncrypted = Annotated[
    bool,
    Field(
        description="Whether the whole value is a secret; left out, a secret stays one",
        examples=[False],
    ),
]


class KeyWrite(Strict):
    """What may be said of a key; an absent member leaves what is there."""

    value: Any = None
    value_type: ValueType | None = None
    description: Description | None = None
    is_encrypted: IsEncrypted | None = None
    is_active: bool | None = None
    expected_version: Version | None = None
    message: Message | None = None

    @model_validator(mode="after")
    def check_nulls(self) -> Self:
        """Refuse null where only a value or absence has a meaning."""
        refuse_null(self, "value_type", "description", "is_encrypted", "is_active")
        return self


class KeyCreate(Strict):
    """A new key; `app_id` null: every service, `environment` null: all environments."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "database.timeout",
                    "value": 30,
                    "app_id": "billing",
                    "environment": "production",
                    "description": "seconds",
                }
            ]
        }
    )

    key: KeyName
    value: Any
    value_type: ValueType | None = None
    description: Description = ""
    is_encrypted: IsEncrypted = False
    app_id: ServiceName | None = None
    environment: EnvironmentName | None = None
    message: Message | None = None


class KeyRollback(Strict):
    """The version of the key to go back to."""

    target_version: Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]
    rollback_reason: Message | None = None


class KeyRead(BaseModel):
    """A key. `value` is null for a caller who may only write, and for a deleted key."""

    id: int
    key: str
    value: Any
    value_type: str
    description: str
    is_encrypted: bool
    is_active: bool
    app_id: str | None
    environment: str | None
    version: int
    revision: int
    created_at: datetime
    updated_at: datetime
    created_by: str
    updated_by: str


class KeyList(BaseModel):
    """A page of keys by name; `total` counts 10,000 at most."""

    total: int
    total_capped: bool
    page: int
    page_size: int
    configs: list[KeyRead]
    next_cursor: str | None


class FetchQuery(BaseModel):
    """Whose config is wanted; members that this server does not know are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    app_id: ServiceName
    environment: EnvironmentName | None = None
    keys: Annotated[list[KeyName], Field(max_length=10_000)] | None = None
    version: Annotated[
        str | None, Field(max_length=64, description="The `version` that you have", examples=[None])
    ] = None
    wait: Annotated[
        float,
        Field(
            ge=0,
            le=60,
            description="With `version`: seconds to wait until the config is another one",
        ),
    ] = 0


class FetchRead(BaseModel):
    """The effective config by key."""

    configs: dict[str, Any]
    secrets: Annotated[
        list[str],
        Field(description="Addresses of the secrets in `configs`, masked or not: not to be stored"),
    ]
    version: str
    revision: int
    cache_ttl: int


class KeyVersionRead(BaseModel):
    """One version of a key; `value` is null where it was deleted."""

    id: int
    config_id: int
    version: int
    revision: int
    value: Any
    value_type: str
    change_type: str
    change_description: str | None
    changed_by: str
    changed_at: datetime
    is_rollback: bool
    rollback_from_version: int | None


class KeyVersionList(BaseModel):
    """A page of versions, newest first."""

    total: int
    total_capped: bool
    page: int
    page_size: int
    versions: list[KeyVersionRead]
    next_cursor: str | None


class ItemCreate(Strict):
    """A new key in the second family's words; `environment` null: all environments."""

    key: KeyName
    value: Any
    environment: EnvironmentName | None = None
    service_name: ServiceName
    description: Description = ""
    is_encrypted: IsEncrypted = False


class ItemWrite(Strict):
    """What may be said of a key; an absent member leaves what is there."""

    value: Any = None
    description: Description | None = None
    is_encrypted: IsEncrypted | None = None
    expected_version: Version | None = None
    message: Message | None = None

    @model_validator(mode="after")
    def check_nulls(self) -> Self:
        """Refuse null where only a value or absence has a meaning."""
        refuse_null(self, "description", "is_encrypted")
        return self


class ItemRead(BaseModel):
    """A key in the second family's words; `service_name` is `_global` for every service."""

    id: int
    key: str
    value: Any
    environment: str | None
    service_name: str
    description: str
    is_encrypted: bool
    version: int
    created_at: datetime
    updated_at: datetime


class ItemList(BaseModel):
    """A page of keys by name; `total` counts 10,000 at most."""

    configurations: list[ItemRead]
    total: int
    total_capped: bool
    limit: int
    offset: int
    next_cursor: str | None


class ItemChange(BaseModel):
    """One change of a key, with the value before and after it."""

    id: int
    configuration_id: int
    old_value: Any
    new_value: Any
    changed_by: str
    changed_at: datetime
    version: int
    revision: int


class ItemHistory(BaseModel):
    """A page of changes, newest first."""

    history: list[ItemChange]
    next_cursor: str | None
