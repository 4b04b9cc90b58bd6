"""What happens to the secrets in an edited document before it is compared and written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from app.changes.keys import members
from app.changes.plan import Edited, KeyWish, Stored, StoredKey, Target
from app.configs.levels import Level
from app.formats import json
from app.formats.values import is_unset
from app.models import Action
from app.secrets import markers, service
from app.secrets.markers import Found, Path
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

WRITING = frozenset({Action.CREATE, Action.UPDATE})


def seal(
    session: Session, access: Access, target: Target, stored: Stored, edited: Edited
) -> Edited:
    """Return the edit with handles in the place of secrets, their values stored.

    What was a secret stays one when its value is written plainly, unless the edit says
    otherwise. Raises what `secrets.service.seal` does.
    """
    if not isinstance(target, Level) or (edited.checksum == stored.checksum and not edited.wishes):
        return edited
    document = members(edited)
    parked = {
        name: json.loads(wish.parked)
        for name, wish in edited.wishes.items()
        if wish.parked is not None
    }
    markers.refuse_names([*document, *parked])
    values = {**document, **parked}
    staying = _staying(edited, stored.keys())
    parts = _parts(stored, [name for name in staying if name in document])
    whole = _whole(edited, values, staying)
    texts = filter(None, (edited.content, *(wish.parked for wish in edited.wishes.values())))
    if not whole and not parts and not any(map(markers.needs_sealing, texts)):
        return edited
    for found in parts:
        values = _with_secret(values, found.path, found.handle)
    sealed = service.seal(
        session,
        workspace_id=access.workspace_id,
        config_id=stored.id,
        values=values,
        whole=whole,
        compare=access.allows(Permission.READ, target),
        actor=access.caller.username,
        fernet=access.is_operator,
    )
    wishes = {
        name: replace(wish, parked=json.dumps(sealed.values[name])) if name in parked else wish
        for name, wish in edited.wishes.items()
    }
    edited = replace(
        edited,
        wishes=wishes,
        types=sealed.types,
        destroyed=sealed.destroyed,
        hidden_bytes=sealed.size,
    )
    if edited.content is None:
        return edited
    value = {name: sealed.values[name] for name in document}
    return replace(edited, content=json.dumps(value), checksum=json.checksum(value), value=value)


def _staying(edited: Edited, known: Mapping[str, StoredKey]) -> dict[str, StoredKey]:
    """Return the keys with secrets in them that an edit writes without a word about secrecy."""
    if edited.action not in WRITING:
        return {}
    unsaid = KeyWish()
    return {
        name: key
        for name, key in known.items()
        if key.exists and key.has_secrets
        for wish in [edited.wishes.get(name, unsaid)]
        if wish.secret is None and wish.action is None
    }


def _whole(
    edited: Edited, values: Mapping[str, Any], staying: Mapping[str, StoredKey]
) -> frozenset[str]:
    """Return the keys whose value is to be a secret as a whole."""
    said = {name for name, wish in edited.wishes.items() if wish.secret and name in values}
    stay = {
        name
        for name, key in staying.items()
        if key.is_encrypted and values.get(name) is not None and not markers.read(values[name])
    }
    return frozenset(
        name
        for name in said | stay
        if not markers.is_marked(values[name]) and not is_unset(values[name])
    )


def _parts(stored: Stored, staying: Sequence[str]) -> Sequence[Found]:
    """Return the secrets that are parts of these keys now, but for elements of arrays."""
    names = [name for name in staying if not stored.keys()[name].is_encrypted]
    if not names:
        return ()
    old = json.loads(stored.read())
    found = markers.find({name: old[name] for name in names if name in old})
    return [one for one in found if not any(isinstance(step, int) for step in one.path)]


def _with_secret(value: Any, path: Path, handle: str) -> Any:
    """Return a value in which a plain one at a path is written as a secret."""
    if not path:
        plain = isinstance(value, str | int | float) and value != markers.BULLETS
        return {markers.SECRET: value, markers.HANDLE: handle} if plain else value
    step, *rest = path
    if not markers.is_object(value) or markers.is_marked(value) or step not in value:
        return value
    return {**value, str(step): _with_secret(value[str(step)], tuple(rest), handle)}
