"""The FastAPI application: middleware, routers, lifespan. Wiring only."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from sqlalchemy.orm import Session
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse

from app import __version__, api
from app.auth import passwords
from app.auth.deps import ANONYMOUS, Caller
from app.background.loop import Loop
from app.background.rotations import Rotations
from app.core import cors, db, garbage, handlers, logs, metrics
from app.core.errors import AppError
from app.core.http import RequestMiddleware
from app.core.openapi import DESCRIPTION, TAGS, use_problem_schemas
from app.core.routing import new_admission
from app.core.settings import get_settings
from app.core.workpool import WorkPool
from app.feed.service import Feed
from app.idempotency.deps import Replay, replayed
from app.outbox import broker
from app.outbox.recorder import recorder
from app.realtime.live import Live
from app.secrets import reads
from app.secrets.keyring import get_keyring
from app.serving.dispatcher import Dispatcher
from app.serving.service import Serving
from app.workspaces.deps import Access

MAX_BODY_BYTES = 1024 * 1024
HEALTH_THREADS = 4


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start what works beside the requests; at the end, finish and close it."""
    settings = get_settings()
    settings.signing_keys()
    get_keyring()
    db.use_deadlines()
    broker.bound_publishing()
    passwords.warm_up()
    anyio.to_thread.current_default_thread_limiter().total_tokens = (
        settings.db_pool_size + HEALTH_THREADS
    )
    app.state.admission = new_admission()
    app.state.workpool = WorkPool(
        workers=1, queue=4, seconds=settings.diff_time_limit_ms / 1000, megabytes=512
    )
    loop = Loop()
    db.on_event_commit(loop.wake)
    loop.start()
    feed: Feed = app.state.feed
    feed.open()
    db.on_event_commit(feed.committed)
    serving: Serving = app.state.serving
    serving.open()
    live: Live | None = getattr(app.state, "live", None)
    if live is not None:
        live.open()
        end_streams_when_told_to_stop(live, serving)
    rotations = Rotations()
    rotations.start()
    garbage.settle()
    try:
        yield
    finally:
        db.forget_callbacks()
        metrics.forget_callbacks()
        if live is not None:
            live.close()
        serving.close()
        await feed.close()
        rotations.stop()
        loop.stop()
        reads.stop()
        app.state.workpool.close()
        db.dispose_engines()


def create_server() -> Dispatcher:
    """Build what the server runs: the hot and live routes, and behind them the application."""
    app = create_app()
    app.state.live = Live(app, app.state.feed, app.state.serving)
    return Dispatcher(app.state.live, app.state.serving)


def create_app() -> FastAPI:
    """Build the application of ordinary routes from the settings."""
    settings = get_settings()
    logs.configure(settings)
    app = FastAPIOffline(
        title=settings.project_name,
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        root_path=settings.root_path,
        lifespan=lifespan,
        redirect_slashes=False,
        static_url="/docs/static",
        swagger_ui_parameters={"persistAuthorization": True},
    )
    app.state.feed = Feed()
    app.state.serving = Serving(app.state.feed)
    handlers.install(app)
    app.add_exception_handler(Replay, replayed)
    api.mount(app)
    use_problem_schemas(app)
    app.add_middleware(
        RequestMiddleware,
        deadline_seconds=settings.request_deadline_ms / 1000,
        max_body_bytes=MAX_BODY_BYTES,
    )
    if options := cors.options():  # outermost: browsers may read refusals, too
        app.add_middleware(CORSMiddleware, **options)
    app.add_api_route("/", go_to_docs, include_in_schema=False)
    if note_refusal not in handlers.refused:
        handlers.refused.append(note_refusal)
    return app


def end_streams_when_told_to_stop(live: Live, serving: Serving) -> None:
    """Have streams end at the signal that ends the server, which else would wait for them."""
    if threading.current_thread() is not threading.main_thread():
        return
    event_loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def stop(number: int, frame: FrameType | None, before: object = before) -> None:
            event_loop.call_soon_threadsafe(live.end)
            event_loop.call_soon_threadsafe(serving.end_waiting)
            if callable(before):
                before(number, frame)

        signal.signal(number, stop)


async def go_to_docs(request: Request) -> RedirectResponse:
    """Send people who open the server in a browser to the documentation."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


def note_refusal(request: Request, error: AppError) -> None:
    """Tell the audit of a 401 or 403, and whom it met if that had been found out."""
    session: Session | None = getattr(request.state, "session", None)
    known = session.info if session is not None else {}
    access: Access | None = known.get("access")
    caller: Caller = access.caller if access else known.get("caller", ANONYMOUS)
    recorder.refused(
        status=error.status,
        code=error.code,
        path=request.url.path[:200],
        actor_id=caller.user_id,
        actor_name=caller.username,
        workspace_id=access.workspace_id if access else None,
    )
