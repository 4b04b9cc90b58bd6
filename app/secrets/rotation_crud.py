"""SQL of rotating data keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import DataKey, KeyCheck, Lease
from app.secrets.keyring import WrappedKey
from app.secrets.providers import Wrapped

LOCK = 7_200_452
UNFINISHED = "key-rotation"
"""The lease that stands from the moment when new data keys are there until all use them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A secret, sealed under another data key."""

    handle: str
    data_key_id: int
    ciphertext: bytes


def try_lock(connection: Connection) -> bool:
    """Take the lock of rotations, which goes with the connection."""
    return bool(connection.scalar(select(func.pg_try_advisory_lock(LOCK))))


def begin(session: Session) -> bool:
    """Note that a rotation begins; false if one is unfinished."""
    made = session.scalar(
        text(
            "INSERT INTO leases (name, holder, expires_at) VALUES (:name, 'rotation', 'infinity') "
            "ON CONFLICT DO NOTHING RETURNING name"
        ),
        {"name": UNFINISHED},
    )
    return made is not None


def is_rotating(session: Session) -> bool:
    """Say whether a rotation is unfinished."""
    found = select(Lease.name).where(Lease.name == UNFINISHED)
    return session.scalar(found) is not None


def end(session: Session) -> None:
    """Note that the rotation is finished."""
    session.execute(delete(Lease).where(Lease.name == UNFINISHED))


def count_by_kek(session: Session) -> Sequence[AnyRow]:
    """Count data keys by the KEK that wrapped them."""
    return session.execute(
        select(DataKey.kek_id, func.count().label("data_keys"))
        .group_by(DataKey.kek_id)
        .order_by(DataKey.kek_id)
    ).all()


_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM data_keys WHERE purpose = 'value') AS data_keys,
        (SELECT count(*) FROM data_keys WHERE NOT is_active) AS old_data_keys,
        (SELECT count(*) FROM secrets WHERE data_key_id IS NOT NULL) AS secrets,
        (SELECT count(*) FROM secrets AS s JOIN data_keys AS d ON d.id = s.data_key_id
         WHERE NOT d.is_active) AS waiting
    """
)


def count_all(session: Session) -> AnyRow:
    """Count data keys and secrets; `waiting` are sealed under old keys."""
    return session.execute(_COUNTS).one()


def list_wrapped_otherwise(
    session: Session, *, kek_id: str, after: int, limit: int
) -> Sequence[AnyRow]:
    """Return data keys that another KEK wrapped."""
    return session.execute(
        select(*DataKey.__table__.columns)
        .where(DataKey.kek_id != kek_id, DataKey.id > after)
        .order_by(DataKey.id)
        .limit(limit)
    ).all()


def rewrap(session: Session, *, old: WrappedKey, new: Wrapped) -> int:
    """Replace what wraps a data key, unless somebody else did; return how many."""
    return int(
        session.execute(
            update(DataKey)
            .where(DataKey.id == old.id, DataKey.kek_id == old.kek_id)
            .values(kek_id=new.kek_id, wrapped=new.data)
        ).rowcount  # type: ignore[attr-defined]
    )


def delete_unused_checks(session: Session) -> None:
    """Delete the check values of KEKs that wrap nothing any more."""
    session.execute(delete(KeyCheck).where(KeyCheck.kek_id.not_in(select(DataKey.kek_id))))


def list_places(session: Session) -> Sequence[AnyRow]:
    """Return the places that have a data key for values."""
    return session.execute(
        select(DataKey.workspace_id, DataKey.environment_id)
        .where(DataKey.purpose == "value", DataKey.is_active)
        .order_by(DataKey.workspace_id, DataKey.environment_id)
    ).all()


def list_old_keys(session: Session) -> Sequence[AnyRow]:
    """Return the data keys that seal nothing new."""
    return session.execute(
        select(*DataKey.__table__.columns).where(~DataKey.is_active).order_by(DataKey.id)
    ).all()


_UNDER = text(
    """
    SELECT s.handle, s.config_id, s.ciphertext,
        d.id, d.workspace_id, d.environment_id, d.purpose, d.number, d.kek_id, d.wrapped
    FROM secrets AS s
    JOIN configs AS c ON c.id = s.config_id
    JOIN data_keys AS d ON d.workspace_id = s.workspace_id AND d.is_active
        AND d.purpose = 'value' AND d.environment_id IS NOT DISTINCT FROM c.environment_id
    WHERE s.data_key_id = :data_key_id AND s.handle > :after
    ORDER BY s.handle
    LIMIT :limit
    """
)


def list_under(session: Session, *, data_key_id: int, after: str, limit: int) -> Sequence[AnyRow]:
    """Return secrets under an old data key, each with the one that is active in its place."""
    values = {"data_key_id": data_key_id, "after": after, "limit": limit}
    return session.execute(_UNDER, values).all()


_MOVE = text(
    """
    UPDATE secrets AS s SET data_key_id = new.data_key_id, ciphertext = new.ciphertext
    FROM unnest(CAST(:handles AS text[]), CAST(:data_key_ids AS bigint[]),
        CAST(:ciphertexts AS bytea[])) AS new (handle, data_key_id, ciphertext)
    WHERE s.handle = new.handle AND s.data_key_id = :old_id
    """
)


def move(session: Session, *, old_id: int, moved: Sequence[Moved]) -> int:
    """Store what was sealed anew, unless it was destroyed or moved meanwhile; return how many."""
    if not moved:
        return 0
    values = {
        "old_id": old_id,
        "handles": [one.handle for one in moved],
        "data_key_ids": [one.data_key_id for one in moved],
        "ciphertexts": [one.ciphertext for one in moved],
    }
    return int(session.execute(_MOVE, values).rowcount)  # type: ignore[attr-defined]


_DELETE_UNUSED = text(
    """
    DELETE FROM data_keys AS d WHERE d.id = :data_key_id AND NOT d.is_active
        AND NOT EXISTS (SELECT FROM secrets AS s WHERE s.data_key_id = d.id)
    """
)


def delete_unused(session: Session, *, data_key_id: int) -> int:
    """Delete an old data key unless a secret needs it; return how many."""
    return int(
        session.execute(_DELETE_UNUSED, {"data_key_id": data_key_id}).rowcount  # type: ignore[attr-defined]
    )
