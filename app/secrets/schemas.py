"""The wire of sharing and destroying secrets."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from app.core.schemas import Strict, storable

HOUR = 3600
MAX_TTL = 30 * 24 * HOUR


class WrapWrite(Strict):
    """A value to be read once by somebody else."""

    value: Annotated[Any, Field(description="Any JSON value", examples=["a password"])]
    ttl_seconds: Annotated[int, Field(strict=True, ge=1, le=MAX_TTL)] = HOUR


class Wrapped(BaseModel):
    """What opens the value, once; null where the same call is answered again."""

    token: str | None
    expires_at: datetime


class UnwrapWrite(Strict):
    """The token."""

    token: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]


class Unwrapped(BaseModel):
    """The value, and who wrapped it."""

    value: Any
    created_by: str
    created_at: datetime


class DestroyWrite(Strict):
    """The name of the secret's key, typed to say that it is meant."""

    name: Annotated[str, Field(max_length=255), AfterValidator(storable)]


class Destroyed(BaseModel):
    """The value is gone; its handle and fingerprint stay in the history."""

    handle: str
    key: str
    service: str
    environment: str | None
    destroyed_at: datetime
