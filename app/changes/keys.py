"""Keys of a document that changes: which of them change, and how (no SQL, no HTTP)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.changes.plan import Edited, KeyWish, Stored, StoredKey
from app.configs.errors import ValueTypeMismatch
from app.formats import json
from app.formats.values import fits, infer
from app.models import Action
from app.secrets import markers

NO_WISH = KeyWish()


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key's next version; `id` None: a new key. `value` None: deleted."""

    id: int | None
    config_id: int
    name: str
    value: str | None
    checksum: str | None
    value_type: str
    description: str
    is_active: bool
    action: Action


def key_rows(stored: Stored, edited: Edited) -> list[KeyRow]:
    """Return what an edit does to the keys of its document, in the document's order."""
    if edited.checksum == stored.checksum and not edited.wishes:
        return []
    known = stored.keys()
    document = members(edited)
    rows = [
        row
        for name, value in document.items()
        if (row := _set(stored.id, known.get(name), edited, name, value)) is not None
    ]
    for name, key in known.items():
        if name not in document and (key.exists or name in edited.wishes):
            row = _left_out(stored.id, key, edited)
            if row is not None:
                rows.append(row)
    return rows


def members(edited: Edited) -> Mapping[str, Any]:
    """Return the document of an edit, empty when it is deleted."""
    if edited.content is None:
        return {}
    if edited.value is not None:
        return edited.value
    parsed: dict[str, Any] = json.loads(edited.content)
    return parsed


def _set(
    config_id: int, key: StoredKey | None, edited: Edited, name: str, value: Any
) -> KeyRow | None:
    """Return the row of a key that the document has, None when nothing about it changes."""
    wish = edited.wishes.get(name, NO_WISH)
    checksum = json.checksum(value)
    found = type_of(value, edited)
    kept = key.value_type if key and key.exists and fits(key.value_type, found) else None
    if wish.value_type and not fits(wish.value_type, found):
        raise ValueTypeMismatch(wish.value_type, found)
    value_type = wish.value_type or kept or found
    description = wish.description if wish.description is not None else _description(key)
    if (
        key is not None
        and key.is_active
        and wish.action is not Action.ROLLBACK
        and (key.checksum, key.value_type, key.description) == (checksum, value_type, description)
    ):
        return None
    born = key is None or not key.exists
    return KeyRow(
        id=key.id if key else None,
        config_id=config_id,
        name=name,
        value=json.dumps(value),
        checksum=checksum,
        value_type=value_type,
        description=description,
        is_active=True,
        action=wish.action or _action(edited, Action.CREATE if born else Action.UPDATE),
    )


def _left_out(config_id: int, key: StoredKey, edited: Edited) -> KeyRow | None:
    """Return the row of a key that the document does not have (any more)."""
    wish = edited.wishes.get(key.name, NO_WISH)
    parked = wish.parked
    whole = edited.content is None and not edited.by_key
    if parked is None and not key.is_active and not (wish.gone or whole):
        parked = key.parked
    value = json.loads(parked) if parked is not None else None
    checksum = json.checksum(value) if parked is not None else None
    value_type = key.value_type
    if wish.parked is not None:
        found = type_of(value, edited)
        if wish.value_type and not fits(wish.value_type, found):
            raise ValueTypeMismatch(wish.value_type, found)
        value_type = wish.value_type or (value_type if fits(value_type, found) else found)
    description = wish.description if wish.description is not None else key.description
    before = (key.is_active, key.checksum, key.value_type, key.description)
    same = before == (False, checksum, value_type, description)
    if (same and wish.action is not Action.ROLLBACK) or (parked is None and not key.exists):
        return None
    return KeyRow(
        id=key.id,
        config_id=config_id,
        name=key.name,
        value=parked,
        checksum=checksum,
        value_type=value_type,
        description=description,
        is_active=parked is None,
        action=wish.action or (Action.DELETE if parked is None else Action.UPDATE),
    )


def type_of(value: Any, edited: Edited) -> str:
    """Return the type of a value; that of a secret is known by its handle."""
    if markers.is_secret(value):
        return edited.types[value[markers.HANDLE]]
    return infer(value)


def _description(key: StoredKey | None) -> str:
    return key.description if key else ""


def _action(edited: Edited, ordinary: Action) -> Action:
    return ordinary if edited.action in {Action.CREATE, Action.UPDATE} else edited.action
