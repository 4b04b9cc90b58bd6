"""Levels: how wide a config reaches, and the names that address one."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

GLOBAL = "_global"
RESERVED = frozenset(
    "list get update versions diff rollback delete restore health search export import "  # noqa: SIM905
    "merge schema impact bulk".split()
)
_NAME = re.compile(r"^[A-Za-z0-9._:-]{1,100}$")


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


def check_name(name: str) -> str:
    """Return a name of a service or environment, or raise ValueError saying what is wrong."""
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 100 of A-Z a-z 0-9 . _ : -")
    if name.startswith("_"):
        raise ValueError("must not begin with _ (only _global exists)")
    if set(name) == {"."}:
        raise ValueError("must not be only dots")
    return name


def check_service(name: str) -> str:
    """Return a service's name or `_global`; raise ValueError."""
    if name == GLOBAL:
        return name
    if name in RESERVED:
        raise ValueError("is a reserved word: choose another name")
    return check_name(name)


ServiceName = Annotated[str, AfterValidator(check_service)]
EnvironmentName = Annotated[str, AfterValidator(check_name)]
ServiceQuery = Annotated[
    ServiceName,
    Query(alias="service", description="The service, or `_global`", examples=["billing"]),
]
EnvironmentQuery = Annotated[
    EnvironmentName | None, Query(description="Left out: the level of all environments")
]
