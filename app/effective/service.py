"""The config as a service sees it: the levels that reach it, merged."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from app.configs import crud
from app.configs.errors import (
    ConfigNotFound,
    HistoryPruned,
    KeyNotFound,
    UnknownEnvironment,
)
from app.configs.levels import Level
from app.core.db import AnyRow
from app.effective import merge
from app.effective.merge import MISSING, look_up
from app.formats import json
from app.formats.values import UNSET, is_unset
from app.secrets import markers
from app.secrets.service import may_reveal, reveal
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

VERSION_LENGTH = 16
DOTTED_NAME = re.compile(r'\.[^"]*":')


@dataclass(frozen=True, slots=True)
class Part:
    """One level's document, deleted (content None) or not."""

    level: Level
    id: int
    version: int
    revision: int
    content: str | None
    checksum: str | None


class Effective:
    """What a service gets at a level: parts, widest first, merged when somebody looks.

    Secrets stand in it in their stored form; `shown` puts bullets or values in their place.
    `reveals`: the caller may see them.
    """

    def __init__(self, level: Level, parts: Sequence[Part]) -> None:
        self.level = level
        self.parts = parts
        self.present = [part for part in parts if part.content is not None]
        self.has_secrets = any(markers.may_have_secrets(part.content) for part in self.present)
        self.reveals = False

    @property
    def size(self) -> int:
        """Return the length of the documents that take part."""
        return sum(len(part.content or "") for part in self.present)

    @cached_property
    def documents(self) -> list[dict[str, Any]]:
        """Return the documents of the levels that have one, widest first."""
        return [json.loads(part.content or "{}") for part in self.present]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Return the merged document."""
        return merge.merge(self.documents)

    @cached_property
    def as_stored(self) -> bool:
        """Say whether the one document there is is the answer, as it was written."""
        if len(self.present) > 1 or UNSET in (self.present[0].content or ""):
            return False
        dotted = DOTTED_NAME.search(self.present[0].content or "")
        return not dotted or not merge.spelled_twice(self.documents[0])

    @cached_property
    def content(self) -> str:
        """Return the merged document as text."""
        return self.present[0].content or "" if self.as_stored else json.dumps(self.config)

    @cached_property
    def masked(self) -> str:
        """Return the merged document as text, bullets in the place of secrets."""
        return json.dumps(markers.mask(self.config)) if self.has_secrets else self.content

    @cached_property
    def secrets(self) -> list[str]:
        """Return the addresses of the secrets, shown or not, in the document's order."""
        return [one.address for one in markers.find(self.config)] if self.has_secrets else []

    @cached_property
    def version(self) -> str:
        """Return a short hash that changes exactly when the caller's merged document does."""
        if self.has_secrets:
            return self.tag(self.config)
        checksum = self.present[0].checksum if self.as_stored else json.checksum(self.config)
        return (checksum or "")[:VERSION_LENGTH]

    def tag(self, value: Any, *more: Any) -> str:
        """Return a short hash of a part of the document, as the caller sees it."""
        seen = markers.comparable(value) if self.reveals else markers.mask(value)
        return json.checksum([seen, *more] if more else seen)[:VERSION_LENGTH]

    @property
    def revision(self) -> int:
        """Return the revision of the last change of a document that takes part."""
        return max(part.revision for part in self.parts)

    @property
    def etag(self) -> str:
        """Return the tag of this answer, which fits no write."""
        return f'"e{self.version}"'

    @property
    def stored(self) -> Part | None:
        """Return the document of the very level that was asked for."""
        return next((part for part in self.present if part.level == self.level), None)

    def source(self, key: str) -> tuple[Part, str] | None:
        """Return the narrowest part that says something of a key, if that is a value.

        With it the name of the member of its document that the key leads into.
        """
        for part, document in zip(reversed(self.present), reversed(self.documents), strict=True):
            name, value = merge.find(document, key)
            if value is not MISSING:
                return None if is_unset(value) else (part, name)
        return None


def require_effective(
    session: Session, *, access: Access, level: Level, at: int | None = None
) -> Effective:
    """Return the effective config of a level, now or as of a revision.

    Raises OutsideScope, ConfigNotFound, UnknownEnvironment, HistoryPruned.
    """
    access.require(Permission.READ, level)
    rows = crud.list_levels(session, workspace_id=access.workspace_id, level=level, at=at)
    if at is not None and any(row.history_from > at for row in rows):
        raise HistoryPruned(at)
    parts = [_part(level, row) for row in rows if row.version is not None]
    name = level.environment
    if name is not None and (at is not None or not any(row.of_environment for row in rows)):
        workspace_id = access.workspace_id
        if not crud.environment_exists(session, workspace_id=workspace_id, name=name, at=at):
            raise UnknownEnvironment(name, access.slug)
    effective = Effective(level, parts)
    if not effective.present:
        raise ConfigNotFound(level, access.slug)
    if effective.has_secrets:
        effective.reveals = may_reveal(session, access, level)
    return effective


def shown(session: Session, *, access: Access, effective: Effective, value: Any) -> Any:
    """Return a part of the config as the caller sees it: bullets, or secrets and an event.

    Raises Sealed, IntegrityError, AuditUnavailable.
    """
    if not effective.has_secrets:
        return value
    if not effective.reveals:
        return markers.mask(value)
    return reveal(session, access=access, place=effective.level, value=value, stored=False)


def shown_text(session: Session, *, access: Access, effective: Effective) -> str:
    """Return the whole config as the caller sees it, as JSON text."""
    if not effective.reveals:
        return effective.masked
    return json.dumps(shown(session, access=access, effective=effective, value=effective.config))


def _part(level: Level, row: AnyRow) -> Part:
    own = Level(
        level.service if row.of_service else None,
        level.environment if row.of_environment else None,
    )
    return Part(own, row.id, row.version, row.revision, row.content, row.checksum)


def require_value(effective: Effective, key: str, *, slug: str) -> tuple[Any, Part, str]:
    """Return the effective value of a key, and the part and its member that it comes from.

    Raises KeyNotFound.
    """
    source = effective.source(key)
    value = look_up(effective.config, key) if source else MISSING
    if source is None or value is MISSING:
        raise KeyNotFound(key, effective.level, slug)
    return value, *source


def explain(effective: Effective) -> dict[str, Any]:
    """Return where each value comes from: its level and version, and what it hides.

    `values` by address, `levels` with their versions, `warnings` for people. Secrets are masked.
    """
    parts = effective.present
    return {
        "levels": [_described(part) for part in parts],
        "values": {
            origin.address: {
                "value": markers.mask(origin.value),
                **_described(parts[origin.level]),
                "hides": [
                    {"value": markers.mask(value), **_described(parts[level])}
                    for level, value in origin.hidden
                ],
            }
            for origin in merge.origins(effective.documents)
        },
        "warnings": [
            f"{part.level} spells '{address}' both as a dotted name and nested; "
            "the dotted name holds."
            for part, document in zip(parts, effective.documents, strict=True)
            for address in merge.spelled_twice(document)
        ],
    }


def _described(part: Part) -> dict[str, Any]:
    return {
        "level": part.level.reach,
        "service": part.level.name,
        "environment": part.level.environment,
        "version": part.version,
        "revision": part.revision,
    }
