"""The route class of every feature: strict input, one transaction, safe repetition."""

from asyncio import Semaphore, timeout
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from app.core import db
from app.core.errors import AppError, Busy, Invalid
from app.core.http import is_json
from app.core.settings import get_settings
from app.formats import json

TRIES = 3


class TextConvertor(Convertor[str]):
    """`{name:text}` in a path: like `path`, and with line breaks, which validation then refuses."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Return the text as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text as it is."""
        return value


register_url_convertor("text", TextConvertor())

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class NotJson(AppError):
    """The body is something else than JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class InvalidJson(Invalid):
    """The body is not acceptable JSON."""

    code = "invalid_json"


class UnknownParameter(Invalid):
    """A query parameter that the route does not have, most likely misspelt."""

    code = "unknown_parameter"


class Admission:
    """As many requests in work as there are connections, so that none waits holding one."""

    def __init__(self, places: int, seconds: float) -> None:
        self.places = Semaphore(places)
        self.seconds = seconds

    async def __aenter__(self) -> None:
        if not self.places.locked():
            await self.places.acquire()
            return
        try:
            async with timeout(self.seconds):
                await self.places.acquire()
        except TimeoutError:
            raise Busy("The server has all its hands full. Try again in a moment.") from None

    async def __aexit__(self, *_: object) -> None:
        self.places.release()

    @asynccontextmanager
    async def stepped_aside(self) -> AsyncIterator[None]:
        """Give the place to others while this request only waits."""
        self.places.release()
        try:
            yield
        finally:
            await self.places.acquire()


async def get_session(request: Request) -> AsyncIterator[Session]:
    """Yield the one session of a request. `Route` commits it, before the answer leaves."""
    session = db.open_session()
    request.state.session = session
    try:
        yield session
    finally:
        if session.in_transaction():
            await run_in_threadpool(session.close)
        else:
            session.close()


SessionDep = Annotated[Session, Depends(get_session, scope="function")]


class StrictRoute(APIRoute):
    """A route that refuses query parameters that it does not know."""

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        return strict(super().get_route_handler(), self.dependant)


class Route(APIRoute):
    """A strict route in one transaction, which is repeated when it lost a race."""

    is_strict: ClassVar[bool] = True

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, committing(endpoint), **options)

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()
        wants_json = self.body_field is not None and not isinstance(
            self.body_field.field_info, Form
        )

        async def handler(request: Request) -> Response:
            await request.body()
            if wants_json:
                await read_json(request)
            async with request.app.state.admission:
                return await run_transaction(handle, request)

        return strict(handler, self.dependant) if self.is_strict else handler


class ForeignRoute(Route):
    """The same for protocols of others, whose clients may send parameters of their own."""

    is_strict = False


def strict(handle: Handler, dependant: Dependant) -> Handler:
    """Check the query's parameters before anything else."""
    allowed = query_names(dependant)

    async def handler(request: Request) -> Response:
        check_query(request, allowed)
        return await handle(request)

    return handler


def committing(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Let an endpoint that returns a Response commit in its own thread.

    Between its last statement and the commit it holds locks; a switch of threads there
    would hold up everybody else in the workspace.
    """
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    def call(**values: Any) -> Any:
        result = endpoint(**values)
        session = values.get("session")
        if isinstance(result, Response) and session is not None:
            conclude(session, result)
        return result

    return call


def conclude(session: Session, response: Response) -> None:
    """Finish a request's transaction: name the revision, remember the answer, commit."""
    access = session.info.get("access")
    if access is not None:
        revision = session.info.get("revision", access.head)
        response.headers["X-ConfigSync-Revision"] = f"{access.epoch}-{revision}"
    if remember := session.info.pop("remember", None):
        remember(response)
    db.finish(session)
    session.info["concluded"] = True


async def run_transaction(handle: Handler, request: Request) -> Response:
    """Run the handler with its own exit stack, again if its transaction lost a race."""
    for left in reversed(range(TRIES)):
        try:
            async with AsyncExitStack() as stack:
                # FastAPI closes function-scoped dependencies through this entry; ours ends
                # within the try, with the transaction of this attempt.
                request.scope["fastapi_function_astack"] = stack
                response = await handle(request)
                session: Session | None = getattr(request.state, "session", None)
                if session is not None and "concluded" not in session.info:
                    await run_in_threadpool(conclude, session, response)
            return response  # noqa: TRY300  (after the commit)
        except DBAPIError as error:
            if not db.is_retryable(error) or not left:
                raise
    raise AssertionError("unreachable")


def query_names(dependant: Dependant) -> frozenset[str]:
    """Return the query parameters that a route and its dependencies declare."""
    names = {field.alias for field in dependant.query_params}
    return frozenset(names.union(*(query_names(sub) for sub in dependant.dependencies)))


def check_query(request: Request, allowed: frozenset[str]) -> None:
    """Refuse query parameters that the route does not know, or twice the same."""
    seen: set[str] = set()
    for name, _value in request.query_params.multi_items():
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise UnknownParameter(
                f"Unknown query parameter. This route takes: {known}.", loc=("query",)
            )
        if name in seen:
            raise Invalid(f"The query parameter {name} is given twice.", loc=("query", name))
        seen.add(name)


async def read_json(request: Request) -> None:
    """Parse the body strictly, where FastAPI will find it."""
    body = await request.body()
    if not body:
        return
    if not is_json(request.headers.get("content-type", "")):
        raise NotJson("The body must be JSON: send Content-Type: application/json.")
    try:
        request._json = json.loads(body)  # noqa: SLF001  (Starlette's cache for Request.json)
    except json.JsonError as error:
        raise InvalidJson(
            f"The body is {error}."
            if str(error).startswith("not")
            else f"The body is refused: {error}."
        ) from None


def new_admission() -> Admission:
    """Return the admission for one application."""
    settings = get_settings()
    return Admission(settings.db_pool_size, settings.db_pool_timeout_ms / 1000)
