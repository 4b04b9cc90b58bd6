"""All streams of a process: they join hubs, are kept alive, looked after, and ended in time."""

import asyncio
import time
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.deps import KeyDigest
from app.core import context, db
from app.core.errors import AppError, Unavailable
from app.core.settings import get_settings
from app.feed.channel import BEHIND, CLOSING
from app.feed.commits import Commit
from app.feed.service import Feed
from app.realtime import crud, service, socket, stream
from app.realtime.hub import REFUSED, Hub, Listener
from app.realtime.service import Opening
from app.serving.service import NotServed, Serving

log = structlog.get_logger()

STREAMS, SOCKET = ("/api/v1/stream", "/ofrep/v1/events"), "/api/v1/ws"
PASSED_ON = (b"x-request-id", b"access-control-", b"vary")
"""Headers of the framework's answer that belong to the stream."""
HEARTBEAT_SECONDS = 15.0
CHECK_SECONDS = 0.7
PAGE = 100
AT_ONCE = 16
"""Keys that are asked for together."""
SLICES = 30
"""Heartbeats are sent to a thirtieth of the streams at a time."""
SELF = context.RequestContext(request_id="streams")


class Live:
    """The live routes, before the framework: it says who may open a stream, this runs them."""

    def __init__(self, app: ASGIApp, feed: Feed, serving: Serving) -> None:
        self.app = app
        self.feed = feed
        self.serving = serving
        self.hubs: dict[int, Hub] = {}
        self._all: set[Listener] = set()
        self.is_closing = False
        self._most = get_settings().max_listeners
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to look after streams."""
        self._tasks = [
            asyncio.create_task(self._keep_alive()),
            asyncio.create_task(self._look_after()),
        ]

    def end(self) -> None:
        """End all streams, for the server is about to stop."""
        self.is_closing = True
        for listener in self.listeners():
            listener.end(CLOSING)

    def close(self) -> None:
        """End everything."""
        self.end()
        for task in self._tasks:
            task.cancel()

    def listeners(self) -> list[Listener]:
        """Return all listeners, also those who are still given what they missed."""
        return [*self._all]

    @property
    def is_full(self) -> bool:
        """Say whether no more listeners fit in; from any thread."""
        return len(self._all) >= self._most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "websocket" and scope["path"] == SOCKET:
            await socket.run(self, scope, receive, send)
        elif scope["type"] == "http" and scope["path"].rstrip("/") in STREAMS:
            await self._stream(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the framework decide; if it leaves an opening, run the stream in its stead."""
        headers: list[tuple[bytes, bytes]] = []

        async def send_refusal(message: Message) -> None:
            if "opening" not in scope:
                await send(message)
            elif message["type"] == "http.response.start":
                headers.extend(one for one in message["headers"] if one[0].startswith(PASSED_ON))

        scope["live"], scope["asked_at"] = self, time.monotonic()
        await self.app(scope, receive, send_refusal)
        opening: Opening | None = scope.pop("opening", None)
        scope.pop("live", None)
        if opening is None:
            return
        listener = Listener(
            opening.access,
            opening.credential,
            opening.interest,
            transport="sse",
            write=opening.write,
            address=(scope.get("client") or (None,))[0],
        )
        self.enter(listener)
        joining = asyncio.create_task(self.join(opening, listener))
        try:
            await stream.run(receive, send, listener, headers)
        finally:
            joining.cancel()
            self.leave(listener)

    def enter(self, listener: Listener) -> None:
        """Look after a listener from now on, until `leave`."""
        self._all.add(listener)
        if self.is_closing:
            listener.end(CLOSING)

    async def join(self, opening: Opening, listener: Listener) -> None:
        """Put a listener among those of its workspace, after what it has missed."""
        try:
            await self._join(opening, listener)
        except (NotServed, AppError, SQLAlchemyError, OSError):
            listener.end(BEHIND)
        except Exception:
            log.exception("streams.join_failed")
            listener.end(BEHIND)

    async def _join(self, opening: Opening, listener: Listener) -> None:
        access = opening.access
        channel = self.feed.follow(
            access.workspace_id,
            head=access.head,
            rights=access.rights,
            epoch=access.epoch,
            asked_at=opening.asked_at,
        )
        if channel is None or not await self.feed.reach(channel, access.head, seconds=2.0):
            raise NotServed
        after = access.head if opening.since is None else opening.since
        if opening.hello is not None:
            listener.push(opening.hello(access.epoch, channel.head, after))
        while (missed := channel.since(after)) != [] and listener.ended is None:
            page = missed or await self._load(access.workspace_id, after, channel.head)
            if not page or channel.ended:
                raise NotServed
            for commit in page[:PAGE]:
                await self._give(listener, commit, access.epoch)
                after = commit.revision
            await asyncio.sleep(0)
        if channel.ended:
            raise NotServed
        if listener.ended is None:
            hub = self.hubs.get(access.workspace_id)
            if hub is None or hub.channel is not channel:
                hub = self.hubs[access.workspace_id] = Hub(channel, lambda: self.feed.epoch)
            hub.add(listener)

    async def _give(self, listener: Listener, commit: Commit, epoch: str) -> None:
        """Push what was missed no faster than the listener reads."""
        chosen = listener.interest.chosen(commit)
        if chosen:
            frame = listener.write(epoch, commit, chosen)
            if not listener.takes(len(frame)):
                await listener.drained()
            listener.push(frame)

    async def _load(self, workspace_id: int, after: int, head: int) -> Sequence[Commit]:
        return await self.serving.read(
            lambda: service.load_commits(
                workspace_id=workspace_id, after=after, head=head, limit=PAGE
            ),
            SELF,
        )

    def leave(self, listener: Listener) -> None:
        """Take a listener out."""
        self._all.discard(listener)
        hub = listener.hub
        if hub is None:
            return
        hub.remove(listener)
        if not hub.listeners:
            if self.hubs.get(hub.channel.workspace_id) is hub:
                del self.hubs[hub.channel.workspace_id]
            hub.channel.part(hub)

    async def _keep_alive(self) -> None:
        """Send a comment to every stream within each heartbeat, a slice at a time."""
        turn = 0
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS / SLICES)
            for listener in self.listeners():
                if id(listener) // 64 % SLICES == turn and listener.transport == "sse":
                    listener.push(stream.HEARTBEAT)
            turn = (turn + 1) % SLICES

    async def _look_after(self) -> None:
        """End, within a second, the streams of those who may not listen any more."""
        ended: set[Listener] = set()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for one in ended & self._all:  # its client does not even read the end
                if one.abort is not None:
                    one.abort()
            ended = {one for one in self._all if one.ended is not None}
            try:
                await self._check_people()
                await self._check_keys()
            except (SQLAlchemyError, OSError, AppError, NotServed) as error:
                log.warning("streams.unchecked", error=type(error).__name__)

    async def _check_people(self) -> None:
        people = [one for one in self.listeners() if one.access.caller.jti is not None]
        asked = {(one.access.caller.jti or "", one.access.workspace_id) for one in people}
        if not asked:
            return
        good = await self.serving.read(
            lambda: db.read(lambda session: crud.list_good_logins(session, logins=[*asked])), SELF
        )
        for one in people:
            if (one.access.caller.jti, one.access.workspace_id) not in good:
                one.end(REFUSED)

    async def _check_keys(self) -> None:
        """Ask for each key anew where rights have changed, and for those whose time is over."""
        suspects = [
            (one, one.credential.digest)
            for one in self.listeners()
            if isinstance(one.credential, KeyDigest) and one.ended is None and self._is_suspect(one)
        ]
        for place in range(0, len(suspects), AT_ONCE):
            some = suspects[place : place + AT_ONCE]
            await asyncio.gather(*(self._check_key(one, digest) for one, digest in some))

    def _is_suspect(self, listener: Listener) -> bool:
        channel = self.feed.channels.get(listener.access.workspace_id)
        changed = channel is not None and channel.rights != listener.access.rights
        return changed or time.monotonic() >= listener.until

    async def _check_key(self, listener: Listener, digest: str) -> None:
        request = context.RequestContext(request_id="streams", address=listener.address)
        name = f"stream {digest} {listener.address}".encode()
        try:
            grant = await self.serving.grant(name, listener.credential, request)
        except AppError as error:
            if isinstance(error, Unavailable):
                raise
            listener.end(REFUSED)
            return
        hub = listener.hub
        if hub is None or listener not in hub.listeners:
            listener.renew(grant.access)
        else:
            hub.remove(listener)
            listener.renew(grant.access)
            hub.add(listener)
