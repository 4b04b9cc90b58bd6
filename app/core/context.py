"""What is known of a request before anybody is asked who sent it."""

import re
import secrets
from contextvars import ContextVar
from typing import NamedTuple

_REQUEST_ID = re.compile(r"^[\x21-\x7e]{1,128}$")


class RequestContext(NamedTuple):
    """Where a request came from; stands in every event and log line."""

    request_id: str
    address: str | None = None
    user_agent: str | None = None


_current: ContextVar[RequestContext] = ContextVar("request_context")


def new_request_id(given: str | None = None) -> str:
    """Return the caller's id if it is usable, else a new one."""
    return given if given and _REQUEST_ID.match(given) else secrets.token_hex(12)


def current() -> RequestContext:
    """Return the context of this request, or one of its own for work outside requests."""
    return _current.get(None) or RequestContext(request_id=f"internal-{secrets.token_hex(6)}")


def bind(context: RequestContext) -> None:
    """Make it the context of everything that this request does."""
    _current.set(context)
