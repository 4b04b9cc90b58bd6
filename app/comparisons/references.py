"""References to documents: `service[@environment][#version|@revision|@time]`."""

import re
from dataclasses import dataclass

from app.configs.levels import Level, check_name, check_service
from app.core.errors import Invalid
from app.core.schemas import MAX_ID

_REFERENCE = re.compile(
    r"(?P<service>[^@#]+)"
    r"(?:@(?P<environment>[^@#]*))?"
    r"(?:#(?P<version>[0-9]{1,16})|@(?P<at>[^@#]+))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A level, and one version of its document or its state at a revision or time."""

    level: Level
    version: int | None
    at: str | None


class InvalidReference(Invalid):
    """The text does not name a document."""

    code, title = "invalid_reference", "Invalid reference"


def parse(text: str, *, parameter: str) -> Reference:
    """Read a reference; raise InvalidReference."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InvalidReference(
            "Write service[@environment][#version|@revision|@time], for example billing, "
            "billing@production, billing#3 (# as %23), billing@@42 or billing@production@42.",
            loc=("query", parameter),
        )
    environment = match["environment"] or None
    version = int(match["version"]) if match["version"] else None
    try:
        check_service(match["service"])
        check_name(environment or "any")
    except ValueError as error:
        raise InvalidReference(f"A name in it {error}.", loc=("query", parameter)) from None
    if version is not None and not 1 <= version <= MAX_ID:
        raise InvalidReference("Versions are numbered from 1.", loc=("query", parameter))
    return Reference(Level.of(match["service"], environment), version, match["at"])
