"""Who asks: the caller as a parameter of a route."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from app.auth import crud, keys, tokens
from app.auth.errors import AdminsOnly, InvalidToken, LoginRequired, UsersOnly
from app.core.routing import SessionDep
from app.core.settings import get_settings


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who makes a call. Neither `user_id` nor `key_id`: nobody is known."""

    user_id: int | None = None
    username: str = "anonymous"
    admin: bool = False
    jti: str | None = None
    key_id: int | None = None


@dataclass(frozen=True, slots=True)
class KeyDigest:
    """An API key that somebody showed, as its digest. Whether it is good, the database says."""

    digest: str


Credential = tokens.Token | KeyDigest
TOKEN, KEY = "jti:", "key:"
"""How a credential begins where it is written down."""

ANONYMOUS = Caller()
OPEN = Caller(username="local", admin=True)
"""Everybody, while AUTH_ENABLED is false."""


async def get_credential(request: Request) -> Credential | None:
    """Return what the call shows: a verified token, an API key's digest, or None."""
    headers = request.headers
    return credential_of(headers.get("authorization", ""), headers.get("x-api-key", ""))


def credential_of(header: str, shown: str) -> Credential | None:
    """Return what the headers Authorization and X-API-Key show; raise InvalidToken."""
    kind, _, value = header.partition(" ")
    value = value.strip()
    if kind.lower() == "bearer" and value:
        return key_digest(value) if keys.is_key(value) else tokens.verify(value)
    if kind.lower() == "apikey" and value:
        return key_digest(value)
    if header:
        raise InvalidToken
    shown = shown.strip()
    return key_digest(shown) if shown else None


def key_digest(text: str) -> KeyDigest:
    """Return the credential of a key's text."""
    return KeyDigest(keys.digest(text))


def write_credential(credential: Credential | None) -> str:
    """Return a text that stands for a credential and cannot be used in its place."""
    if isinstance(credential, KeyDigest):
        return KEY + credential.digest
    return TOKEN + (credential.jti if credential else "")


def read_credential(text: str) -> Credential | None:
    """Return the credential that `write_credential` wrote."""
    kind, value = text[: len(TOKEN)], text[len(TOKEN) :]
    if kind == KEY:
        return KeyDigest(value)
    return tokens.Token(jti=value, user_id=0, expires_at=0) if value else None


CredentialDep = Annotated[Credential | None, Depends(get_credential)]


def get_caller(session: SessionDep, credential: CredentialDep) -> Caller:
    """Return who calls, ANONYMOUS without credentials."""
    if credential is None:
        return ANONYMOUS if get_settings().auth_enabled else OPEN
    if isinstance(credential, KeyDigest):
        raise UsersOnly
    login = crud.get_login(session, jti=credential.jti)
    if login is None:
        raise InvalidToken
    session.info["caller"] = caller = caller_of(login, credential)
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
