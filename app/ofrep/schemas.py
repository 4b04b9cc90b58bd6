"""The wire of the protocol, for those who read the documentation: clients know it."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class EvaluationRequest(BaseModel):
    """Who asks. `targetingKey` is only needed where a rule must bucket."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"context": {"targetingKey": "ada", "plan": "pro"}}]}
    )

    context: dict[str, Any] = {}


class EvaluationSuccess(BaseModel):
    """What somebody gets."""

    key: str
    reason: str
    variant: str
    value: Any
    metadata: dict[str, bool | str | float]


class EvaluationFailure(BaseModel):
    """Why nothing could be said, of a flag or (without `key`) of all."""

    key: str | None = None
    errorCode: str  # noqa: N815  (the protocol's names)
    errorDetails: str  # noqa: N815


class EventStream(BaseModel):
    """Where changes are told."""

    type: str
    endpoint: dict[str, str]


class BulkEvaluation(BaseModel):
    """All flags of an environment."""

    flags: list[EvaluationSuccess | EvaluationFailure]
    eventStreams: list[EventStream]  # noqa: N815


FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": EvaluationFailure, "description": "Why nothing could be said"},
    404: {"model": EvaluationFailure, "description": "There is no such flag"},
}
