"""How far a caller's right reaches: actions, services, environments, flags, addresses."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Protocol

from app.models import ApiKey
from app.workspaces.names import GLOBAL
from app.workspaces.permissions import Permission

ANY = "*"
_FLAG_PATTERN = re.compile(r"^[A-Za-z0-9._:/*-]{1,255}$")
_PATTERN = re.compile(r"^[A-Za-z0-9._:*-]{1,100}$")


class Place(Protocol):
    """A level: the service's name on the wire, and the environment or None for all."""

    @property
    def name(self) -> str:
        """Return the service's name, `_global` for every service."""

    @property
    def environment(self) -> str | None:
        """Return the environment's name."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What an API key may do, where, from where and until when.

    Patterns know `*`; no addresses: from anywhere; `until` None: for ever.
    """

    actions: frozenset[Permission]
    services: tuple[str, ...] = (ANY,)
    environments: tuple[str, ...] = (ANY,)
    addresses: tuple[str, ...] = ()
    until: datetime | None = None
    flags: tuple[str, ...] = (ANY,)

    @classmethod
    def of(cls, key: ApiKey) -> "Scopes":
        """Return the scopes of a stored key."""
        return cls(
            frozenset(map(Permission, key.actions)),
            tuple(key.services),
            tuple(key.environments),
            tuple(key.addresses),
            key.expires_at,
            tuple(key.flags),
        )

    @property
    def everywhere(self) -> bool:
        """Say whether every service, environment and flag is covered."""
        return ANY in self.services and ANY in self.environments and ANY in self.flags

    def covers(self, place: Place) -> bool:
        """Say whether a level is covered; only `*` covers the level of all environments."""
        return covered(place.name, self.services) and covered(place.environment, self.environments)

    def covers_flag(self, flag: str, environment: str, *, to_write: bool) -> bool:
        """Say whether a flag is covered; to write it a key must reach every service, or name it."""
        return (
            covered(environment, self.environments)
            and covered(flag, self.flags)
            and (not to_write or ANY not in self.flags or covered(GLOBAL, self.services))
        )

    def contains(self, other: "Scopes") -> bool:
        """Say whether another key's scopes are part of these. Patterns are compared as text."""
        return (
            other.actions <= self.actions
            and (ANY in self.services or set(other.services) <= set(self.services))
            and (ANY in self.environments or set(other.environments) <= set(self.environments))
            and self._contains_flags(other)
            and (not self.addresses or _confined(other.addresses, self.addresses))
            and (self.until is None or (other.until is not None and other.until <= self.until))
        )

    def _contains_flags(self, other: "Scopes") -> bool:
        """Say whether another key's flags are part of these; naming some may be more than `*`."""
        if ANY not in self.flags:
            return set(other.flags) <= set(self.flags)
        writes = Permission.WRITE in other.actions and ANY not in other.flags
        return not writes or covered(GLOBAL, self.services)

    def admits(self, address: str | None) -> bool:
        """Say whether a call may come from an address."""
        if not self.addresses:
            return True
        try:
            caller = ip_address(address or "")
        except ValueError:
            return False
        mapped = getattr(caller, "ipv4_mapped", None)
        return any((mapped or caller) in ip_network(one) for one in self.addresses)


def _confined(addresses: tuple[str, ...], limits: tuple[str, ...]) -> bool:
    return bool(addresses) and set(addresses) <= set(limits)


def covered(name: str | None, patterns: tuple[str, ...]) -> bool:
    """Say whether a name fits a pattern. None and `_global` only fit `*` and themselves."""
    if ANY in patterns:
        return True
    if name is None or name == GLOBAL:
        return name in patterns
    return any(_regex(pattern).fullmatch(name) for pattern in patterns)


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split(ANY))))


def check_pattern(pattern: str) -> str:
    """Return a pattern for names, or raise ValueError saying what is wrong."""
    if pattern != GLOBAL and not _PATTERN.fullmatch(pattern):
        raise ValueError("must be 1 to 100 of A-Z a-z 0-9 . _ : - and * for any text")
    return _few_stars(pattern)


def check_flag_pattern(pattern: str) -> str:
    """Return a pattern for names of flags, or raise ValueError saying what is wrong."""
    if not _FLAG_PATTERN.fullmatch(pattern):
        raise ValueError("must be 1 to 255 of A-Z a-z 0-9 . _ : / - and * for any text")
    # Any name by other words: naming flags may be more than reaching all (`covers_flag`).
    return _few_stars(pattern) if pattern.strip(ANY) else ANY


def _few_stars(pattern: str) -> str:
    if pattern.count(ANY) > 4:  # noqa: PLR2004  (matching stays cheap)
        raise ValueError("may have 4 * at most")
    return pattern


def check_network(address: str) -> str:
    """Return an address or network in its usual spelling, or raise ValueError."""
    try:
        return str(ip_network(address, strict=False))
    except ValueError:
        raise ValueError("must be an address or a network such as 10.0.0.0/8") from None
