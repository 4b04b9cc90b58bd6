"""The one error type of the application; `handlers.py` renders it as RFC 9457."""

from typing import Any, ClassVar


class AppError(Exception):
    """An outcome that the caller is told of; subclasses set `status`, `code` and `title`."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}
        self.members = members


class NotFound(AppError):
    """There is nothing there, or the caller may not know that there is."""

    status, code, title = 404, "not_found", "Not found"


class Forbidden(AppError):
    """The caller may see it, but not do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class Unauthorized(AppError):
    """Nobody is logged in, or not any more."""

    status, code, title = 401, "unauthorized", "Unauthorized"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="configsync"'})


class Conflict(AppError):
    """The state of things does not allow it."""

    status, code, title = 409, "conflict", "Conflict"


class Invalid(AppError):
    """The input is wrong; `errors` says where."""

    status, code, title = 422, "validation_error", "Invalid input"

    def __init__(self, detail: str, *, loc: tuple[str | int, ...] = ("body",)) -> None:
        super().__init__(detail, errors=[{"loc": list(loc), "msg": detail}])


class BodyTooLarge(AppError):
    """The body is over the limit."""

    status, code, title = 413, "body_too_large", "Body too large"


class Unavailable(AppError):
    """It cannot be done now; try again after `Retry-After` seconds."""

    status, code, title = 503, "unavailable", "Unavailable"
    retry_after = 1

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": str(self.retry_after)})


class DatabaseUnavailable(Unavailable):
    """PostgreSQL does not answer."""

    code, title = "database_unavailable", "Database unavailable"
    retry_after = 2


class Busy(Unavailable):
    """Too many requests are in work."""

    code, title = "busy", "Busy"


class WriteConflict(Conflict):
    """Other changes kept getting in the way; the same request may be sent again."""

    code, title = "write_conflict", "Write conflict"

    def __init__(self) -> None:
        super().__init__(
            "Other changes to the same objects got in the way three times. Try again.",
            headers={"Retry-After": "1"},
        )


class TooManyRequests(AppError):
    """The caller must wait."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str, *, seconds: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, seconds))})
