"""The wire of evaluation (contract F)."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from app.configs.levels import EnvironmentName, ServiceName
from app.keys.schemas import FetchRead, KeyName

MAX_FLAGS = 1_000

Object = dict[str, Any]


class Asking(BaseModel):
    """Who asks; members that this server does not know are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    environment: EnvironmentName
    user_id: StrictStr | StrictInt | None = None
    context: Object | None = None


class Evaluate(Asking):
    """One flag for somebody."""

    flag_name: Annotated[str, Field(max_length=255)]


class ConfigWanted(BaseModel):
    """Whose config is wanted beside the flags, in their environment."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    app_id: ServiceName
    keys: Annotated[list[KeyName], Field(max_length=10_000)] | None = None


class EvaluateBatch(Asking):
    """Some flags or all for somebody, and the config of a service as of the same revision."""

    flags: Annotated[list[str], Field(max_length=MAX_FLAGS)] | None = None
    config: ConfigWanted | None = None


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
    """What somebody gets, by flag, and the config if that was wanted; all as of one revision."""

    evaluations: dict[str, EvaluationRead]
    revision: int
    config: FetchRead | None = None


class FlagSnapshot(BaseModel):
    """What a client needs to evaluate flags itself; people are in it as hashes.

    `prerequisites` are needed by `flags`, and not for the caller to ask for.
    """

    version: str
    environment: str
    revision: int
    flags: dict[str, Object]
    prerequisites: dict[str, Object]
    segments: dict[str, Object]
