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
from app.core.errors import AppError, Invalid
from app.core.settings import get_settings
from app.feed.commits import Commit
from app.realtime import service
from app.realtime.hub import REFUSED, Listener
from app.realtime.service import Opening
from app.serving.service import NotServed
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

if TYPE_CHECKING:
    from app.realtime.live import Live

UNAUTHORIZED, TRY_AGAIN, TOO_BIG = 4401, 1013, 1009
AUTH_SECONDS = 10.0
MOST_SUBSCRIPTIONS = 100
MOST_BYTES = 64 * 1024


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
        self.subscriptions: dict[str, tuple[Listener, asyncio.Task[None]]] = {}
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Answer what the client says until it goes."""
        async with asyncio.timeout(AUTH_SECONDS) as patience:
            while True:
                text = await self.socket.receive_text()
                if len(text) > MOST_BYTES:
                    await self.socket.close(TOO_BIG)
                    return
                await self._answer(text)
                if self.access is not None:
                    patience.reschedule(None)

    async def _answer(self, text: str) -> None:
        said: dict[str, Any] = {}
        try:
            found = orjson.loads(text)
            if not isinstance(found, dict):
                raise Invalid("Send JSON objects with a member op.")
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

    async def log_in(self, credential: Credential | None, slug: str | None) -> None:
        """Prove who this is; raises what `open_access` raises."""
        if slug is not None and not isinstance(slug, str):
            raise Invalid("workspace is a slug.", loc=("workspace",))
        access, _ = await self.live.serving.access(credential, slug, self.request)
        access.require(Permission.READ)
        self.access, self.credential = access, credential

    async def _subscribe(self, said: dict[str, Any]) -> None:
        if self.access is None:
            await self.log_in(None, None)
        access = self.access
        assert access is not None
        name = str(said.get("id"))
        if name in self.subscriptions:
            raise Invalid("There is a subscription with this id.", loc=("id",))
        if len(self.subscriptions) >= MOST_SUBSCRIPTIONS or self.live.is_full:
            raise Invalid(f"{MOST_SUBSCRIPTIONS} subscriptions at most.", loc=("id",))
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
        opening = Opening(access, self.credential, interest, cursor, asked_at)
        listener = Listener(
            access,
            self.credential,
            interest,
            transport="websocket",
            write=Subscription(said.get("id")),
            address=self.address,
        )
        listener.abort = self.abort
        after = access.head if cursor is None else cursor
        await self.send({"op": "ok", "id": said.get("id"), "cursor": f"{access.epoch}-{after}"})
        self.subscriptions[name] = (listener, asyncio.create_task(self._pass_on(opening, listener)))

    async def _pass_on(self, opening: Opening, listener: Listener) -> None:
        """Send the frames of one subscription until it ends, and with it the connection."""
        joining = asyncio.create_task(self.live.join(opening, listener, hello=False))
        sent = metrics.frames_sent["websocket"]
        try:
            while listener.ended is None:
                await listener.wait()
                frames = [*listener.frames]
                listener.take()
                for frame in frames:
                    sent.count += 1
                    async with self._sending:
                        await self.socket.send_text(frame[:-1].decode())
            await joining
        finally:
            self.live.leave(listener)
            code = UNAUTHORIZED if listener.ended == REFUSED else TRY_AGAIN
            if listener.ended is not None:
                with suppress(RuntimeError, WebSocketDisconnect, OSError):
                    await self.socket.close(code, listener.ended)

    def _leave(self, name: str) -> None:
        found = self.subscriptions.pop(name, None)
        if found is not None:
            found[1].cancel()

    def abort(self) -> None:
        """Drop a connection whose client does not read."""
        transport = getattr(getattr(self.socket, "_send", None), "__self__", None)
        inner = getattr(transport, "transport", None)
        if inner is not None:
            inner.abort()

    async def send(self, members: dict[str, Any]) -> None:
        """Send one message."""
        async with self._sending:
            await self.socket.send_text(orjson.dumps(members).decode())

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
        tasks = [task for _, task in self.subscriptions.values()]
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
    except AppError:
        code = UNAUTHORIZED
    except TimeoutError:
        code = UNAUTHORIZED
    except WebSocketDisconnect as gone:
        code = gone.code if gone.code in {UNAUTHORIZED, TRY_AGAIN} else 1000
    except (NotServed, SQLAlchemyError, OSError, KeyError):
        code = TRY_AGAIN
    finally:
        await connection.close()
        if socket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect, OSError):
                await socket.close(code)
