"""The wire of evaluation (contract F)."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.configs.levels import EnvironmentName

MAX_FLAGS = 1_000

Object = dict[str, Any]


class Asking(BaseModel):
    """Who asks; members that this server does not know are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    environment: EnvironmentName
    user_id: str | int | None = None
    context: Object | None = None


class Evaluate(Asking):
    """One flag for somebody."""

    flag_name: Annotated[str, Field(max_length=255)]


class EvaluateBatch(Asking):
    """Some flags, or all, for somebody."""

    flags: Annotated[list[str], Field(max_length=MAX_FLAGS)] | None = None


class EvaluationRead(BaseModel):
    """What somebody gets, and why."""

    enabled: bool
    reason: str
    flag_name: str
    environment: str
    variant: str
    value: Any
    rule_id: str | None
    bucket: int | None
    revision: int


class EvaluationList(BaseModel):
    """What somebody gets, by flag; all as of one revision."""

    evaluations: dict[str, EvaluationRead]
    revision: int
