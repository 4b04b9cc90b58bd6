"""The wire of API keys."""

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.core.schemas import Label, Moment, Strict
from app.workspaces.permissions import Permission
from app.workspaces.scopes import ANY, check_flag_pattern, check_network, check_pattern

T = TypeVar("T")

MAX_ENTRIES = 50
MAX_OVERLAP = 7 * 24 * 3600
LAST_YEAR = 9998


def _once(values: list[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _future(value: datetime) -> datetime:
    if value.year > LAST_YEAR:
        raise ValueError("is too far away")
    if value <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return value


Pattern = Annotated[str, AfterValidator(check_pattern)]
Patterns = Annotated[
    list[Pattern], Field(min_length=1, max_length=MAX_ENTRIES), AfterValidator(_once)
]
Services = Annotated[list[Pattern], Field(max_length=MAX_ENTRIES), AfterValidator(_once)]
FlagPatterns = Annotated[
    list[Annotated[str, AfterValidator(check_flag_pattern)]],
    Field(min_length=1, max_length=MAX_ENTRIES),
    AfterValidator(_once),
]
Actions = Annotated[list[Permission], Field(min_length=1), AfterValidator(_once)]
Network = Annotated[str, Field(max_length=64), AfterValidator(check_network)]
Networks = Annotated[list[Network], Field(max_length=MAX_ENTRIES), AfterValidator(_once)]
Future = Annotated[Moment, AfterValidator(_future)]


class KeyScopes(Strict):
    """What a key may do, for which services and environments, from where.

    Patterns know `*` for any text. Only `*` covers the level of all environments, and only
    `*` or `_global` what reaches every service. No addresses: from anywhere.
    """

    actions: Actions = Field(default=[Permission.READ])
    services: Services = Field(default=[ANY], description="None: for flags alone")
    environments: Patterns = Field(default=[ANY])
    flags: FlagPatterns = Field(
        default=[ANY],
        description="With `*`, flags are written only by keys that reach every service",
    )
    addresses: Networks = Field(default=[])


class ApiKeyCreate(Strict):
    """A new API key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "billing in production",
                    "scopes": {
                        "actions": ["read"],
                        "services": ["billing"],
                        "environments": ["production"],
                        "addresses": ["10.0.0.0/8"],
                    },
                }
            ]
        }
    )

    name: Label
    scopes: KeyScopes = KeyScopes()
    expires_at: Future | None = None


class ApiKeyRotate(Strict):
    """How long the old text shall go on working."""

    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP)] = 3600


class ScopesRead(BaseModel):
    """What a key may do, and where."""

    model_config = ConfigDict(from_attributes=True)

    actions: list[Permission]
    services: list[str]
    environments: list[str]
    flags: list[str]
    addresses: list[str]


class ApiKeyRead(BaseModel):
    """An API key, without its text."""

    id: int
    name: str
    prefix: str
    scopes: ScopesRead
    expires_at: datetime | None
    expired: bool
    last_used_at: datetime | None
    created_at: datetime
    created_by: str


class ApiKeyShown(ApiKeyRead):
    """An API key with its text, which is shown this once: a replay has null there."""

    key: str | None


class ApiKeyList(BaseModel):
    """A page of API keys."""

    api_keys: list[ApiKeyRead]
    next_cursor: str | None
