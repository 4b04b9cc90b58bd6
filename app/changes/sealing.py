"""What happens to the secrets in an edited document before it is compared and written."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from app.changes.keys import members
from app.changes.plan import Edited, Stored, StoredKey, Target
from app.configs.levels import Level
from app.formats import json
from app.formats.values import is_unset
from app.models import Action
from app.secrets import markers, service
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

WRITING = frozenset({Action.CREATE, Action.UPDATE})


def seal(
    session: Session, access: Access, target: Target, stored: Stored, edited: Edited
) -> Edited:
    """Return the edit with handles in the place of secrets, their values stored.

    A key that is a secret stays one when its value is written plainly, unless the edit says
    otherwise. Raises what `secrets.service.seal` does.
    """
    if not isinstance(target, Level) or (edited.checksum == stored.checksum and not edited.wishes):
        return edited
    document = members(edited)
    parked = {name: wish.parked for name, wish in edited.wishes.items() if wish.parked is not None}
    markers.refuse_names([*document, *parked])
    whole = _whole(edited, document, stored.keys())
    if not whole and not any(
        map(markers.needs_sealing, filter(None, (edited.content, *parked.values())))
    ):
        return edited
    sealed = service.seal(
        session,
        workspace_id=access.workspace_id,
        config_id=stored.id,
        values={**document, **{name: json.loads(text) for name, text in parked.items()}},
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


def _whole(
    edited: Edited, document: Mapping[str, Any], known: Mapping[str, StoredKey]
) -> frozenset[str]:
    """Return the keys whose value is to be a secret as a whole."""
    found = set()
    values = {
        **document,
        **{
            name: json.loads(wish.parked)
            for name, wish in edited.wishes.items()
            if wish.parked is not None
        },
    }
    for name, value in values.items():
        wish = edited.wishes.get(name)
        wanted = wish.secret if wish else None
        if wanted is None and edited.action in WRITING and not (wish and wish.action):
            key = known.get(name)
            sticks = key is not None and key.exists and key.is_encrypted
            wanted = sticks and value is not None and not markers.read(value)
        if wanted and not markers.is_marked(value) and not is_unset(value):
            found.add(name)
    return frozenset(found)
