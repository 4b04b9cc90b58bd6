"""What becomes of an exception: AppErrors, FastAPI's own, the database's, and all others."""

from collections.abc import Callable
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.core import db
from app.core.errors import AppError, WriteConflict
from app.core.problems import problem, problem_of

log = structlog.get_logger()

STATUS_CODES = {
    404: ("not_found", "There is no such route. /docs lists them all."),
    405: ("method_not_allowed", "The route exists, but not with this method."),
    413: ("body_too_large", "The body is larger than 1 MiB."),
}

constraints: dict[str, Callable[[], AppError]] = {}
"""Names of database constraints and what breaking them means; filled by the features."""

refused: list[Callable[[Request, AppError], None]] = []
"""Called with every 401 and 403; filled by the audit."""


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(AppError, app_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(SQLAlchemyError, database_error)


async def app_error(request: Request, error: Exception) -> Response:
    """Render an AppError and tell the audit of refusals."""
    assert isinstance(error, AppError)
    if error.status in {401, 403}:
        for listener in refused:
            listener(request, error)
    return problem_of(error)


async def validation_error(_request: Request, error: Exception) -> Response:
    """Say where the input is wrong, never what it was."""
    assert isinstance(error, RequestValidationError)
    errors = [{"loc": list(one["loc"]), "msg": one["msg"]} for one in error.errors()]
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])
    return problem(
        422, "validation_error", "Invalid input", f"{place}: {first['msg']}", errors=errors
    )


async def http_error(_request: Request, error: Exception) -> Response:
    """Render what Starlette and FastAPI raise themselves."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    code, detail = STATUS_CODES.get(
        error.status_code, (title.lower().replace(" ", "_"), str(error.detail))
    )
    headers = dict(error.headers or {})
    return problem(error.status_code, code, title, detail, headers=headers)


async def database_error(_request: Request, error: Exception) -> Response:
    """Translate a database error, or let it become a 500."""
    if isinstance(error, DBAPIError):
        if db.is_retryable(error):
            return problem_of(WriteConflict())
        name = db.constraint(error)
        if name in constraints:
            return problem_of(constraints[name]())
    assert isinstance(error, SQLAlchemyError)
    if known := db.unavailable(error):
        log.warning("database.unavailable", error=type(error).__name__, code=known.code)
        return problem_of(known)
    raise error
