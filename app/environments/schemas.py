"""The wire of environments."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.configs.levels import EnvironmentName
from app.core.schemas import Message, Strict, refuse_null, storable

Description = Annotated[str, Field(max_length=2000), AfterValidator(storable)]


class EnvironmentCreate(Strict):
    """A new environment; a protected one only takes changes from those who may publish."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "qa", "description": "nightly tests"}]}
    )

    name: EnvironmentName
    description: Description = ""
    protected: bool = False


class EnvironmentUpdate(Strict):
    """What shall change; an absent member stays as it is."""

    name: EnvironmentName | None = None
    description: Description | None = None
    protected: bool | None = None
    message: Message | None = None

    @model_validator(mode="after")
    def check_nulls(self) -> Self:
        """Refuse null: it has no meaning here."""
        refuse_null(self, "name", "description", "protected")
        return self


class EnvironmentRead(BaseModel):
    """An environment of a workspace."""

    name: str
    description: str
    protected: bool
    created_at: datetime


class EnvironmentList(BaseModel):
    """A page of environments, oldest first."""

    environments: list[EnvironmentRead]
    next_cursor: str | None
