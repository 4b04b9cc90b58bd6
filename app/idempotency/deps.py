"""`Idempotency-Key`: a POST that may be sent twice has its effect once."""

import hashlib
import hmac
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.auth.deps import Credential, CredentialDep, KeyDigest
from app.core.errors import Conflict, Invalid
from app.core.routing import SessionDep
from app.core.settings import get_settings
from app.idempotency import crud

KEPT_HEADERS = ("etag", "x-configsync-revision", "content-type")

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Any unique text: sent again with the same body, the call answers as before",
    ),
]


class RequestInProgress(Conflict):
    """The first request with this key is not finished."""

    code, title = "request_in_progress", "Request in progress"

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key is still running. Ask again in a moment.",
            headers={"Retry-After": "1"},
        )


class IdempotencyKeyReused(Invalid):
    """The key was used with another body."""

    code, title = "idempotency_key_reused", "Idempotency key reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another body: take a new one.",
            loc=("header", "Idempotency-Key"),
        )


class Replay(Exception):
    """The request was done before; `response` is what it answered."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def idempotent(
    request: Request,
    session: SessionDep,
    credential: CredentialDep,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Answer as before, or remember the answer in the request's own transaction."""
    if idempotency_key is None:
        return
    caller = caller_name(request, credential)
    route = f"{request.method} {request.scope['route'].path}"
    digests = request_digests(request.url.path, request.url.query, await request.body())
    kept = await run_in_threadpool(
        crud.claim, session, caller=caller, route=route, key=idempotency_key
    )
    if kept is crud.RUNNING:
        raise RequestInProgress
    if kept is not None:
        if kept.digest not in digests:
            raise IdempotencyKeyReused
        raise Replay(_again(kept))

    session.info["remember"] = partial(
        _remember, session, caller=caller, route=route, key=idempotency_key, digest=digests[0]
    )


def caller_name(request: Request, credential: Credential | None) -> str:
    """Return whose keys these are: a user's, an API key's, or an address's."""
    if credential is None:
        return f"address:{request.client.host if request.client else ''}"
    if isinstance(credential, KeyDigest):
        return f"key:{credential.digest}"
    return f"user:{credential.user_id}"


def request_digests(path: str, query: str, body: bytes) -> list[str]:
    """Return the digests by which two requests are the same, one per signing key.

    Keyed, because a body may hold a secret that could be guessed from a plain digest.
    """
    text = b"\0".join((path.encode(), query.encode(), body))
    keys = get_settings().signing_keys()
    return [hmac.new(key.encode(), text, hashlib.sha256).hexdigest() for key in keys]


def _remember(
    session: Session, response: Response, *, caller: str, route: str, key: str, digest: str
) -> None:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    crud.keep(
        session,
        caller=caller,
        route=route,
        key=key,
        digest=digest,
        status=response.status_code,
        body=_without(bytes(response.body), session.info.pop("forget", ())),
        headers=orjson.dumps(headers).decode(),
    )


def forget(session: Session, *members: str) -> None:
    """Keep members of the answer, shown once, out of what is remembered: null stands there."""
    session.info["forget"] = members


def _without(body: bytes, members: tuple[str, ...]) -> bytes:
    return orjson.dumps(orjson.loads(body) | dict.fromkeys(members)) if members else body


def _again(kept: Any) -> Response:
    headers = {**orjson.loads(kept.headers), "Idempotency-Replayed": "true"}
    return Response(kept.body, status_code=kept.status, headers=headers)


async def replayed(_request: Request, error: Exception) -> Response:
    """Send the first answer again (exception handler)."""
    assert isinstance(error, Replay)
    return error.response


Idempotent = Annotated[None, Depends(idempotent)]
