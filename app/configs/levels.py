"""Levels: how wide a config reaches, and the names that address one."""

from typing import Annotated

from fastapi import Query

from app.workspaces.names import (
    GLOBAL,
    RESERVED,
    EnvironmentName,
    Level,
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


ServiceQuery = Annotated[
    ServiceName,
    Query(alias="service", description="The service, or `_global`", examples=["billing"]),
]
EnvironmentQuery = Annotated[
    EnvironmentName | None, Query(description="Left out: the level of all environments")
]
