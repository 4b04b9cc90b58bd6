"""`/api/v1/ws`: the same changes over a WebSocket, many subscriptions on one connection."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.auth.deps import Credential, credential_of
from app.core import context, db, metrics
from app.core.errors import AppError, Invalid, Unavailable
from app.core.settings import get_settings
from app.feed.commits import Commit
from app.realtime import service
from app.realtime.errors import TooManyListeners
from app.realtime.hub import GONE, REFUSED, Listener
from app.realtime.interests import Interest
from app.realtime.service import Opening
from app.serving.service import NotServed
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

if TYPE_CHECKING:
    from app.realtime.live import Live

UNAUTHORIZED, TRY_AGAIN, TOO_BIG, NO_TEXT = 4401, 1013, 1009, 1003
AUTH_SECONDS = 10.0
MOST_SUBSCRIPTIONS = 100
MOST_CHARACTERS = 64 * 1024
MOST_OF_ID = 100
UNSUBSCRIBED = "unsubscribed"


class Subscription:
    """Writes the frames of one subscription."""

    __slots__ = ("id",)

    def __init__(self, subscription_id: Any) -> None:
        self.id = subscription_id

    def __call__(self, epoch: str | None, commit: Commit, chosen: tuple[int, ...]) -> bytes:
        """Return the frame of a commit."""
        head = orjson.dumps({"op": "change", "id": self.id, "cursor": f"{epoch}-{commit.revision}"})
        return head[:-1] + b"," + commit.text(chosen)[1:] + b"\n"


class Connection:
    """One WebSocket: who it is, and what it subscribed to."""

    def __init__(self, live: Live, socket: WebSocket) -> None:
        self.live = live
        self.socket = socket
        self.address = socket.client.host if socket.client else None
        self.request = context.RequestContext(
            request_id=context.new_request_id(socket.headers.get("x-request-id")),
            address=self.address,
        )
        self.access: Access | None = None
        self.credential: Credential | None = None
        self.subscriptions: dict[str, asyncio.Task[None]] = {}
        self._guard: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Answer what the client says until it goes."""
        async with asyncio.timeout(AUTH_SECONDS) as patience:
            while self.is_open:
                if self.access is not None:
                    patience.reschedule(None)
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                if text is None:
                    raise WebSocketDisconnect(NO_TEXT)
                if len(text) > MOST_CHARACTERS:
                    raise WebSocketDisconnect(TOO_BIG)
                await self._answer(text)

    @property
    def is_open(self) -> bool:
        """Say whether neither side has closed."""
        states = (self.socket.application_state, self.socket.client_state)
        return states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED)

    async def _answer(self, text: str) -> None:
        said: dict[str, Any] = {}
        try:
            found = orjson.loads(text)
            if not isinstance(found, dict):
                raise Invalid("Send JSON objects with a member op.")
            if not isinstance(found.get("id"), str | int | None):
                raise Invalid("id is a text or a number.", loc=("id",))
            if len(str(found.get("id"))) > MOST_OF_ID:
                raise Invalid(f"id has {MOST_OF_ID} characters at most.", loc=("id",))
            said = found
            await self._do(said)
        except orjson.JSONDecodeError:
            await self._refuse(said, Invalid("This is not JSON."))
        except AppError as error:
            await self._refuse(said, error)
            if error.status == 401:  # noqa: PLR2004
                raise WebSocketDisconnect(UNAUTHORIZED) from None
        except (NotServed, SQLAlchemyError, OSError):
            raise WebSocketDisconnect(TRY_AGAIN) from None

    async def _do(self, said: dict[str, Any]) -> None:
        op = said.get("op")
        if op == "ping":
            await self.send({"op": "pong"})
        elif op == "auth":
            token = said.get("token")
            if not isinstance(token, str):
                raise Invalid("auth needs a token.", loc=("token",))
            slug = said.get("workspace")
            await self.log_in(credential_of(f"Bearer {token}", ""), slug)
            await self.send({"op": "ok", "id": said.get("id")})
        elif op == "subscribe":
            await self._subscribe(said)
        elif op == "unsubscribe":
            self._leave(str(said.get("id")))
            await self.send({"op": "ok", "id": said.get("id")})
        else:
            raise Invalid("op is auth, subscribe, unsubscribe or ping.", loc=("op",))

    async def log_in(self, credential: Credential | None, slug: Any) -> None:
        """Prove who this is; raises what `open_access` raises."""
        if slug is not None and (not isinstance(slug, str) or "\0" in slug):
            raise Invalid("workspace is a slug.", loc=("workspace",))
        if self.live.is_full:
            raise TooManyListeners("This process has as many listeners as it may.")
        access, _ = await self.live.serving.access(credential, slug, self.request)
        access.require(Permission.READ)
        self.access, self.credential = access, credential
        if self._guard is not None:
            self._guard.cancel()
        guard = self._listener(access, service.read_interest(access), None)
        self._guard = asyncio.create_task(self._guard_connection(guard))

    def _listener(self, access: Access, interest: Interest, subscription_id: Any) -> Listener:
        listener = Listener(
            access,
            self.credential,
            interest,
            transport="websocket",
            write=Subscription(subscription_id),
            address=self.address,
        )
        listener.abort = self.abort
        return listener

    async def _guard_connection(self, guard: Listener) -> None:
        """Close the connection when its caller may not listen any more, subscribed or not."""
        self.live.enter(guard)
        try:
            await guard.wait()
        finally:
            self.live.leave(guard)
        await self._close_for(guard)

    async def _close_for(self, listener: Listener) -> None:
        code = UNAUTHORIZED if listener.ended == REFUSED else TRY_AGAIN
        if self.is_open:
            with suppress(RuntimeError, WebSocketDisconnect, OSError):
                await self.socket.close(code, listener.ended)

    async def _subscribe(self, said: dict[str, Any]) -> None:
        if self.access is None:
            await self.log_in(None, None)
        access = self.access
        assert access is not None
        name = str(said.get("id"))
        if name in self.subscriptions:
            raise Invalid("There is a subscription with this id.", loc=("id",))
        if len(self.subscriptions) >= MOST_SUBSCRIPTIONS:
            raise Invalid(f"{MOST_SUBSCRIPTIONS} subscriptions at most.", loc=("id",))
        if self.live.is_full:
            raise TooManyListeners("This process has as many listeners as it may.")
        names = {key: _strings(said, key) for key in ("services", "environments", "types")}
        interest = service.read_interest(access, **names)
        since = said.get("since")
        if since is not None and not isinstance(since, str):
            raise Invalid("since is a cursor.", loc=("since",))
        asked_at = time.monotonic()
        access, _ = await self.live.serving.access(self.credential, access.slug, self.request)
        cursor = await self.live.serving.read(
            lambda: db.read(
                lambda session: service.read_cursor(session, access=access, cursor=since)
            ),
            self.request,
        )
        opening = Opening(
            access,
            self.credential,
            interest,
            cursor,
            asked_at,
            hello=None,
            write=Subscription(said.get("id")),
        )
        listener = self._listener(access, interest, said.get("id"))
        after = access.head if cursor is None else cursor
        await self.send({"op": "ok", "id": said.get("id"), "cursor": f"{access.epoch}-{after}"})
        self.subscriptions[name] = asyncio.create_task(self._pass_on(opening, listener))

    async def _pass_on(self, opening: Opening, listener: Listener) -> None:
        """Send the frames of one subscription until it ends, and with it the connection."""
        self.live.enter(listener)
        joining = asyncio.create_task(self.live.join(opening, listener))
        sent = metrics.frames_sent["websocket"]
        try:
            while listener.ended is None:
                await listener.wait()
                frames = [*listener.frames]
                listener.take()
                for frame in frames:
                    sent.count += 1
                    async with self._sending:
                        await self._send_text(frame[:-1].decode())
        except WebSocketDisconnect:
            listener.end(GONE)
        finally:
            listener.end(UNSUBSCRIBED)
            joining.cancel()
            self.live.leave(listener)
        await self._close_for(listener)

    def _leave(self, name: str) -> None:
        found = self.subscriptions.pop(name, None)
        if found is not None:
            found.cancel()

    def abort(self) -> None:
        """Drop a connection whose client does not read."""
        transport = getattr(getattr(self.socket, "_send", None), "__self__", None)
        inner = getattr(transport, "transport", None)
        if inner is not None:
            inner.abort()

    async def send(self, members: dict[str, Any]) -> None:
        """Send one message."""
        async with self._sending:
            await self._send_text(orjson.dumps(members).decode())

    async def _send_text(self, text: str) -> None:
        if not self.is_open:
            raise WebSocketDisconnect
        await self.socket.send_text(text)

    async def _refuse(self, said: dict[str, Any], error: AppError) -> None:
        await self.send(
            {
                "op": "error",
                "id": said.get("id"),
                "status": error.status,
                "code": error.code,
                "detail": error.detail,
                **error.members,
            }
        )

    async def close(self) -> None:
        """End all subscriptions."""
        tasks = [*self.subscriptions.values(), *([self._guard] if self._guard else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task


def _strings(said: dict[str, Any], name: str) -> list[str]:
    found = said.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Invalid(f"{name} is a list of names.", loc=(name,))
    return found


def is_foreign(headers: Headers) -> bool:
    """Say whether a page of another site opens the socket: its Origin is neither ours nor known."""
    origin = headers.get("origin")
    if origin is None or origin in get_settings().cors_origins:
        return False
    return not secrets.compare_digest(
        urlsplit(origin).netloc.lower().encode(), headers.get("host", "").lower().encode()
    )


async def run(live: Live, scope: Scope, receive: Receive, send: Send) -> None:
    """Handle one WebSocket."""
    socket = WebSocket(scope, receive, send)
    if is_foreign(socket.headers) or live.is_closing:
        await socket.close(1008)
        return
    connection = Connection(live, socket)
    code = 1000
    try:
        header = socket.headers.get("authorization", "")
        shown = socket.headers.get("x-api-key", "")
        await socket.accept()
        if header or shown:
            await connection.log_in(credential_of(header, shown), None)
        await connection.serve()
    except AppError as error:
        code = TRY_AGAIN if isinstance(error, Unavailable) else UNAUTHORIZED
    except TimeoutError:
        code = UNAUTHORIZED
    except WebSocketDisconnect as gone:
        code = gone.code
    except (NotServed, SQLAlchemyError, OSError):
        code = TRY_AGAIN
    finally:
        await connection.close()
        if connection.is_open:
            with suppress(RuntimeError, WebSocketDisconnect, OSError):
                await socket.close(code)
