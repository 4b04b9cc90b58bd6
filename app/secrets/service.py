"""Sealing the secrets of documents that come in, and opening them for those who may see them."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.formats import json
from app.outbox.events import Happened
from app.secrets import crud, crypto, data_keys, markers, reads
from app.secrets.data_keys import Keys
from app.secrets.errors import (
    IntegrityError,
    InvalidFernet,
    InvalidSecret,
    SecretsNotAllowed,
    UnknownHandle,
)
from app.secrets.keyring import WrappedKey, fernet_keys, get_keyring
from app.secrets.markers import Found, Written
from app.secrets.providers import open_fernet
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission
from app.workspaces.scopes import Place

log = structlog.get_logger()

EDITOR = "editor"


@dataclass(slots=True)
class SealedValues:
    """Documents with handles in the place of values, and what is known of those handles."""

    values: dict[str, Any]
    types: dict[str, str] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)


def seal(
    session: Session,
    *,
    workspace_id: int,
    config_id: int,
    values: Mapping[str, Any],
    whole: Iterable[str],
    compare: bool,
    actor: str,
) -> SealedValues:
    """Store the secrets in a config's values by key; return the values with their handles.

    The values of the keys in `whole` are secrets as a whole. `compare`: an equal value keeps
    its handle, which whoever may read could see from the fingerprint anyway. Raises
    InvalidSecret, MaskedValue, UnknownHandle, InvalidFernet, Sealed.
    """
    wanted = {
        name: [_whole(name, value)] if name in whole else markers.read(value, (name,))
        for name, value in values.items()
    }
    given = [one for found in wanted.values() for one in found]
    if not given:
        return SealedValues(dict(values))
    texts = {one.path: _text(one) for one in given if not one.is_kept}
    keys = None
    prints: dict[markers.Path, str] = {}
    if texts:
        keys = data_keys.require_active(session, workspace_id=workspace_id, config_id=config_id)
        prints = {p: crypto.fingerprint(keys.fingerprint, text) for p, text in texts.items()}
    known = crud.list_known(
        session,
        config_id=config_id,
        handles=[one.handle for one in given if one.handle is not None],
        fingerprints=list(prints.values()) if compare else [],
    )
    chosen = _Chosen(known, prints, compare=compare)
    if keys is not None:
        chosen.make(keys, [one for one in given if not one.is_kept], texts, config_id)
        crud.create_secrets(
            session,
            workspace_id=workspace_id,
            config_id=config_id,
            created_by=actor,
            new=chosen.new,
        )
    stored = {one.path: chosen.marker(one) for one in given}
    return SealedValues(
        {
            name: stored[name,] if name in whole else _placed(value, wanted[name], stored)
            for name, value in values.items()
        },
        chosen.types,
        {row.handle for row in known if row.destroyed_at is not None},
    )


def _whole(name: str, value: Any) -> Written:
    if value is None:
        raise InvalidSecret((name,), "null cannot be a secret")
    if markers.read(value):
        raise InvalidSecret((name,), "a secret cannot have others in it")
    return Written((name,), value, None)


def _text(one: Written) -> str:
    """Return the value to be sealed, as JSON text."""
    if not one.is_fernet:
        return json.dumps(one.value)
    plain = open_fernet(fernet_keys(), one.value)
    if plain is None:
        raise InvalidFernet(one.path)
    return json.dumps(plain)


def _placed(
    value: Any, wanted: Sequence[Written], stored: Mapping[markers.Path, dict[str, Any]]
) -> Any:
    order = iter(wanted)
    return markers.replace(value, lambda _: stored[next(order).path])


class _Chosen:
    """Which handle each secret of a document gets: its own, that of an equal one, or a new one."""

    def __init__(
        self, known: Sequence[AnyRow], prints: Mapping[markers.Path, str], *, compare: bool
    ) -> None:
        self.known = {row.handle: row for row in known}
        self.prints = prints
        self.types = {row.handle: row.value_type for row in known}
        self.new: list[crud.NewSecret] = []
        self._equal: dict[str, str] = {}
        if compare:
            self._equal = {row.fingerprint: row.handle for row in known if row.destroyed_at is None}

    def make(
        self,
        keys: Keys,
        given: Sequence[Written],
        texts: Mapping[markers.Path, str],
        config_id: int,
    ) -> None:
        """Seal the values that are new."""
        for one in given:
            self._refuse_unknown(one)
            fingerprint = self.prints[one.path]
            if fingerprint in self._equal:
                continue
            text = texts[one.path]
            handle = f"sec_{secrets.token_hex(12)}"
            context = secret_context(keys.value, config_id, handle)
            self._equal[fingerprint] = handle
            self.types[handle] = value_type(text)
            self.new.append(
                crud.NewSecret(
                    handle=handle,
                    key_name=str(one.path[0]),
                    data_key_id=keys.value.id,
                    ciphertext=crypto.seal(get_keyring().open(keys.value), text.encode(), context),
                    fingerprint=fingerprint,
                    value_type=self.types[handle],
                )
            )

    def marker(self, one: Written) -> dict[str, Any]:
        """Return the stored form; raise UnknownHandle."""
        if one.is_kept:
            self._refuse_unknown(one)
            assert one.handle is not None
            return markers.marker(one.handle, self.known[one.handle].fingerprint)
        fingerprint = self.prints[one.path]
        return markers.marker(self._equal[fingerprint], fingerprint)

    def _refuse_unknown(self, one: Written) -> None:
        if one.handle is not None and one.handle not in self.known:
            raise UnknownHandle(one.path)


def value_type(text: str) -> str:
    """Return the type of a value from its JSON text."""
    if text.startswith('"'):
        return "string"
    if text in {"true", "false"}:
        return "boolean"
    return "json" if text[0] in "{[n" else "number"


def secret_context(key: WrappedKey, config_id: int, handle: str) -> bytes:
    """Return what is authenticated with a secret: immutable ids."""
    place = f"{key.workspace_id}|{key.environment_id or 0}|{config_id}|{handle}|{key.id}"
    return f"secrets|{place}".encode()


def may_reveal(session: Session, access: Access, place: Place) -> bool:
    """Say whether the caller may see the secrets of a level.

    Editors: except in protected environments.
    """
    if not access.allows(Permission.READ_SECRETS, place):
        return False
    name = place.environment
    if access.role != EDITOR or name is None:
        return True
    return not crud.is_protected(session, workspace_id=access.workspace_id, name=name)


def require_reveal(session: Session, access: Access, place: Place) -> None:
    """Raise NotAllowed, OutsideScope, SecretsNotAllowed unless the caller may see secrets."""
    access.require(Permission.READ_SECRETS, place)
    if not may_reveal(session, access, place):
        raise SecretsNotAllowed(place)


def reveal(
    session: Session, *, access: Access, place: Place, value: Any, stored: bool, **about: Any
) -> Any:
    """Return a value with its secrets in it, once the audit knows: the caller's right is proved.

    `stored`: the secrets stand in their stored form, else alone. `about` are members of the
    event. Destroyed values are null. Raises Sealed, IntegrityError, AuditUnavailable.
    """
    found = markers.find(value)
    if not found:
        return value
    try:
        opened = open_all(session, workspace_id=access.workspace_id, found=found)
    except IntegrityError as error:
        alarm(access, place, error.handle)
        raise
    reads.write(
        Happened(
            action="read_secret",
            service=place.name,
            environment=place.environment,
            actor_id=access.caller.user_id,
            actor_name=access.caller.username,
            workspace_id=access.workspace_id,
            detail={"keys": {one.address: one.fingerprint for one in found}},
            **{"resource_type": "configuration", **about},
        )
    )

    def shown(one: dict[str, Any]) -> Any:
        plain = opened[one[markers.HANDLE]]
        if not stored:
            return plain
        return markers.marker(one[markers.HANDLE], one[markers.FINGERPRINT], plain)

    return markers.replace(value, shown)


def reveal_text(session: Session, *, access: Access, place: Place, text: str, **about: Any) -> str:
    """Return stored JSON text with its secrets revealed; raises SecretsNotAllowed too."""
    require_reveal(session, access, place)
    if not markers.may_have_secrets(text):
        return text
    value = json.loads(text)
    shown = reveal(session, access=access, place=place, value=value, stored=True, **about)
    return json.dumps(shown)


def open_all(session: Session, *, workspace_id: int, found: Sequence[Found]) -> dict[str, Any]:
    """Return the values of secrets by handle, null if destroyed; raise Sealed, IntegrityError."""
    wanted = {one.handle: one.fingerprint for one in found}
    rows = crud.list_sealed(session, workspace_id=workspace_id, handles=list(wanted))
    opened = {row.handle: _open(row, wanted[row.handle]) for row in rows}
    for handle in wanted:
        if handle not in opened:
            raise IntegrityError(handle)
    return opened


def _open(row: AnyRow, fingerprint: str) -> Any:
    if row.destroyed_at is not None:
        return None
    if row.ciphertext is None or row.id is None or row.f_id is None:
        raise IntegrityError(row.handle)
    keyring = get_keyring()
    key = crud.wrapped_key(row)
    prints = WrappedKey(
        row.f_id,
        row.workspace_id,
        None,
        crud.FINGERPRINT,
        row.f_number,
        row.f_kek_id,
        bytes(row.f_wrapped),
    )
    if row.environment_id != row.place or row.purpose != crud.VALUE:
        raise IntegrityError(row.handle)
    context = secret_context(key, row.config_id, row.handle)
    try:
        text = crypto.open_sealed(keyring.open(key), bytes(row.ciphertext), context).decode()
    except (InvalidTag, ValueError):
        raise IntegrityError(row.handle) from None
    if {crypto.fingerprint(keyring.open(prints), text)} != {fingerprint, row.fingerprint}:
        raise IntegrityError(row.handle)
    return json.loads(text)


def alarm(access: Access, place: Place, handle: str) -> None:
    """Tell the operator and the audit that a stored secret was tampered with."""
    log.error("secrets.integrity_error", handle=handle, workspace_id=access.workspace_id)
    reads.write(
        Happened(
            action="read_secret",
            resource_type="secret",
            resource_id=handle,
            service=place.name,
            environment=place.environment,
            actor_id=access.caller.user_id,
            actor_name=access.caller.username,
            workspace_id=access.workspace_id,
            outcome="alarm",
            detail={"code": IntegrityError.code},
        )
    )
