"""Commits as the feed has them, and what they reach (no SQL, no HTTP)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson

from app.workspaces.names import GLOBAL, Level

FLAG, SEGMENT = "feature_flag", "segment"


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit did to one thing: to the key, flag or segment `key` where it is one.

    `level` is how wide that reaches.
    """

    action: str
    resource_type: str
    resource_id: str | None
    level: Level
    key: str | None
    version: int | None

    def members(self) -> dict[str, Any]:
        """Return the change as the wire has it."""
        return {
            "action": self.action,
            "resource_type": self.resource_type,
            "resource_id": self.resource_id,
            "level": self.level.reach,
            "service": self.level.name,
            "environment": self.level.environment,
            **({"key": self.key} if self.key is not None else {}),
            **({"version": self.version} if self.version is not None else {}),
        }


@dataclass(slots=True)
class Commit:
    """One revision of a workspace and what it changed; written out once a choice of changes."""

    revision: int
    at: datetime
    actor: str
    message: str | None
    changes: tuple[Change, ...]
    _texts: dict[tuple[int, ...], bytes] = field(default_factory=dict)

    def text(self, chosen: tuple[int, ...]) -> bytes:
        """Return the commit as JSON with the changes at these places only.

        Of one at `~place` the name is left out, as are its id, its version and the message.
        """
        text = self._texts.get(chosen)
        if text is None:
            text = self._texts[chosen] = orjson.dumps(
                {
                    "revision": self.revision,
                    "at": self.at,
                    "actor": self.actor,
                    "message": self.message if min(chosen) >= 0 else None,
                    "changes": [self._members(place) for place in chosen],
                },
                option=orjson.OPT_UTC_Z,
            )
        return text

    def _members(self, place: int) -> dict[str, Any]:
        if place >= 0:
            return self.changes[place].members()
        return replace(self.changes[~place], resource_id=None, key=None, version=None).members()


def collect(rows: Iterable[Any]) -> dict[int, list[Commit]]:
    """Return commits by workspace from rows of `crud.list_commits`, in their order."""
    found: dict[int, list[Commit]] = {}
    for (workspace_id, revision), some in groupby(
        rows, key=lambda row: (row.workspace_id, row.revision)
    ):
        first, *others = some
        changes = tuple(_change(row) for row in (first, *others) if row.action is not None)
        found.setdefault(workspace_id, []).append(
            Commit(revision, first.at, first.actor_name, first.message, changes)
        )
    return found


def _change(row: Any) -> Change:
    level = level_of(row.service, row.environment)
    return Change(row.action, row.resource_type, row.resource_id, level, row.key, row.version)


def level_of(service: str | None, environment: str | None) -> Level:
    """Return how wide a change reaches, by the names in its event."""
    return Level(None if service == GLOBAL else service, environment)
