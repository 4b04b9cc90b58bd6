"""Answers that embed stored JSON text as it is, and the tags that go with them."""

from collections.abc import Collection, Iterable
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


def names(wanted: Iterable[str], etag: str) -> bool:
    """Say whether an entity tag is among those wanted, be they weak."""
    return etag in (tag.removeprefix("W/") for tag in wanted)


def is_known(wanted: Collection[str], etag: str) -> bool:
    """Say whether If-None-Match means the caller has what this tag is of."""
    return "*" in wanted or names(wanted, etag)


def not_modified(headers: Headers, etag: str) -> Response | None:
    """Return 304 when the caller has this already."""
    if is_known(tags(headers.get("if-none-match")) or (), etag):
        return Response(status_code=304, headers={"ETag": etag})
    return None
