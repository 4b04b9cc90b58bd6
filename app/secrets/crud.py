"""SQL of secrets and their data keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import DataKey, KeyCheck
from app.secrets.keyring import WrappedKey

VALUE, FINGERPRINT = PURPOSES = ("value", "fingerprint")
DATA_KEY_AGE = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that is about to be stored."""

    handle: str
    key_name: str
    data_key_id: int
    ciphertext: bytes
    fingerprint: str
    value_type: str
    size: int


def wrapped_key(row: AnyRow) -> WrappedKey:
    """Return the data key in a row that has its columns."""
    return WrappedKey(
        id=row.id,
        workspace_id=row.workspace_id,
        environment_id=row.environment_id,
        purpose=row.purpose,
        number=row.number,
        kek_id=row.kek_id,
        wrapped=bytes(row.wrapped),
    )


_ACTIVE = text(
    """
    SELECT c.environment_id AS place, d.id, d.workspace_id, d.environment_id, d.purpose, d.number,
        d.kek_id, d.wrapped, d.created_at < now() - :age AS old
    FROM configs AS c LEFT JOIN data_keys AS d
        ON d.workspace_id = c.workspace_id AND d.is_active
        AND (d.purpose = 'fingerprint'
             OR d.environment_id IS NOT DISTINCT FROM c.environment_id)
    WHERE c.id = :config_id
    """
)


def list_active(session: Session, *, config_id: int) -> Sequence[AnyRow]:
    """Return the active keys for a config's values and prints; `place` is its environment.

    One row without a key where there is none; `old`: it has served long enough.
    """
    return session.execute(_ACTIVE, {"config_id": config_id, "age": DATA_KEY_AGE}).all()


def lock_data_keys(session: Session, *, workspace_id: int) -> None:
    """Let one transaction at a time make data keys of a workspace."""
    place = func.hashtextextended(f"data-keys:{workspace_id}", 0)
    session.execute(select(func.pg_advisory_xact_lock(place)))


def next_number(
    session: Session, *, workspace_id: int, environment_id: int | None, purpose: str
) -> int:
    """Retire the active data key of a place from sealing; return the number of the next."""
    here = (
        DataKey.workspace_id == workspace_id,
        DataKey.environment_id.is_not_distinct_from(environment_id),
        DataKey.purpose == purpose,
    )
    session.execute(update(DataKey).where(*here, DataKey.is_active).values(is_active=False))
    return session.scalar(select(func.coalesce(func.max(DataKey.number), 0) + 1).where(*here)) or 1


def create_data_key(
    session: Session,
    *,
    workspace_id: int,
    environment_id: int | None,
    purpose: str,
    number: int,
    kek_id: str,
    wrapped: bytes,
) -> WrappedKey:
    """Insert the active data key of a place."""
    made = session.scalar(
        insert(DataKey)
        .values(
            workspace_id=workspace_id,
            environment_id=environment_id,
            purpose=purpose,
            number=number,
            kek_id=kek_id,
            wrapped=wrapped,
        )
        .returning(DataKey.id)
    )
    assert made is not None
    return WrappedKey(made, workspace_id, environment_id, purpose, number, kek_id, wrapped)


def list_key_checks(session: Session) -> Sequence[AnyRow]:
    """Return the check values of the KEKs that stored data keys need; null where there is none."""
    needed = select(DataKey.kek_id).distinct().subquery()
    return session.execute(
        select(needed.c.kek_id, KeyCheck.wrapped).outerjoin(
            KeyCheck, KeyCheck.kek_id == needed.c.kek_id
        )
    ).all()


def has_key_check(session: Session, *, kek_id: str) -> bool:
    """Say whether there is a check value of a KEK."""
    return session.get(KeyCheck, kek_id) is not None


_CHECK = text(
    "INSERT INTO key_checks (kek_id, wrapped) VALUES (:kek_id, :wrapped) ON CONFLICT DO NOTHING"
)


def create_key_check(session: Session, *, kek_id: str, wrapped: bytes) -> None:
    """Insert the check value of a KEK unless it is there."""
    session.execute(_CHECK, {"kek_id": kek_id, "wrapped": wrapped})


def list_known(
    session: Session,
    *,
    config_id: int,
    owner: str,
    handles: Sequence[str],
    fingerprints: Sequence[str],
) -> Sequence[AnyRow]:
    """Return the secrets of a config that have one of these handles or prints, oldest first."""
    values = {
        "config_id": config_id,
        "owner": owner,
        "handles": list(handles),
        "fingerprints": list(fingerprints),
    }
    return session.execute(_KNOWN, values).all()


_KNOWN = text(
    """
    SELECT handle, key_name, fingerprint, value_type, size, destroyed_at, created_at
    FROM secrets
    WHERE config_id = :config_id AND owner = :owner
        AND handle = ANY (CAST(:handles AS text[]))
    UNION
    SELECT handle, key_name, fingerprint, value_type, size, destroyed_at, created_at
    FROM secrets
    WHERE config_id = :config_id AND owner = :owner
        AND fingerprint = ANY (CAST(:fingerprints AS text[]))
    ORDER BY created_at, handle
    """
)


_CREATE = text(
    """
    INSERT INTO secrets (handle, workspace_id, config_id, key_name, owner, data_key_id,
        ciphertext, fingerprint, value_type, size, created_by)
    SELECT handle, :workspace_id, :config_id, key_name, :owner, data_key_id, ciphertext,
        fingerprint, value_type, size, :created_by
    FROM unnest(CAST(:handles AS text[]), CAST(:key_names AS text[]),
        CAST(:data_key_ids AS bigint[]), CAST(:ciphertexts AS bytea[]),
        CAST(:fingerprints AS text[]), CAST(:value_types AS text[]), CAST(:sizes AS bigint[]))
        AS new (handle, key_name, data_key_id, ciphertext, fingerprint, value_type, size)
    """
)


def create_secrets(
    session: Session,
    *,
    workspace_id: int,
    config_id: int,
    owner: str,
    created_by: str,
    new: Sequence[NewSecret],
) -> None:
    """Insert secrets of a config, if there are any."""
    if not new:
        return
    values = {
        "workspace_id": workspace_id,
        "config_id": config_id,
        "owner": owner,
        "created_by": created_by,
        "handles": [one.handle for one in new],
        "key_names": [one.key_name for one in new],
        "data_key_ids": [one.data_key_id for one in new],
        "ciphertexts": [one.ciphertext for one in new],
        "fingerprints": [one.fingerprint for one in new],
        "value_types": [one.value_type for one in new],
        "sizes": [one.size for one in new],
    }
    session.execute(_CREATE, values)


_SEALED = text(
    """
    SELECT s.handle, s.workspace_id, s.config_id, s.ciphertext, s.fingerprint, s.destroyed_at,
        c.environment_id AS place,
        d.id, d.environment_id, d.purpose, d.number, d.kek_id, d.wrapped,
        f.id AS f_id, f.number AS f_number, f.kek_id AS f_kek_id, f.wrapped AS f_wrapped
    FROM secrets AS s
    JOIN configs AS c ON c.id = s.config_id
    LEFT JOIN data_keys AS d ON d.id = s.data_key_id AND d.workspace_id = s.workspace_id
    LEFT JOIN data_keys AS f ON f.workspace_id = s.workspace_id AND f.purpose = 'fingerprint'
        AND f.is_active
    WHERE s.workspace_id = :workspace_id AND s.handle = ANY (:handles)
    """
)


def list_sealed(session: Session, *, workspace_id: int, handles: Sequence[str]) -> Sequence[AnyRow]:
    """Return secrets with the data keys that open them, as of one moment."""
    values = {"workspace_id": workspace_id, "handles": list(handles)}
    return session.connection().execute(_SEALED, values).all()
