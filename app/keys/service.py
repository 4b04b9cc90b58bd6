"""Keys: what surfaces B and C do, as proposals to the write pipeline."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.edits import KEEP, KeyOperation
from app.changes.plan import Change, Precondition, key_etag
from app.changes.service import apply
from app.configs.errors import ConfigNotFound, KeyNotFound, VersionEmpty, VersionNotFound
from app.configs.levels import Level
from app.core.answers import Written, raw
from app.core.db import AnyRow
from app.core.errors import Invalid
from app.effective.merge import MISSING, look_up
from app.effective.service import (
    Effective,
    require_effective,
    require_value,
    shown,
    shown_text,
)
from app.formats import json
from app.keys import crud, presenters
from app.keys.crud import Filters, Page
from app.keys.schemas import ItemWrite, KeyWrite
from app.secrets.markers import is_secret
from app.secrets.service import require_reveal, reveal
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

MAX_OFFSET = 10_000


@dataclass(frozen=True, slots=True)
class Said:
    """What a body says of a key; None: nothing. `value` KEEP: nothing."""

    value: Any = KEEP
    value_type: str | None = None
    description: str | None = None
    is_active: bool | None = None
    is_encrypted: bool | None = None
    message: str | None = None


def said(body: KeyWrite | ItemWrite) -> Said:
    """Return what a body says, telling an absent value from null."""
    return Said(
        value=body.value if "value" in body.model_fields_set else KEEP,
        value_type=body.value_type if isinstance(body, KeyWrite) else None,
        description=body.description,
        is_active=body.is_active if isinstance(body, KeyWrite) else None,
        is_encrypted=body.is_encrypted,
        message=body.message,
    )


def create(
    session: Session,
    *,
    access: Access,
    level: Level,
    name: str,
    said: Said,
    precondition: Precondition,
) -> Written:
    """Create a key at a level; raises KeyExists, ValueTypeMismatch, UnknownEnvironment."""
    return _write(session, access, level, name, said, precondition=precondition, must_exist=False)


def update(
    session: Session, *, access: Access, key_id: int, said: Said, precondition: Precondition
) -> Written:
    """Change a key, by id; raises KeyNotFound, ValueTypeMismatch, PreconditionFailed."""
    row = require_key(session, access=access, key_id=key_id)
    level = Level(row.service, row.environment)
    return _write(
        session, access, level, row.Key.name, said, precondition=precondition, must_exist=True
    )


def delete(session: Session, *, access: Access, key_id: int, precondition: Precondition) -> None:
    """Delete a key, by id; raises KeyNotFound, PreconditionFailed."""
    row = require_key(session, access=access, key_id=key_id)
    level = Level(row.service, row.environment)
    operation = edits.delete_key(row.Key.name, precondition=precondition)
    _commit(session, access, level, row.Key.name, operation, None)


def roll_back(
    session: Session,
    *,
    access: Access,
    key_id: int,
    version: int,
    message: str | None,
    precondition: Precondition,
) -> Written:
    """Give a key the value of an old version, also if it is deleted; raises VersionNotFound."""
    row = require_key(session, access=access, key_id=key_id, deleted=True)
    old = crud.get_version(session, key_id=key_id, version=version)
    level = Level(row.service, row.environment)
    if old is None:
        raise VersionNotFound(level, row.Key.name)
    if old.value is None:
        raise VersionEmpty(version)
    operation = edits.roll_back_key(row.Key.name, old, precondition=precondition)
    return _commit(session, access, level, row.Key.name, operation, message)


def _write(
    session: Session,
    access: Access,
    level: Level,
    name: str,
    said: Said,
    *,
    precondition: Precondition,
    must_exist: bool,
) -> Written:
    operation = edits.set_key(
        name,
        said.value,
        precondition=precondition,
        value_type=said.value_type,
        description=said.description,
        is_active=said.is_active,
        secret=said.is_encrypted,
        must_exist=must_exist,
    )
    return _commit(session, access, level, name, operation, said.message)


def _commit(
    session: Session,
    access: Access,
    level: Level,
    name: str,
    operation: KeyOperation,
    message: str | None,
) -> Written:
    edit = edits.edit_keys([operation], level=level, slug=access.slug)
    applied = apply(
        session, access=access, changes=[Change(level, edit, creates=True)], message=message
    )
    one = applied.key(level, name)
    readable = access.allows(Permission.READ, level)
    return Written(presenters.state(one, readable=readable), key_etag(one.id, one.version))


def require_key(session: Session, *, access: Access, key_id: int, deleted: bool = False) -> AnyRow:
    """Return a key that the caller's scopes reach, or raise KeyNotFound."""
    row = crud.get_key(
        session,
        workspace_id=access.workspace_id,
        scopes=access.scopes,
        key_id=key_id,
        deleted=deleted,
    )
    if row is None:
        raise KeyNotFound(key_id, None, access.slug)
    return row


def list_versions(
    session: Session, *, key_id: int, before: int, limit: int, offset: int = 0
) -> Sequence[AnyRow]:
    """List versions of a key below a number, newest first."""
    if offset > MAX_OFFSET:
        raise Invalid("Too far back: go on by cursor.", loc=("query", "page"))
    return crud.list_versions(session, key_id=key_id, before=before, limit=limit, offset=offset)


def list_keys(
    session: Session, *, access: Access, filters: Filters, page: Page
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many keys match and a page of them; a text is also searched as a value."""
    if page.offset > MAX_OFFSET:
        raise Invalid("Too far back: go on by cursor.", loc=("query", "page"))
    if filters.text is not None:
        filters = replace(filters, checksums=_checksums(filters.text))
    total, rows = crud.list_keys(
        session,
        workspace_id=access.workspace_id,
        scopes=access.scopes,
        filters=filters,
        page=page,
    )
    return total, [presenters.key(row) for row in rows]


def _checksums(text: str) -> list[str]:
    """Return the checksums of the values that a text may mean: the string, and as JSON."""
    meant = [json.checksum(text)]
    with suppress(json.JsonError):
        meant.append(json.checksum(json.loads(text)))
    return meant


def effective_item(
    session: Session,
    *,
    access: Access,
    effective: Effective,
    name: str,
    at: int | None,
    known: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Return the members of `ItemRead` for an effective value, and its tag.

    Id, version and description are those of the key that it comes from. Without members when
    the tag is `known`: what is not sent is not read. Raises KeyNotFound.
    """
    value, part, holder = require_value(effective, name, slug=access.slug)
    row = crud.get_holder(session, config_id=part.id, name=holder, at=at)
    if row is None:
        raise KeyNotFound(name, effective.level, access.slug)
    tag = f'"e{effective.tag(value, row.id, row.version)}"'
    if tag in known:
        return {}, tag
    members = presenters.effective_item(
        row,
        name=name,
        value=shown(session, access=access, effective=effective, value={name: value})[name],
        is_secret=is_secret(value),
        level=effective.level,
    )
    return members, tag


def find_items(
    session: Session, *, access: Access, level: Level, name: str
) -> list[dict[str, Any]]:
    """Return the members of `ItemRead` for an effective value, or nothing."""
    access.count_read("key", f"{level} {name}")
    try:
        effective = require_effective(session, access=access, level=level)
        members, _ = effective_item(session, access=access, effective=effective, name=name, at=None)
    except (ConfigNotFound, KeyNotFound):
        return []
    return [members]


def fetch(
    session: Session, *, access: Access, level: Level, names: list[str] | None, at: int | None
) -> tuple[dict[str, Any], str]:
    """Return the members of `FetchRead`, of some keys or (None) all, and the config's tag.

    Raises what `require_effective` raises.
    """
    effective = require_effective(session, access=access, level=level, at=at)
    access.count_read("configuration", str(level))
    if names is None:
        text = shown_text(session, access=access, effective=effective)
    else:
        wanted = chosen(effective, names)
        text = json.dumps(shown(session, access=access, effective=effective, value=wanted))
    return presenters.fetched(effective, text, names=names), effective.etag


def chosen(effective: Effective, names: Sequence[str]) -> dict[str, Any]:
    """Return the effective values of some keys, secrets in their stored form."""
    found = {name: look_up(effective.config, name) for name in names}
    return {name: value for name, value in found.items() if value is not MISSING}


def revealed(session: Session, *, access: Access, row: AnyRow) -> dict[str, Any]:
    """Return the members of `KeyRead` with the secrets in its value; raises SecretsNotAllowed."""
    level, name = Level(row.service, row.environment), row.Key.name
    require_reveal(session, access, level)
    shown = reveal(
        session,
        access=access,
        place=level,
        value={name: json.loads(row.Key.value)},
        stored=True,
        resource_type="key",
        resource_id=str(row.Key.id),
    )
    return {**presenters.key(row), "value": raw(json.dumps(shown[name]))}
