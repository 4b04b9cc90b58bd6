"""SQL of accounts."""

from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core.db import AnyRow, AnySelect
from app.models import LoginSession, LoginThrottle, Member, User, Workspace

EVERYWHERE = "*"


def select_login() -> AnySelect:
    """Select the user of the session `:jti`, neither revoked nor expired, nor disabled."""
    return (
        select(
            User.id.label("user_id"),
            User.username,
            User.role.label("user_role"),
            User.home_workspace_id,
        )
        .join(LoginSession, LoginSession.user_id == User.id)
        .where(
            LoginSession.jti == bindparam("jti"),
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > func.now() - timedelta(seconds=5),
            User.disabled.is_(False),
        )
    )


LOGIN = select_login()


def get_login(session: Session, *, jti: str) -> AnyRow | None:
    """Return the user of a live session."""
    return session.execute(LOGIN, {"jti": jti}).one_or_none()


def get_user(session: Session, *, user_id: int) -> User | None:
    """Return a user by id."""
    return session.get(User, user_id)


def find_user(session: Session, *, name: str) -> User | None:
    """Return a user by name or e-mail address, regardless of case."""
    return session.execute(
        select(User).where(
            or_(
                func.lower(User.username) == func.lower(name),
                func.lower(User.email) == func.lower(name),
            )
        )
    ).scalar_one_or_none()


def is_taken(session: Session, *, username: str, email: str) -> bool:
    """Say whether a name (as user or workspace) or an address is in use, regardless of case."""
    users = select(User.id).where(
        or_(
            func.lower(User.username) == func.lower(username),
            func.lower(User.email) == func.lower(email),
        )
    )
    slugs = select(Workspace.id).where(
        Workspace.slug == username.lower(), Workspace.deleted_at.is_(None)
    )
    return session.execute(users.union_all(slugs).limit(1)).first() is not None


def any_admin(session: Session) -> bool:
    """Say whether the server has an admin."""
    return session.scalar(select(User.id).where(User.role == "admin").limit(1)) is not None


def list_users(session: Session, *, after: int, limit: int) -> list[User]:
    """List users by id."""
    statement = select(User).where(User.id > after).order_by(User.id).limit(limit)
    return list(session.scalars(statement))


def list_memberships(session: Session, *, user_id: int) -> list[AnyRow]:
    """List the workspaces of a user with the role in each."""
    return list(
        session.execute(
            select(Workspace.id, Workspace.slug, Member.role)
            .join(Member, Member.workspace_id == Workspace.id)
            .where(Member.user_id == user_id, Workspace.deleted_at.is_(None))
            .order_by(Workspace.slug)
        )
    )


def create_login(session: Session, *, jti: str, user_id: int, expires_at: datetime) -> None:
    """Store a login."""
    session.add(LoginSession(jti=jti, user_id=user_id, expires_at=expires_at))


def revoke_login(session: Session, *, jti: str) -> None:
    """End one session."""
    session.execute(
        update(LoginSession)
        .where(LoginSession.jti == jti, LoginSession.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def revoke_logins(session: Session, *, user_id: int, keep: str | None = None) -> None:
    """End all sessions of a user, but the one to keep."""
    session.execute(
        update(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.revoked_at.is_(None),
            LoginSession.jti != (keep or ""),
        )
        .values(revoked_at=func.now())
    )


def claim_attempt(session: Session, *, account: str, address: str) -> float:
    """Count an attempt as failed until it is known to be good; return seconds to wait, or 0.

    Per (account, address): five are free, then 2, 4, 8 … seconds, up to 15 minutes. Per
    account from everywhere: twenty are free, then up to 30 seconds, so that a guesser
    cannot lock the owner out. A refused attempt counts nothing.
    """
    limits = {address: (5, 900), EVERYWHERE: (20, 30)}
    fresh = [
        {
            "account": account,
            "address": place,
            "failures": 0,
            "last_at": func.now(),
            "blocked_until": func.now(),
        }
        for place in sorted(limits)
    ]
    for row in fresh:
        session.execute(insert(LoginThrottle).values(row).on_conflict_do_nothing())
    now = func.clock_timestamp().label("now")
    rows = session.execute(
        select(LoginThrottle, now)
        .where(LoginThrottle.account == account, LoginThrottle.address.in_(limits))
        .order_by(LoginThrottle.address)
        .with_for_update()
    ).all()
    wait: float = max((row.LoginThrottle.blocked_until - row.now).total_seconds() for row in rows)
    if wait > 0:
        return wait
    for throttle, at in rows:
        free, longest = limits[throttle.address]
        stale = throttle.last_at < at - timedelta(days=1)
        throttle.failures = 1 if stale else throttle.failures + 1
        throttle.last_at = at
        if throttle.failures >= free:
            seconds = min(longest, 2 ** min(throttle.failures - free + 1, 20))
            throttle.blocked_until = at + timedelta(seconds=seconds)
    session.flush()
    return 0.0


def clear_attempts(session: Session, *, account: str, address: str) -> None:
    """Forget the failures of an account from an address, and this attempt in its total.

    The block of the whole account ends too: its owner has just shown up.
    """
    session.execute(
        delete(LoginThrottle).where(
            LoginThrottle.account == account, LoginThrottle.address == address
        )
    )
    session.execute(
        update(LoginThrottle)
        .where(LoginThrottle.account == account, LoginThrottle.address == EVERYWHERE)
        .values(failures=func.greatest(LoginThrottle.failures - 1, 0), blocked_until=func.now())
    )


def sweep(session: Session) -> int:
    """Delete sessions that ended a day ago and throttles that are a day old."""
    rows = 0
    for statement in (
        delete(LoginSession).where(LoginSession.expires_at < func.now() - timedelta(days=1)),
        delete(LoginThrottle).where(LoginThrottle.last_at < func.now() - timedelta(days=1)),
    ):
        rows += session.execute(statement).rowcount  # type: ignore[attr-defined]
    return rows
