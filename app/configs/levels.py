"""Levels: how wide a config reaches, and the names that address one."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from app.workspaces.names import (
    GLOBAL,
    RESERVED,
    EnvironmentName,
    ServiceName,
    check_name,
    check_service,
)

__all__ = [
    "GLOBAL",
    "MAX_KEY",
    "RESERVED",
    "EnvironmentName",
    "EnvironmentQuery",
    "Level",
    "ServiceName",
    "ServiceQuery",
    "check_name",
    "check_service",
]

MAX_KEY = 255
"""Characters of a key's name."""


@dataclass(frozen=True, slots=True, order=True)
class Level:
    """A service or all (None), in an environment or all (None)."""

    service: str | None
    environment: str | None

    @classmethod
    def of(cls, service: str, environment: str | None) -> "Level":
        """Read a level from the wire, where `_global` means every service."""
        return cls(None if service == GLOBAL else service, environment)

    @property
    def name(self) -> str:
        """Return the service's name on the wire."""
        return self.service or GLOBAL

    def __str__(self) -> str:
        return f"{self.name}@{self.environment}" if self.environment else self.name


ServiceQuery = Annotated[
    ServiceName,
    Query(alias="service", description="The service, or `_global`", examples=["billing"]),
]
EnvironmentQuery = Annotated[
    EnvironmentName | None, Query(description="Left out: the level of all environments")
]
