"""What every kind of rotation is: five steps, each of which may be repeated."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

ALPHABET = string.ascii_letters + string.digits


class RotationFailed(Exception):
    """A step did not succeed; `args[0]` says why for the operator, without any value."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a step knows: `id` names the run, and is the same when a step is repeated."""

    id: str
    settings: Mapping[str, Any] = field(repr=False)
    current: Any = field(repr=False)
    """The value that was in use when the run began; None if there was none."""
    pending: Any = field(repr=False)
    """The new value; None before `create`, in use by the time of `finish`."""


class KindSettings(BaseModel):
    """Settings of a kind; those of type SecretStr are to be stored encrypted."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Kind(Protocol):
    """A kind of rotation; steps raise RotationFailed and may be repeated without harm."""

    @property
    def model(self) -> type[KindSettings]:
        """Return the model of the settings."""

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError with a sentence, or EgressRefused, for settings that cannot work."""

    def create(self, job: Job) -> Any:
        """Return the new value; nothing outside changes."""

    def set(self, job: Job) -> None:
        """Make the target system accept the pending value."""

    def test(self, job: Job) -> None:
        """Use the pending value."""

    def finish(self, job: Job) -> None:
        """Retire the old value, after the grace time; `job.pending` is the one in use."""

    def rollback(self, job: Job) -> None:
        """Undo `set`, where the pending value was never used."""


Model = TypeVar("Model", bound=KindSettings)


def read_settings(model: type[Model], settings: Mapping[str, Any]) -> Model:
    """Return validated settings; raise ValueError with a sentence that quotes nothing."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise ValueError("; ".join(map(_sentence, found))) from None


def settings_of(model: type[Model], job: Job) -> Model:
    """Return the settings of a job; raise RotationFailed if they fit no longer."""
    try:
        return read_settings(model, job.settings)
    except ValueError as error:
        raise RotationFailed(f"the settings are wrong: {error}") from None


def secret_settings(model: type[KindSettings]) -> frozenset[str]:
    """Return the names of the settings that are to be stored encrypted."""
    return frozenset(
        name for name, info in model.model_fields.items() if info.annotation is SecretStr
    )


def random_text(length: int) -> str:
    """Return random letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _sentence(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
