"""Cursors: opaque to the caller, an id to us."""

from app.core.errors import Invalid
from app.core.schemas import MAX_ID


class InvalidCursor(Invalid):
    """The cursor is not one that we gave."""

    code = "invalid_cursor"


def after(cursor: str | None, *, default: int = 0) -> int:
    """Return the id after which the page begins."""
    if cursor is None:
        return default
    if not cursor.isascii() or not cursor.isdecimal() or not 0 < int(cursor) <= MAX_ID:
        raise InvalidCursor("The cursor is not one that this server gave.", loc=("query", "cursor"))
    return int(cursor)


def next_cursor(ids: list[int], *, limit: int) -> str | None:
    """Return the cursor of the next page, None when this one is not full."""
    return str(ids[-1]) if len(ids) == limit else None
