"""Which other origins may read answers in a browser (Fetch standard, CORS protocol)."""

from functools import lru_cache
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from app.core.settings import get_settings

Headers = tuple[tuple[bytes, bytes], ...]


def options() -> dict[str, Any] | None:
    """Return what the middleware is made with, None where no origin is allowed."""
    origins = get_settings().cors_origins
    if not origins:
        return None
    return {
        "allow_origins": origins,
        "allow_methods": ["*"],
        "allow_headers": ["*"],
        "expose_headers": ["ETag", "Retry-After", "X-Request-ID", "X-ConfigSync-Revision"],
    }


class Cors:
    """What the middleware would add to answers that do not come from it."""

    def __init__(self, app: ASGIApp) -> None:
        found = options()
        self._middleware = None if found is None else CORSMiddleware(app, **found)
        self.headers = lru_cache(maxsize=1024)(self._headers)

    def _headers(self, origin: bytes) -> Headers:
        """Return the headers for a call from a page of an origin (empty: from no page)."""
        cors = self._middleware
        if cors is None:
            return ()
        headers = MutableHeaders(cors.simple_headers if origin else {})
        name = origin.decode("latin-1")
        if origin and not cors.allow_all_origins and cors.is_allowed_origin(origin=name):
            cors.allow_explicit_origin(headers, name)
        else:
            headers["Vary"] = "Origin"
        return tuple(headers.raw)
