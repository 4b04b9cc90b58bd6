"""Sealing the secrets of documents that come in, and opening them for those who may see them."""

import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy.orm import Session

from app.auth.errors import AdminsOnly
from app.core.db import AnyRow
from app.formats import json
from app.formats.values import infer
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
from app.workspaces import crud as workspaces_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission
from app.workspaces.scopes import Place

log = structlog.get_logger()

EDITOR = "editor"
DOCUMENT, ROTATOR = "document", "rotator"
"""Who may name a secret by its handle."""


@dataclass(slots=True)
class SealedValues:
    """Documents with handles in the place of values, and what is known of those handles."""

    values: dict[str, Any]
    types: dict[str, str]
    destroyed: frozenset[str]
    size: int
    """Bytes of JSON that the handles stand for."""


def seal(
    session: Session,
    *,
    workspace_id: int,
    config_id: int,
    values: Mapping[str, Any],
    whole: Container[str],
    compare: bool,
    actor: str,
    fernet: bool = False,
    owner: str = DOCUMENT,
) -> SealedValues:
    """Store the secrets in a config's values by key; return the values with their handles.

    The values of the keys in `whole` are secrets as a whole. `compare`: an equal value of a key
    keeps its handle, which whoever may read could see from the fingerprint anyway. `fernet`:
    tokens may be opened. Handles belong to documents or to rotators: neither knows the other's.
    Raises InvalidSecret, MaskedValue, UnknownHandle, InvalidFernet, AdminsOnly, Sealed.
    """
    wanted = {
        name: [_whole(name, value)] if name in whole else markers.read(value, (name,))
        for name, value in values.items()
    }
    given = [one for found in wanted.values() for one in found]
    plain = {one.path: _plain(one, fernet=fernet) for one in given if not one.is_kept}
    keys = None
    prints: dict[markers.Path, str] = {}
    if plain:
        keys = data_keys.require_active(session, workspace_id=workspace_id, config_id=config_id)
        prints = {path: fingerprint(keys.fingerprint, one) for path, one in plain.items()}
    known = crud.list_known(
        session,
        config_id=config_id,
        owner=owner,
        handles=[one.handle for one in given if one.handle is not None],
        fingerprints=list(prints.values()) if compare else [],
    )
    chosen = _Chosen(known, compare=compare)
    for one in given:
        if one.is_kept:
            chosen.keep(one)
        elif keys is not None:
            chosen.make(keys, one, plain[one.path], prints[one.path], config_id)
    crud.create_secrets(
        session,
        workspace_id=workspace_id,
        config_id=config_id,
        owner=owner,
        created_by=actor,
        new=chosen.new,
    )
    return chosen.result(
        {
            name: chosen.stored[name,] if name in whole else _placed(value, wanted[name], chosen)
            for name, value in values.items()
        }
    )


def _whole(name: str, value: Any) -> Written:
    if value is None:
        raise InvalidSecret((name,), "null cannot be a secret")
    if markers.read(value):
        raise InvalidSecret((name,), "a secret cannot have others in it")
    return Written((name,), value, None)


def _plain(one: Written, *, fernet: bool) -> Any:
    """Return the value to be sealed."""
    if not one.is_fernet:
        return one.value
    if not fernet:
        raise AdminsOnly
    plain = open_fernet(fernet_keys(), one.value)
    if plain is None:
        raise InvalidFernet(one.path)
    return plain


def _placed(value: Any, wanted: Sequence[Written], chosen: "_Chosen") -> Any:
    order = iter(wanted)
    return markers.replace(value, lambda _: chosen.stored[next(order).path])


class _Chosen:
    """Which handle each secret of a document gets: its own, that of an equal one, or a new one."""

    def __init__(self, known: Sequence[AnyRow], *, compare: bool) -> None:
        self.known = {row.handle: row for row in known}
        self.types = {row.handle: row.value_type for row in known}
        self.stored: dict[markers.Path, dict[str, Any]] = {}
        self.new: list[crud.NewSecret] = []
        self.size = 0
        self._compare = compare
        self._equal: dict[tuple[str, str], str] = {}
        if compare:
            self._equal = {
                (row.key_name, row.fingerprint): row.handle
                for row in known
                if row.destroyed_at is None
            }

    def keep(self, one: Written) -> None:
        """Leave a secret as it is; raise UnknownHandle."""
        row = self._own(one)
        assert row is not None
        self._choose(one, row.handle, row.fingerprint, row.size)

    def make(self, keys: Keys, one: Written, value: Any, fingerprint: str, config_id: int) -> None:
        """Seal a value unless it is there; raise UnknownHandle."""
        text = json.dumps(value).encode()
        own = self._own(one)
        if own is not None and self._compare and own.fingerprint == fingerprint:
            self._choose(one, own.handle, fingerprint, len(text))
            return
        name = str(one.path[0])
        handle = self._equal.get((name, fingerprint))
        if handle is None:
            handle = self._equal[name, fingerprint] = f"sec_{secrets.token_hex(12)}"
            self.types[handle] = infer(value)
            self.new.append(
                crud.NewSecret(
                    handle=handle,
                    key_name=name,
                    data_key_id=keys.value.id,
                    ciphertext=seal_text(keys.value, config_id, handle, text),
                    fingerprint=fingerprint,
                    value_type=self.types[handle],
                    size=len(text),
                )
            )
        self._choose(one, handle, fingerprint, len(text))

    def result(self, values: dict[str, Any]) -> SealedValues:
        """Return what is known of values in which the handles stand."""
        destroyed = (row.handle for row in self.known.values() if row.destroyed_at is not None)
        return SealedValues(values, self.types, frozenset(destroyed), self.size)

    def _choose(self, one: Written, handle: str, fingerprint: str, size: int) -> None:
        self.stored[one.path] = markers.marker(handle, fingerprint)
        self.size += size

    def _own(self, one: Written) -> AnyRow | None:
        if one.handle is not None and one.handle not in self.known:
            raise UnknownHandle(one.path)
        return self.known.get(one.handle or "")


def fingerprint(key: bytes, value: Any) -> str:
    """Return the keyed hash of a value, the same for equal ones however they are written."""
    return crypto.fingerprint(key, json.canonical(value))


def seal_text(key: WrappedKey, config_id: int, handle: str, text: bytes) -> bytes:
    """Return the ciphertext of a secret; raise Sealed."""
    return crypto.seal(get_keyring().open(key), text, _context(key, config_id, handle))


def open_text(key: WrappedKey, row: AnyRow) -> bytes:
    """Return the JSON text of a stored secret under its data key; raise Sealed, IntegrityError."""
    context = _context(key, row.config_id, row.handle)
    try:
        return crypto.open_sealed(get_keyring().open(key), bytes(row.ciphertext), context)
    except (InvalidTag, ValueError):
        raise IntegrityError(row.handle) from None


def _context(key: WrappedKey, config_id: int, handle: str) -> bytes:
    """Return what is authenticated with a secret: immutable ids."""
    place = f"{key.workspace_id}|{key.environment_id or 0}|{config_id}|{handle}|{key.id}"
    return f"secrets|{place}".encode()


def may_reveal(session: Session, access: Access, place: Place) -> bool:
    """Say whether the caller may see the secrets of a level."""
    return shows_secrets(
        access,
        place,
        is_protected=lambda: workspaces_crud.is_protected(
            session, workspace_id=access.workspace_id, name=place.environment or ""
        ),
    )


def shows_secrets(access: Access, place: Place, *, is_protected: Callable[[], bool]) -> bool:
    """Say whether the caller may see the secrets of a level, whose environment may be protected.

    Editors: except in protected environments.
    """
    if not access.allows(Permission.READ_SECRETS, place):
        return False
    return access.role != EDITOR or place.environment is None or not is_protected()


def require_reveal(session: Session, access: Access, place: Place) -> None:
    """Raise NotAllowed, OutsideScope, SecretsNotAllowed unless the caller may see secrets."""
    access.require(Permission.READ_SECRETS, place)
    if not may_reveal(session, access, place):
        raise SecretsNotAllowed(place)


def reveal(
    session: Session,
    *,
    access: Access,
    place: Place,
    value: Any,
    stored: bool,
    resource_type: str = "configuration",
    resource_id: str | None = None,
) -> Any:
    """Return a value with its secrets in it, once the audit knows: the caller's right is proved.

    `stored`: the secrets stand in their stored form, else alone. The event is about the
    resource. Destroyed values are null. Raises Sealed, IntegrityError, AuditUnavailable.
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
        access.happened(
            "read_secret",
            resource_type,
            resource_id,
            place=place,
            detail={"keys": {one.address: one.fingerprint for one in found}},
        )
    )

    def shown(one: dict[str, Any]) -> Any:
        plain = opened[one[markers.HANDLE]]
        if not stored:
            return plain
        return markers.marker(one[markers.HANDLE], one[markers.FINGERPRINT], plain)

    return markers.replace(value, shown)


def reveal_text(
    session: Session, *, access: Access, place: Place, text: str, resource_id: str
) -> str:
    """Return stored JSON text with its secrets revealed; raises SecretsNotAllowed too."""
    require_reveal(session, access, place)
    if not markers.may_have_secrets(text):
        return text
    shown = reveal(
        session,
        access=access,
        place=place,
        value=json.loads(text),
        stored=True,
        resource_id=resource_id,
    )
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


def _open(row: AnyRow, expected: str) -> Any:
    if row.destroyed_at is not None:
        return None
    if row.ciphertext is None or row.id is None or row.f_id is None:
        raise IntegrityError(row.handle)
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
    value = json.loads(open_text(key, row))
    if not fingerprint(get_keyring().open(prints), value) == expected == row.fingerprint:
        raise IntegrityError(row.handle)
    return value


def alarm(access: Access, place: Place, handle: str) -> None:
    """Tell the operator and the audit that a stored secret was tampered with."""
    log.error("secrets.integrity_error", handle=handle, workspace_id=access.workspace_id)
    reads.write(
        access.happened(
            "read_secret",
            "secret",
            handle,
            place=place,
            outcome="alarm",
            detail={"code": IntegrityError.code},
        )
    )
