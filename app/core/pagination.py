"""Cursors: opaque to the caller, an id or a name to us."""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence

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


def after_name(cursor: str | None) -> str:
    """Return the name after which the page begins."""
    try:
        name = b64decode(cursor or "", altchars=b"-_", validate=True).decode()
    except ValueError:
        name = "\0"
    if "\0" in name:
        raise InvalidCursor("The cursor is not one that this server gave.", loc=("query", "cursor"))
    return name


def after_place(cursor: str | None) -> tuple[str, int] | None:
    """Return the (name, id) after which the page begins, None for the first page."""
    if cursor is None:
        return None
    name, _, number = after_name(cursor).rpartition("\n")
    if not number.isascii() or not number.isdecimal() or int(number) > MAX_ID:
        raise InvalidCursor("The cursor is not one that this server gave.", loc=("query", "cursor"))
    return name, int(number)


def after_names(cursor: str | None, *, count: int) -> tuple[str, ...] | None:
    """Return the names, so many of them, after which the page begins; None for the first page."""
    if cursor is None:
        return None
    names = tuple(after_name(cursor).split("\n"))
    if len(names) != count:
        raise InvalidCursor("The cursor is not one that this server gave.", loc=("query", "cursor"))
    return names


def next_place_cursor(places: list[tuple[str, int]], *, limit: int) -> str | None:
    """Return the cursor of the next page, None when this one is not full."""
    return next_names_cursor([(name, str(number)) for name, number in places], limit=limit)


def next_names_cursor(places: Sequence[tuple[str, ...]], *, limit: int) -> str | None:
    """Return the cursor of the next page, None when this one is not full."""
    return next_name_cursor(["\n".join(names) for names in places], limit=limit)


def next_name_cursor(names: list[str], *, limit: int) -> str | None:
    """Return the cursor of the next page, None when this one is not full."""
    return urlsafe_b64encode(names[-1].encode()).decode() if len(names) == limit else None
