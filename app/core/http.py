"""The pure ASGI middleware around everything: ids, deadlines, paths, the last resort."""

import time
from urllib.parse import unquote_to_bytes

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import context, db, metrics
from app.core.errors import BodyTooLarge
from app.core.problems import problem, problem_of

log = structlog.get_logger()

CLOSE = {"Connection": "close"}
SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


class RequestMiddleware:
    """Give every request an id, a deadline and an answer."""

    def __init__(self, app: ASGIApp, *, deadline_seconds: float, max_body_bytes: int) -> None:
        self.app = app
        self.deadline_seconds = deadline_seconds
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = context.new_request_id(headers.get("x-request-id"))
        client = scope.get("client")
        context.bind(
            context.RequestContext(
                request_id=request_id,
                address=client[0] if client else None,
                user_agent=(headers.get("user-agent") or "")[:256] or None,
            )
        )
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began = time.monotonic()
        db.deadline.set(began + self.deadline_seconds)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                decorate(message, request_id)
            await send(message)

        try:
            if reason := unreadable(scope):
                response = problem(422, "invalid_encoding", "Invalid input", reason)
                await response(scope, receive, send_with_id)
                return
            strip_final_slash(scope)
            refuse_large(headers.get("content-length"), self.max_body_bytes)
            await self.app(scope, counted(receive, self.max_body_bytes), send_with_id)
        except BodyTooLarge as error:
            await problem_of(error)(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request.failed", error=type(error).__name__)
            if status:
                raise
            response = problem(
                500,
                "internal_error",
                "Internal error",
                "Something went wrong here. The request id finds it in the server's log.",
            )
            await response(scope, receive, send_with_id)
        finally:
            if status:
                metrics.hot(scope["method"], template(scope), status).add(time.monotonic() - began)


def template(scope: Scope) -> str:
    """Return the template of the path, `other` where there is none; never the path itself."""
    route = scope.get("route")
    return metrics.OTHER_ROUTE if route is None else route.path_format


def refuse_large(content_length: str | None, limit: int) -> None:
    """Refuse a body that announces itself as too large."""
    if content_length and content_length.isdecimal() and int(content_length) > limit:
        raise BodyTooLarge(f"The body is larger than {limit} bytes.", headers=CLOSE)


def counted(receive: Receive, limit: int) -> Receive:
    """Refuse a body when it grows past the limit, before anything parses it."""
    size = 0

    async def receive_counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise BodyTooLarge(f"The body is larger than {limit} bytes.", headers=CLOSE)
        return message

    return receive_counted


def decorate(message: Message, request_id: str) -> None:
    """Add the headers that every answer carries."""
    headers = MutableHeaders(scope=message)
    headers["X-Request-ID"] = request_id
    for name, value in SECURITY_HEADERS:
        headers.setdefault(name, value)


def strip_final_slash(scope: Scope) -> None:
    """Treat a path with and without its final slash as the same path; `%2F` is no such slash."""
    path: str = scope["path"]
    if len(path) > 1 and (scope.get("raw_path") or path.encode()).endswith(b"/"):
        scope["path"] = path[:-1]


def is_json(content_type: str) -> bool:
    """Say whether a Content-Type is JSON, by itself or as the syntax of something else."""
    kind = content_type.partition(";")[0].strip().lower()
    own = kind.startswith("application/") and kind.endswith("+json")
    return kind == "application/json" or own


def unreadable(scope: Scope) -> str | None:
    """Say what is wrong with the bytes of the path or query, if anything."""
    for part, raw in (("path", scope.get("raw_path") or b""), ("query", scope["query_string"])):
        if b"%" not in raw and raw.isascii():
            continue
        try:
            decoded = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            return f"The {part} is not valid UTF-8."
        if "\x00" in decoded:
            return f"The {part} contains NUL."
    return None
