"""SQL of sharing and destroying secrets, and of forgetting what nothing names any more."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from app.core.db import AnyRow
from app.models import Config, Environment, Object, Secret, Service, WrappedSecret

KEPT_OPENED = timedelta(days=30)


def create_wrapped(
    session: Session,
    *,
    digest: str,
    workspace_id: int,
    ciphertext: bytes,
    created_by: str,
    seconds: int,
) -> datetime:
    """Keep a value under a token's digest; return until when."""
    until = func.now() + timedelta(seconds=seconds)
    return session.execute(
        insert(WrappedSecret)
        .values(
            digest=digest,
            workspace_id=workspace_id,
            ciphertext=ciphertext,
            created_by=created_by,
            expires_at=until,
        )
        .returning(WrappedSecret.expires_at)
    ).scalar_one()


_TAKE = text(
    """
    WITH found AS (
        SELECT * FROM wrapped_secrets WHERE digest = :digest FOR UPDATE
    ), taken AS (
        UPDATE wrapped_secrets AS w SET ciphertext = NULL, opened_at = clock_timestamp()
        FROM found WHERE w.digest = found.digest AND w.opened_at IS NULL
            AND w.expires_at > clock_timestamp()
    )
    SELECT *, expires_at <= clock_timestamp() AS expired FROM found
    """
)


def take_wrapped(session: Session, *, digest: str) -> AnyRow | None:
    """Return what is kept under a digest as it was, and keep the value no longer."""
    return session.execute(_TAKE, {"digest": digest}).one_or_none()


def lock_secret(session: Session, *, workspace_id: int, handle: str) -> AnyRow | None:
    """Return a secret with the names of its level, its config locked against changes."""
    return session.execute(
        select(
            Secret.config_id,
            Secret.key_name,
            Secret.destroyed_at,
            Service.name.label("service"),
            Environment.name.label("environment"),
        )
        .join(Config, Config.id == Secret.config_id)
        .join(Object, Object.id == Config.id)
        .outerjoin(Service, Service.id == Config.service_id)
        .outerjoin(Environment, Environment.id == Config.environment_id)
        .where(Secret.workspace_id == workspace_id, Secret.handle == handle)
        .with_for_update(of=Object)
    ).one_or_none()


_IN_USE = text(
    """
    SELECT EXISTS (
        SELECT FROM keys WHERE config_id = :config_id AND strpos(value, :handle) > 0
    ) OR EXISTS (
        SELECT FROM rotators AS r JOIN keys AS k ON k.id = r.key_id
        WHERE k.config_id = :config_id
            AND strpos(concat(r.settings, r.pending, r.previous), :handle) > 0
    )
    """
)


def is_in_use(session: Session, *, config_id: int, handle: str) -> bool:
    """Say whether a secret stands in the current document, a parked key or a rotator."""
    return bool(session.scalar(_IN_USE, {"config_id": config_id, "handle": handle}))


def destroy(session: Session, *, handle: str, actor: str) -> datetime | None:
    """Delete a secret's ciphertext; return when."""
    return session.execute(
        update(Secret)
        .where(Secret.handle == handle)
        .values(
            ciphertext=None,
            data_key_id=None,
            destroyed_at=func.clock_timestamp(),
            destroyed_by=actor,
        )
        .returning(Secret.destroyed_at)
    ).scalar_one()


def sweep(session: Session) -> None:
    """Delete shared values whose time is over; opened ones are remembered a while longer."""
    session.execute(
        delete(WrappedSecret).where(
            WrappedSecret.expires_at < func.now(),
            (WrappedSecret.opened_at.is_(None))
            | (WrappedSecret.opened_at < func.now() - KEPT_OPENED),
        )
    )


_PRUNE = text(
    """
    WITH said AS (
        SELECT content AS text FROM versions WHERE object_id = :config_id
        UNION ALL
        SELECT value FROM keys WHERE config_id = :config_id
        UNION ALL
        SELECT v.value FROM key_versions AS v JOIN keys AS k ON k.id = v.key_id
        WHERE k.config_id = :config_id
        UNION ALL
        SELECT concat(r.settings, r.pending, r.previous)
        FROM rotators AS r JOIN keys AS k ON k.id = r.key_id WHERE k.config_id = :config_id
    ), named AS (
        SELECT found[1] AS handle
        FROM said, regexp_matches(said.text, 'sec_[0-9a-f]{24}', 'g') AS found
        WHERE strpos(said.text, '"$secret"') > 0
    )
    DELETE FROM secrets AS s
    WHERE s.config_id = :config_id AND s.created_at < now() - interval '1 hour'
        AND NOT EXISTS (SELECT FROM named WHERE named.handle = s.handle)
    """
)


def prune(session: Session, *, config_id: int) -> None:
    """Delete the secrets of a config that nothing names any more.

    Under the config's lock, so that no write is about to name one again; in a statement of its
    own, which sees what the lock waited for.
    """
    session.execute(select(Object.id).where(Object.id == config_id).with_for_update())
    session.execute(_PRUNE, {"config_id": config_id})
