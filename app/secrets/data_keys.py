"""Data keys: one per workspace and environment, made when first needed, and their KEKs' checks."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.secrets import crud, crypto
from app.secrets.errors import Sealed
from app.secrets.keyring import Keyring, WrappedKey, get_keyring, key_context
from app.secrets.providers import Wrapped

CHECK_VALUE = b"configsync key check"
CHECK_CONTEXT = b"key_checks"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a config's secrets are sealed with: a wrapped data key, and the key of the prints."""

    value: WrappedKey
    fingerprint: bytes


def require_active(session: Session, *, workspace_id: int, config_id: int) -> Keys:
    """Return the keys for new secrets of a config, made if there are none; raise Sealed."""
    rows = crud.list_active(session, config_id=config_id)
    found = _by_purpose(rows)
    if len(found) < len(crud.PURPOSES):
        crud.lock_data_keys(session, workspace_id=workspace_id)
        rows = crud.list_active(session, config_id=config_id)
        found = _by_purpose(rows)
        places = {crud.VALUE: rows[0].place, crud.FINGERPRINT: None}
        for purpose in crud.PURPOSES:
            if purpose not in found:
                found[purpose] = create(
                    session,
                    workspace_id=workspace_id,
                    environment_id=places[purpose],
                    purpose=purpose,
                )
    return Keys(found[crud.VALUE], get_keyring().open(found[crud.FINGERPRINT]))


def _by_purpose(rows: Sequence[AnyRow]) -> dict[str, WrappedKey]:
    return {
        row.purpose: crud.wrapped_key(row)
        for row in rows
        if row.id is not None and not (row.old and row.purpose == crud.VALUE)
    }


def create(
    session: Session, *, workspace_id: int, environment_id: int | None, purpose: str
) -> WrappedKey:
    """Make the next data key of a place, wrapped under the active KEK.

    Raises Sealed also when another KEK that is needed is not here: a server with the wrong
    key must not go on as if it had the right one.
    """
    keyring = get_keyring()
    refuse_sealed(session, keyring)
    number = crud.next_number(
        session, workspace_id=workspace_id, environment_id=environment_id, purpose=purpose
    )
    context = key_context(workspace_id, environment_id, purpose, number)
    wrapped = keyring.wrap(crypto.new_key(), context)
    ensure_check(session, keyring, wrapped.kek_id)
    return crud.create_data_key(
        session,
        workspace_id=workspace_id,
        environment_id=environment_id,
        purpose=purpose,
        number=number,
        kek_id=wrapped.kek_id,
        wrapped=wrapped.data,
    )


def ensure_check(session: Session, keyring: Keyring, kek_id: str) -> None:
    """Keep a check value of a KEK that is used for the first time."""
    if not crud.has_key_check(session, kek_id=kek_id):
        check = keyring.wrap(CHECK_VALUE, CHECK_CONTEXT)
        crud.create_key_check(session, kek_id=check.kek_id, wrapped=check.data)


def refuse_sealed(session: Session, keyring: Keyring) -> None:
    """Raise Sealed unless every KEK that stored data keys need is here and right."""
    for row in crud.list_key_checks(session):
        if row.wrapped is None:  # its holder went on to another key at that very moment
            if not keyring.knows(row.kek_id):
                raise Sealed
        elif keyring.unwrap(Wrapped(row.kek_id, bytes(row.wrapped)), CHECK_CONTEXT) != CHECK_VALUE:
            raise Sealed


def is_sealed(session: Session) -> bool:
    """Say whether some secrets cannot be opened, for readiness."""
    try:
        refuse_sealed(session, get_keyring())
    except Sealed:
        return True
    return False
