"""Answers that embed stored JSON text as it is, and the tags that go with them."""

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, as the wire has it, and its tag."""

    members: dict[str, Any]
    etag: str


def answer(content: Any, *, etag: str | None = None, status: int = 200) -> Response:
    """Return JSON; `orjson.Fragment` members go in as they are."""
    return Response(
        orjson.dumps(content, option=orjson.OPT_UTC_Z),
        status_code=status,
        media_type=JSON,
        headers={"ETag": etag} if etag else None,
    )


def raw(text: str | None) -> orjson.Fragment | None:
    """Embed stored JSON text."""
    return None if text is None else orjson.Fragment(text)


def tags(header: str | None) -> tuple[str, ...] | None:
    """Return the entity tags of an If-Match or If-None-Match header."""
    if header is None:
        return None
    return tuple(tag.strip() for tag in header.split(",") if tag.strip())


def not_modified(headers: Headers, etag: str) -> Response | None:
    """Return 304 when the caller has this already."""
    wanted = tags(headers.get("if-none-match"))
    if wanted is None:
        return None
    if "*" in wanted or etag in (tag.removeprefix("W/") for tag in wanted):
        return Response(status_code=304, headers={"ETag": etag})
    return None
