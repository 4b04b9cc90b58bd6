"""Which servers are known: a file of profiles, and what the environment says instead."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configsync.cli.api import bare, server_of
from configsync.cli.failures import Code, Failure

MEMBERS = ("url", "workspace", "service", "environment")


@dataclass
class Profiles:
    """The profiles by name, and the one that is used when none is named."""

    current: str = "default"
    known: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where a command goes: the profile, with what options and environment say instead."""

    profile: str
    url: str
    workspace: str | None
    service: str | None
    environment: str | None


def directory() -> Path:
    """Return where the command line keeps its files."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")  # noqa: PTH111, PTH118  (without a home it stays as it is)
    return Path(base) / "configsync"


def load() -> Profiles:
    """Read the profiles; without a file there are none."""
    content = read_json(directory() / "profiles.json")
    known = content.get("profiles", {})
    if not isinstance(known, dict) or not all(isinstance(one, dict) for one in known.values()):
        raise Failure(f"{directory() / 'profiles.json'} is not a file of profiles. Delete it.")
    return Profiles(str(content.get("current", "default")), known)


def save(profiles: Profiles) -> None:
    """Write the profiles."""
    write_json("profiles.json", {"current": profiles.current, "profiles": profiles.known})


def target(*, profile: str | None, url: str | None, workspace: str | None) -> Target:
    """Return where a command goes: options win over the environment, that over the profile."""
    profiles = load()
    name = profile or profiles.current
    members = profiles.known.get(name, {})
    if profile and not members:
        raise Failure(
            f"There is no profile {name!r}. See: configsync profiles list", Code.NOT_FOUND
        )
    given = url or os.environ.get("CONFIGSYNC_URL") or members.get("url")
    if not given:
        raise Failure(
            "No server is known. Log in with: configsync login URL (or set CONFIGSYNC_URL)",
            Code.NOT_ALLOWED,
        )
    return Target(
        profile=name,
        url=checked(given),
        workspace=workspace or members.get("workspace"),
        service=os.environ.get("CONFIGSYNC_APP_ID") or members.get("service"),
        environment=os.environ.get("CONFIGSYNC_ENVIRONMENT") or members.get("environment"),
    )


def checked(url: str) -> str:
    """Return the address of a server, or raise Failure."""
    try:
        return server_of(url)
    except ValueError as error:
        said = f"The address {bare(url)!r} cannot be used: {error}."
        raise Failure(said, Code.USAGE) from error


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a file, an empty one where there is no file."""
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failure(f"Cannot read {file}: {error.strerror}.") from error
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Failure(f"{file} is damaged. Delete it and log in again.")
    return content


def write_json(name: str, content: Mapping[str, Any]) -> None:
    """Replace a file of the command line as a whole; only its owner may read it."""
    place = directory()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, draft = tempfile.mkstemp(dir=place, prefix=f".{name}-")
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123  (a descriptor)
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.write("\n")
        os.replace(draft, place / name)  # noqa: PTH105  (the same)
    except OSError as error:
        raise Failure(f"Cannot write {place / name}: {error.strerror}.") from error
