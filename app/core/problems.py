"""RFC 9457 problem documents: the form of every error (list of codes: docs/errors.md)."""

from typing import Any

import orjson
from starlette.responses import Response

from app.core import context
from app.core.errors import AppError


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return the answer for an error."""
    document = {
        "type": f"urn:configsync:error:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"urn:configsync:request:{context.current().request_id}",
        "code": code,
        "request_id": context.current().request_id,
        **members,
    }
    return Response(
        orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


def problem_of(error: AppError) -> Response:
    """Return the answer for an AppError."""
    return problem(
        error.status,
        error.code,
        error.title,
        error.detail,
        headers=error.headers,
        **error.members,
    )
