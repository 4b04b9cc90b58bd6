"""Names of services, environments and workspaces, as they appear on the wire."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

DEFAULT = "default"
GLOBAL = "_global"
RESERVED = frozenset(
    "list get update versions diff rollback delete restore health search export import "  # noqa: SIM905
    "merge schema impact bulk".split()
)
_NAME = re.compile(r"^[A-Za-z0-9._:-]{1,100}$")
_SLUG = re.compile(r"^[a-z0-9._-]{1,64}$")


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


def check_own_service(name: str) -> str:
    """Return the name of one service, not of all; raise ValueError."""
    return check_name(check_service(name))


def check_slug(slug: str) -> str:
    """Return a workspace's slug, which could be a user's name too; raise ValueError."""
    if not _SLUG.fullmatch(slug):
        raise ValueError("must be 1 to 64 of a-z 0-9 . _ -")
    if set(slug) == {"."} or slug.startswith("_"):
        raise ValueError("must not begin with _ or be only dots")
    return slug


ServiceName = Annotated[str, AfterValidator(check_service)]
OwnServiceName = Annotated[str, AfterValidator(check_own_service)]
EnvironmentName = Annotated[str, AfterValidator(check_name)]
Slug = Annotated[str, AfterValidator(check_slug)]


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

    def wider(self) -> tuple["Level", ...]:
        """Return the levels that reach it, the widest first, itself last."""
        both = (Level(None, None), Level(None, self.environment), Level(self.service, None), self)
        return tuple(dict.fromkeys(both))

    @property
    def reach(self) -> str:
        """Return in words how wide it reaches."""
        if self.service is None:
            return "global" if self.environment is None else "environment"
        return "service" if self.environment is None else "service in environment"

    def __str__(self) -> str:
        return f"{self.name}@{self.environment}" if self.environment else self.name
