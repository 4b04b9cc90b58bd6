"""Rotation without a target system: a new random text."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from app.rotators.kinds.base import Job, KindSettings, random_text, read_settings, settings_of


class RandomSettings(KindSettings):
    """How long the text is."""

    length: int = Field(default=32, ge=16, le=1024)


class RandomKind:
    """Make a random text of letters and digits; nobody else has to know."""

    model = RandomSettings

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError for settings that cannot work."""
        read_settings(RandomSettings, settings)

    def create(self, job: Job) -> str:
        """Return a new text."""
        return random_text(settings_of(RandomSettings, job).length)

    def set(self, job: Job) -> None:
        """Do nothing."""

    def test(self, job: Job) -> None:
        """Do nothing."""

    def finish(self, job: Job) -> None:
        """Do nothing."""

    def rollback(self, job: Job) -> None:
        """Do nothing."""
