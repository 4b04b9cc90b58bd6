"""The wire of accounts."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.auth.passwords import MAX_BYTES, MIN_BYTES
from app.core.schemas import Strict

USERNAME = r"^[A-Za-z0-9._-]{1,64}$"
EMAIL = r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}$"


def _password(value: str) -> str:
    if not MIN_BYTES <= len(value.encode()) <= MAX_BYTES:
        raise ValueError(f"must be {MIN_BYTES} to {MAX_BYTES} bytes long")
    return value


def _name(value: str) -> str:
    if set(value) == {"."} or value.startswith("_"):
        raise ValueError("must not begin with _ or be only dots")
    return value


Password = Annotated[str, AfterValidator(_password)]
Username = Annotated[str, Field(pattern=USERNAME), AfterValidator(_name)]
Email = Annotated[str, Field(pattern=EMAIL)]
Role = Literal["user", "admin"]


class UserCreate(Strict):
    """Who registers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "username": "ada",
                    "email": "ada@example.com",
                    "password": "correct horse battery",
                }
            ]
        }
    )

    username: Username
    email: Email
    password: Password
    role: Role = "user"


class UserUpdate(Strict):
    """What an admin may change of a user."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


class PasswordChange(Strict):
    """The old and the new password."""

    old: Annotated[str, Field(max_length=MAX_BYTES)]
    new: Password


class UserRead(BaseModel):
    """A user."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    username: str
    email: str
    role: Role
    created_at: datetime


class UserDetail(UserRead):
    """A user as admins see it."""

    disabled: bool


class UserList(BaseModel):
    """A page of users."""

    users: list[UserDetail]
    next_cursor: str | None


class Membership(BaseModel):
    """A workspace and what the caller may do there."""

    slug: str
    role: str
    permissions: list[str]


class Me(UserRead):
    """The caller."""

    workspace: str
    workspaces: list[Membership]


class LoginRead(BaseModel):
    """A fresh token, and for how long."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int
    expires_at: datetime
    jti: str
