"""The edits that surfaces make: of whole documents, and of keys in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from app.changes.plan import Edit, Edited, KeyWish, Precondition, Stored, StoredKey
from app.changes.preconditions import check_precondition
from app.configs.errors import (
    KeyExists,
    KeyNotFound,
    NotDeleted,
    ValueTypeMismatch,
    VersionEmpty,
    VersionNotFound,
)
from app.configs.levels import Level
from app.core.db import AnyRow
from app.core.errors import AppError
from app.formats import json
from app.formats.values import UNSET, fits, infer
from app.models import Action
from app.secrets import markers
from app.secrets.errors import ValueNeeded
from app.versions import crud as versions_crud


def store(value: dict[str, Any], *, action: Action | None = None) -> Edit:
    """Return the edit that stores a JSON object as it was written; creates, revives or updates."""
    text, checksum = json.dumps(value), json.checksum(value)

    def edit(stored: Stored) -> Edited:
        ordinary = Action.UPDATE if stored.exists else Action.CREATE
        return Edited(text, checksum, action or ordinary, value=value)

    return edit


def transform(change: Callable[[dict[str, Any]], dict[str, Any]], *, missing: AppError) -> Edit:
    """Return the edit that computes the new document from the stored one."""

    def edit(stored: Stored) -> Edited:
        if not stored.exists:
            raise missing
        return store(change(json.loads(stored.read())))(stored)

    return edit


def remove(*, missing: AppError) -> Edit:
    """Return the edit that appends a version without content."""

    def edit(stored: Stored) -> Edited:
        if not stored.exists:
            raise missing
        return Edited(None, None, Action.DELETE)

    return edit


def restore(session: Session, *, level: Level, missing: AppError) -> Edit:
    """Return the edit that brings a deleted document back; raises NotDeleted."""

    def edit(stored: Stored) -> Edited:
        last = versions_crud.get_last_content(session, object_id=stored.id)
        if last is None:
            raise missing
        if stored.exists:
            raise NotDeleted(level)
        return Edited(last.content, last.checksum, Action.RESTORE)

    return edit


def roll_back(
    session: Session, *, level: Level, version: int | None, version_id: int | None
) -> Edit:
    """Return the edit that goes back to a version, named by number or by id."""

    def edit(stored: Stored) -> Edited:
        old = (
            versions_crud.get_version(session, object_id=stored.id, version=version)
            if version is not None
            else versions_crud.get_version_by_id(
                session, object_id=stored.id, version_id=version_id or 0
            )
        )
        if old is None:
            raise VersionNotFound(level)
        if old.content is None:
            raise VersionEmpty(old.version)
        return Edited(old.content, old.checksum, Action.ROLLBACK, always=True)

    return edit


@dataclass(slots=True)
class Draft:
    """A document while operations on its keys change it."""

    level: Level
    slug: str
    etag: str | None
    document: dict[str, Any]
    keys: Mapping[str, StoredKey]
    wishes: dict[str, KeyWish] = field(default_factory=dict)

    def key(self, name: str) -> StoredKey | None:
        """Return a key that has a value."""
        key = self.keys.get(name)
        return key if key is not None and key.exists else None

    def require(self, name: str) -> StoredKey:
        """Return a key that has a value, or raise KeyNotFound."""
        key = self.key(name)
        if key is None:
            raise KeyNotFound(name, self.level, self.slug)
        return key

    def check(self, precondition: Precondition, key: StoredKey | None) -> None:
        """Check what must hold of a key; the tag of its document does as well."""
        check_precondition(precondition, key, *([self.etag] if self.etag else []))


KeyOperation = Callable[[Draft], None]


def edit_keys(operations: Sequence[KeyOperation], *, level: Level, slug: str) -> Edit:
    """Return the edit that applies operations on keys of one document, one after the other."""

    def edit(stored: Stored) -> Edited:
        document = json.loads(stored.read()) if stored.exists else {}
        draft = Draft(level, slug, stored.etag if stored.exists else None, document, stored.keys())
        for operation in operations:
            operation(draft)
        if not stored.exists and not draft.document:
            return Edited(None, None, Action.UPDATE, by_key=True, wishes=draft.wishes)
        return Edited(
            json.dumps(draft.document),
            json.checksum(draft.document),
            Action.UPDATE if stored.exists else Action.CREATE,
            by_key=True,
            value=draft.document,
            wishes=draft.wishes,
        )

    return edit


KEEP: Any = object()
"""Says that a change of a key leaves its value alone."""


def set_key(
    name: str,
    value: Any = KEEP,
    *,
    precondition: Precondition = Precondition(),
    value_type: str | None = None,
    description: str | None = None,
    is_active: bool | None = None,
    secret: bool | None = None,
    must_exist: bool | None = None,
    action: Action | None = None,
) -> KeyOperation:
    """Return the operation that gives a key a value, a type, a description, or parks it.

    `must_exist`: True for an update (KeyNotFound), False for a creation (KeyExists), None for
    either. `secret`: whether the whole value is one; None: as it was. Raises ValueTypeMismatch,
    ValueNeeded, PreconditionFailed.
    """

    def operation(draft: Draft) -> None:
        key = draft.key(name)
        draft.check(precondition, key)
        if must_exist is False and key is not None:
            raise KeyExists(name, draft.level, key.id)
        if must_exist or value is KEEP:
            key = draft.require(name)
        if value is KEEP and secret is False and key is not None and key.is_encrypted:
            raise ValueNeeded
        content = _value(draft, name, key) if value is KEEP else value
        _check_type(value_type, content)
        active = is_active if is_active is not None else (key is None or key.is_active)
        draft.wishes[name] = KeyWish(
            value_type=value_type,
            description=description,
            parked=None if active else json.dumps(content),
            secret=secret,
            action=action,
        )
        if active:
            draft.document[name] = content
        else:
            draft.document.pop(name, None)

    return operation


def delete_key(name: str, *, precondition: Precondition = Precondition()) -> KeyOperation:
    """Return the operation that deletes a key; raises KeyNotFound, PreconditionFailed."""

    def operation(draft: Draft) -> None:
        draft.check(precondition, draft.key(name))
        draft.require(name)
        draft.document.pop(name, None)
        draft.wishes[name] = KeyWish(gone=True)

    return operation


def unset_key(name: str, *, precondition: Precondition = Precondition()) -> KeyOperation:
    """Return the operation that takes an inherited key away at this level."""
    return set_key(name, {UNSET: True}, precondition=precondition, is_active=True)


def roll_back_key(name: str, old: AnyRow, *, precondition: Precondition) -> KeyOperation:
    """Return the operation that gives a key the value of an old version of it."""
    return set_key(
        name,
        json.loads(old.value),
        precondition=precondition,
        value_type=old.value_type,
        is_active=old.is_active,
        action=Action.ROLLBACK,
    )


def _value(draft: Draft, name: str, key: StoredKey | None) -> Any:
    if key is not None and key.parked is not None:
        return json.loads(key.parked)
    return draft.document[name]


def _check_type(wanted: str | None, value: Any) -> None:
    if wanted is None or markers.is_marked(value):  # the type of what is sealed is seen later
        return
    if not fits(wanted, infer(value)):
        raise ValueTypeMismatch(wanted, infer(value))
