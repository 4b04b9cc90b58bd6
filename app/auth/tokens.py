"""JSON Web Tokens: HS256 by python-jose, every claim demanded; the only module that knows how."""

import hashlib
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from jose import jwt
from jose.exceptions import JOSEError

from app.auth.errors import InvalidToken
from app.core.settings import get_settings

ALGORITHM = "HS256"
ISSUER = "configsync"
AUDIENCE = "configsync"
MAX_LENGTH = 4096
LEEWAY_SECONDS = 5
CACHE_SIZE = 10_000

_OPTIONS = {
    "require_aud": True,
    "require_iat": True,
    "require_exp": True,
    "require_nbf": True,
    "require_iss": True,
    "require_sub": True,
    "require_jti": True,
    "leeway": LEEWAY_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token: its id, the user's id, its end in Unix seconds."""

    jti: str
    user_id: int
    expires_at: int


_verified: OrderedDict[bytes, Token] = OrderedDict()
_lock = Lock()


def new_token(user_id: int) -> tuple[str, Token]:
    """Sign a token for a user; the caller stores its `jti` as a session."""
    settings = get_settings()
    now = int(time.time())
    token = Token(
        jti=secrets.token_urlsafe(16),
        user_id=user_id,
        expires_at=now + settings.access_token_expire_minutes * 60,
    )
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "jti": token.jti,
        "iat": now,
        "nbf": now,
        "exp": token.expires_at,
    }
    return jwt.encode(claims, settings.signing_keys()[0], algorithm=ALGORITHM), token


def seal(subject: str, *, audience: str, expires_at: int) -> str:
    """Sign a text for some purpose; equal input gives an equal token."""
    claims = {"iss": ISSUER, "aud": audience, "sub": subject, "exp": expires_at}
    return jwt.encode(claims, get_settings().signing_keys()[0], algorithm=ALGORITHM)


def unseal(text: str, *, audience: str) -> str:
    """Return the text that `seal` signed for this purpose; raise InvalidToken."""
    options = {f"require_{claim}": True for claim in ("aud", "exp", "iss", "sub")}
    return str(_claims(text, audience, options)["sub"])


def verify(text: str) -> Token:
    """Return the verified token; raise InvalidToken. Whether it was revoked, the database says.

    Signatures are checked once and remembered by digest until the token expires.
    """
    digest = hashlib.sha256(text.encode()).digest()
    with _lock:
        token = _verified.get(digest)
    if token is None:
        token = _verify(text)
        with _lock:
            _verified[digest] = token
            if len(_verified) > CACHE_SIZE:
                _verified.popitem(last=False)
    if token.expires_at + LEEWAY_SECONDS < time.time():
        raise InvalidToken
    return token


def _verify(text: str) -> Token:
    claims = _claims(text, AUDIENCE, _OPTIONS)
    try:
        return Token(
            jti=str(claims["jti"]), user_id=int(claims["sub"]), expires_at=int(claims["exp"])
        )
    except (ValueError, TypeError, KeyError):
        raise InvalidToken from None


def _claims(text: str, audience: str, options: dict[str, Any]) -> dict[str, Any]:
    if len(text) > MAX_LENGTH:
        raise InvalidToken
    for key in get_settings().signing_keys():
        try:
            return jwt.decode(
                text,
                key,
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=ISSUER,
                options=options,
            )
        except (JOSEError, ValueError, TypeError, KeyError, RecursionError):
            continue
    raise InvalidToken
