"""Who asks: the caller as a parameter of a route."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from app.auth import crud, tokens
from app.auth.errors import AdminsOnly, InvalidToken, LoginRequired
from app.core.routing import SessionDep
from app.core.settings import get_settings


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who makes a call. `user_id` None: nobody is logged in."""

    user_id: int | None = None
    username: str = "anonymous"
    admin: bool = False
    jti: str | None = None


ANONYMOUS = Caller()
OPEN = Caller(username="local", admin=True)
"""Everybody, while AUTH_ENABLED is false."""


async def get_token(request: Request) -> tokens.Token | None:
    """Return the verified token of the call, or None without credentials."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return tokens.verify(value.strip())
    if kind or request.headers.get("x-api-key"):
        raise InvalidToken
    return None


TokenDep = Annotated[tokens.Token | None, Depends(get_token)]


def get_caller(session: SessionDep, token: TokenDep) -> Caller:
    """Return who calls, ANONYMOUS without credentials."""
    if token is None:
        return ANONYMOUS if get_settings().auth_enabled else OPEN
    login = crud.get_login(session, jti=token.jti)
    if login is None:
        raise InvalidToken
    session.info["caller"] = caller = caller_of(login, token)
    return caller


def caller_of(login: Any, token: tokens.Token) -> Caller:
    """Build the caller from a row of `crud.select_login`."""
    return Caller(
        user_id=login.user_id,
        username=login.username,
        admin=login.user_role == "admin",
        jti=token.jti,
    )


AnyCaller = Annotated[Caller, Depends(get_caller)]


def require_login(caller: AnyCaller) -> Caller:
    """Return the caller, who must be logged in."""
    if caller.user_id is None:
        raise LoginRequired
    return caller


def require_admin(caller: AnyCaller) -> Caller:
    """Return the caller, who must be a global admin."""
    if caller.user_id is None and not caller.admin:
        raise LoginRequired
    if not caller.admin:
        raise AdminsOnly
    return caller


LoggedIn = Annotated[Caller, Depends(require_login)]
Admin = Annotated[Caller, Depends(require_admin)]
