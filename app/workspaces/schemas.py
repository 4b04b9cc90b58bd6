"""The wire of workspaces, their members and services."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from app.core.schemas import Label, Strict
from app.workspaces.names import OwnServiceName, Slug

Role = Literal["viewer", "editor", "admin", "owner"]
UserName = Annotated[str, Path(max_length=64, description="A user's name, in any case")]
ServiceInPath = Annotated[str, Path(max_length=100, description="The service as it is called now")]
NameCursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before")
]
Prefix = Annotated[
    str, Query(max_length=100, pattern=r"^[^\x00]*$", description="What the names begin with")
]


class WorkspaceCreate(Strict):
    """A new workspace."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"slug": "payments"}]})

    slug: Slug
    name: Label | None = Field(default=None, description="Left out: the slug")


class WorkspaceUpdate(Strict):
    """What may be changed of a workspace; what is left out stays."""

    slug: Slug | SkipJsonSchema[None] = None
    name: Label | SkipJsonSchema[None] = None

    @field_validator("slug", "name", mode="before")
    @classmethod
    def not_null(cls, value: object) -> object:
        """Tell null from absent."""
        if value is None:
            raise ValueError("must not be null: leave it out to keep it")
        return value


class WorkspaceRead(BaseModel):
    """A workspace, and what the caller is in it."""

    id: int
    slug: str
    name: str
    personal: bool
    role: str
    created_at: datetime
    revision: int


class WorkspaceList(BaseModel):
    """A page of workspaces."""

    workspaces: list[WorkspaceRead]
    next_cursor: str | None


class MemberUpdate(Strict):
    """The role that a user shall have."""

    role: Role


class MemberRead(BaseModel):
    """A member of a workspace. `email` is for its admins."""

    model_config = ConfigDict(from_attributes=True)

    user_id: int
    username: str
    email: str | None
    role: Role
    created_at: datetime


class MemberList(BaseModel):
    """A page of members."""

    members: list[MemberRead]
    next_cursor: str | None


class ServiceUpdate(Strict):
    """The service's new name."""

    name: OwnServiceName


class ServiceRead(BaseModel):
    """A service of a workspace."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    created_at: datetime


class ServiceList(BaseModel):
    """A page of services."""

    services: list[ServiceRead]
    next_cursor: str | None
