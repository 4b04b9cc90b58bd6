"""One asks, the others wait for what comes of it."""

from asyncio import Future
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.errors import AppError, Unavailable


@contextmanager
def shared(future: "Future[None]") -> Iterator[None]:
    """Have a future done at the end of the block, and fail if the database failed there.

    Then nobody who waits tries it again, one after the other. A refusal is only about who asked.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, AppError) or isinstance(error, Unavailable):
            future.set_exception(error)
            future.exception()  # there may be nobody who waits
        raise
    finally:
        if not future.done():
            future.set_result(None)
