"""Accounts: registering, logging in and out, passwords, the first admin."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.accounts.schemas import LoginRead, UserCreate, UserUpdate
from app.auth import crud, passwords, tokens
from app.auth.deps import Caller
from app.auth.errors import (
    InvalidCredentials,
    TooManyLogins,
    UserExists,
    UserNotFound,
)
from app.core import context, db
from app.models import Member, User
from app.outbox import events
from app.workspaces.service import create_workspace, require_default


def login(*, username: str, password: str) -> LoginRead:
    """Exchange a name or e-mail address and a password for a token.

    Opens its own transactions: a failure is remembered although the call fails, and no
    connection is held while the password is hashed. Raises InvalidCredentials, TooManyLogins.
    """
    account = username.strip().lower()[:256]
    address = context.current().address or "unknown"
    with db.transaction() as session:
        wait = crud.claim_attempt(session, account=account, address=address)
        user = crud.find_user(session, name=account)
        if wait:
            _record_login(session, user, outcome="throttled")
    if wait:
        raise TooManyLogins(
            "Too many failed logins. Wait, or reset the password.", seconds=int(wait) + 1
        )
    usable = user if user and not user.disabled else None
    good = passwords.verify_password(password, usable.password_hash if usable else None)
    with db.transaction() as session:
        if usable is None or not good:
            _record_login(session, user, outcome="failure")
        else:
            crud.clear_attempts(session, account=account, address=address)
            text, token = tokens.new_token(usable.id)
            ends = datetime.fromtimestamp(token.expires_at, UTC)
            crud.create_login(session, jti=token.jti, user_id=usable.id, expires_at=ends)
            _record_login(session, usable, outcome="success")
    if usable is None or not good:
        raise InvalidCredentials
    seconds = int((ends - datetime.now(UTC)).total_seconds()) + 1
    return LoginRead(access_token=text, expires_in=seconds, expires_at=ends, jti=token.jti)


def _record_login(session: Session, user: User | None, *, outcome: str) -> None:
    events.record(
        session,
        events.Happened(
            action="login" if outcome == "success" else "login_failed",
            resource_type="user",
            resource_id=str(user.id) if user else None,
            actor_id=user.id if user else None,
            actor_name=user.username if user else "anonymous",
            outcome=outcome,
        ),
    )


def logout(session: Session, *, caller: Caller) -> None:
    """End the caller's session."""
    crud.revoke_login(session, jti=caller.jti or "")
    _record(session, caller, "logout", caller.user_id, resource_type="token")


def register(session: Session, *, new: UserCreate, caller: Caller) -> User:
    """Create a user with a personal workspace. Name, address and slug are unique (409)."""
    if crud.is_taken(session, username=new.username, email=new.email):
        raise UserExists
    user = create_user(
        session,
        username=new.username,
        email=new.email,
        password_hash=passwords.hash_password(new.password),
        role=new.role,
    )
    who = caller if caller.user_id else Caller(user_id=user.id, username=user.username)
    _record(session, who, "register", user.id, role=new.role)
    return user


def create_user(
    session: Session, *, username: str, email: str, password_hash: str, role: str
) -> User:
    """Insert a user, the personal workspace, and the ownership of it."""
    user = User(username=username, email=email, password_hash=password_hash, role=role)
    session.add(user)
    session.flush()
    workspace = create_workspace(
        session,
        slug=username.lower(),
        name=username,
        owner_id=user.id,
        actor=(user.id, username),
    )
    user.home_workspace_id = workspace.id
    session.add(Member(workspace_id=workspace.id, user_id=user.id, role="owner"))
    session.flush()
    return user


def create_first_admin(session: Session, *, username: str, email: str, password: str) -> User:
    """Create an admin who acts in `default`, its owner."""
    user = create_user(
        session,
        username=username,
        email=email,
        password_hash=passwords.hash_password(password),
        role="admin",
    )
    default = require_default(session)
    session.add(Member(workspace_id=default.id, user_id=user.id, role="owner"))
    user.home_workspace_id = default.id
    _record(session, Caller(username="system"), "register", user.id, role="admin")
    return user


def change_password(session: Session, *, caller: Caller, old: str, new: str) -> None:
    """Replace the caller's password and end the caller's other sessions."""
    user = require_user(session, user_id=caller.user_id)
    if not passwords.verify_password(old, user.password_hash):
        raise InvalidCredentials
    user.password_hash = passwords.hash_password(new)
    crud.revoke_logins(session, user_id=user.id, keep=caller.jti)
    _record(session, caller, "update", user.id, changed=["password"])


def update_user(session: Session, *, caller: Caller, user_id: int, change: UserUpdate) -> User:
    """Change a user's role, password or whether it is disabled; the latter two end sessions."""
    user = require_user(session, user_id=user_id)
    if change.role is not None:
        user.role = change.role
    if change.password is not None:
        user.password_hash = passwords.hash_password(change.password)
    if change.disabled is not None:
        user.disabled = change.disabled
    if change.disabled or change.password is not None:
        crud.revoke_logins(session, user_id=user.id)
    _record(session, caller, "update", user.id, changed=sorted(change.model_fields_set))
    return user


def require_user(session: Session, *, user_id: int | None) -> User:
    """Return a user or raise UserNotFound."""
    user = crud.get_user(session, user_id=user_id) if user_id else None
    if user is None:
        raise UserNotFound
    return user


def _record(
    session: Session,
    caller: Caller,
    action: str,
    user_id: int | None,
    *,
    resource_type: str = "user",
    **detail: object,
) -> None:
    session.flush()
    events.record(
        session,
        events.Happened(
            action=action,
            resource_type=resource_type,
            resource_id=str(user_id),
            actor_id=caller.user_id,
            actor_name=caller.username,
            detail=detail,
        ),
    )
