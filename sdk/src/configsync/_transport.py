"""Calls to the server: bounded in time and size, no redirects, and errors that say what is wrong.

Importing this imports httpx, which takes a while: clients do it when they are made.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import sniffio  # noqa: F401  (httpx imports it at every call: if that is a search, forks inherit its lock)

from configsync._errors import ServerUnreachable, api_error
from configsync._options import Options
from configsync._sse import Event, Parser

MOST_BODY = 64 * 1024 * 1024
HELLO_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""A server says something every 15 s; a stream that is silent for longer is dead."""
CHUNK = 64 * 1024
REVISION = "x-configsync-revision"
_WITHOUT_BODY = frozenset({httpx.codes.NO_CONTENT, httpx.codes.NOT_MODIFIED})


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a server's history: nothing that is older is taken for newer."""

    epoch: str
    head: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.head}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer to a fetch. `secrets` None: the server is too old to tell which values are."""

    configs: dict[str, Any]
    secrets: tuple[str, ...] | None
    version: str
    revision: int
    cursor: Cursor | None
    stale: float


@dataclass(frozen=True, slots=True)
class FetchedFlags:
    """An answer to a fetch of flags. `document` None: they are still those of the tag."""

    document: dict[str, Any] | None
    tag: str | None
    revision: int | None
    cursor: Cursor | None
    stale: float


def new_trust(options: Options) -> ssl.SSLContext:
    """Return the certificates that are trusted, once: reading them takes a while."""
    if options.base_url.startswith("https:"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is not used


def read_cursor(text: str) -> Cursor | None:
    """Read `<epoch>-<n>`; None if it is something else."""
    epoch, dash, number = text.rpartition("-")
    return Cursor(epoch, int(number)) if dash and epoch and number.isdecimal() else None


class NoStreamError(ServerUnreachable):
    """The server answers, but no events come through."""


class Transport:
    """The connections of one event loop."""

    def __init__(self, options: Options, trust: ssl.SSLContext) -> None:
        self._options = options
        self._sockets: list[Any] = []
        self._client = httpx.AsyncClient(
            headers=_headers(options),
            timeout=httpx.Timeout(options.timeout),
            follow_redirects=False,
            verify=trust,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def abandon(self) -> None:
        """Let go of the sockets in a forked child, without a word on them: they are the parent's.

        Another file takes their place, so that whatever still has their numbers does no harm.
        """
        null = os.open(os.devnull, os.O_RDWR)
        for one in self._sockets:
            with suppress(OSError):
                if (number := one.fileno()) >= 0:
                    os.dup2(null, number, inheritable=False)
        os.close(null)

    async def fetch(
        self, *, least: Cursor | None = None, version: str | None = None, wait: float = 0.0
    ) -> Fetched:
        """Read the config, not older than `least`; with `wait`, as soon as it is another one."""
        body: dict[str, Any] = {"app_id": self._options.app_id}
        if self._options.environment is not None:
            body["environment"] = self._options.environment
        if version is not None:
            body |= {"version": version, "wait": wait}
        query = {"min_revision": str(least)} if least else {}
        answer, data = await self._call("/configs/fetch", query, json=body, extra=wait)
        return _fetched(answer, data)

    async def fetch_flags(
        self, *, least: Cursor | None = None, tag: str | None = None
    ) -> FetchedFlags:
        """Read the flags, not older than `least`; with a tag only if they are others."""
        query = {"environment": str(self._options.environment)}
        if least:
            query["min_revision"] = str(least)
        headers = {"If-None-Match": tag} if tag else {}
        answer, data = await self._call(
            "/feature-flags/snapshot", query, method="GET", headers=headers
        )
        return _fetched_flags(answer, data)

    async def report(self, body: Mapping[str, Any]) -> None:
        """Tell the server what became of a config."""
        await self._call("/instances/report", {}, json=body)

    async def report_usage(self, counts: list[Any], unknown: list[Any]) -> None:
        """Tell the server which flags were evaluated here."""
        body = {"environment": self._options.environment, "counts": counts, "unknown": unknown}
        await self._call("/feature-flags/usage", {}, json=body)

    async def events(self, since: Cursor | None, types: str) -> AsyncGenerator[Event, None]:
        """Yield the events of a stream until it ends; raise when it is silent for too long."""
        query = {"services": self._options.app_id}
        if types:
            query["types"] = types
        if self._options.environment is not None:
            query["environments"] = self._options.environment
        if since is not None:
            query["since"] = str(since)
        async with _translated(), AsyncExitStack() as stack:
            async with asyncio.timeout(self._options.timeout):
                answer = await stack.enter_async_context(self._answer("GET", "/stream", query))
            async with aclosing(self._listen(answer)) as events:
                async for event in events:
                    yield event

    async def _listen(self, answer: httpx.Response) -> AsyncGenerator[Event, None]:
        """Yield the events of an answer; NoStreamError until the first one is through."""
        parser, patience = Parser(), HELLO_SECONDS
        kind: type[ServerUnreachable] = NoStreamError
        async with _translated(kind), asyncio.timeout(patience):
            if not answer.is_success:
                _refuse(answer, await _read(answer))
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise ServerUnreachable("the answer is no stream of a ConfigSync server")
        pieces = answer.aiter_bytes()
        while True:
            async with _translated(kind), asyncio.timeout(patience):
                events = await _next(pieces, parser)
            if events is None:
                return
            for event in events:
                if event.name != "comment":
                    patience, kind = SILENCE_SECONDS, ServerUnreachable
                yield event

    async def _call(
        self,
        path: str,
        query: dict[str, str],
        *,
        method: str = "POST",
        extra: float = 0.0,
        **more: Any,
    ) -> tuple[httpx.Response, Any]:
        """Return the answer and its JSON if it has some, all of it within the time there is."""
        deadline = self._options.timeout + extra
        async with _translated(), asyncio.timeout(deadline):
            async with self._answer(method, path, query, timeout=deadline, **more) as answer:
                data = await _read(answer)
            if answer.status_code in _WITHOUT_BODY:
                return answer, None
            if not answer.is_success:
                _refuse(answer, data)
            return answer, _parsed(answer, data)

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, query: dict[str, str], **more: Any
    ) -> AsyncIterator[httpx.Response]:
        if self._options.workspace is not None:
            query["workspace"] = self._options.workspace
        more.setdefault("timeout", httpx.Timeout(self._options.timeout, read=None))
        async with self._client.stream(
            method,
            self._options.base_url + path,
            params=query,
            extensions={"trace": self._trace},
            **more,
        ) as answer:
            yield answer

    async def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Note every socket that is opened, for `abandon`."""
        if name == "connection.connect_tcp.complete":
            own = info["return_value"].get_extra_info("socket")
            self._sockets = [one for one in self._sockets if one.fileno() >= 0]
            self._sockets += [] if own is None else [own]


def _headers(options: Options) -> dict[str, str]:
    from configsync import __version__  # noqa: PLC0415  (it imports us)

    headers = {"User-Agent": f"configsync-python/{__version__}"}
    if options.api_key:
        headers["Authorization"] = f"Bearer {options.api_key}"
    return headers


@asynccontextmanager
async def _translated(kind: type[ServerUnreachable] = ServerUnreachable) -> AsyncIterator[None]:
    """Turn what goes wrong on the way into ServerUnreachable, or a kind of it."""
    try:
        yield
    except TimeoutError:
        raise kind("the server does not answer in time") from None
    except ServerUnreachable as error:
        raise (error if isinstance(error, kind) else kind(str(error))) from None
    except httpx.HTTPError as error:
        text = str(error) or type(error).__name__
        raise kind(f"the server cannot be reached: {text}") from error
    except (OSError, httpx.InvalidURL) as error:  # httpx lets a few through
        raise kind(f"the server cannot be reached: {error}") from error


async def _next(pieces: AsyncIterator[bytes], parser: Parser) -> list[Event] | None:
    """Return the events of the next piece that completes some, None at the end."""
    async for piece in pieces:
        if events := [*parser.feed(piece)]:
            return events
    return None


async def _read(answer: httpx.Response) -> bytes:
    data = bytearray()
    async for piece in answer.aiter_bytes(CHUNK):
        data += piece
        if len(data) > MOST_BODY:
            raise ServerUnreachable(f"the answer is larger than {MOST_BODY} bytes")
    return bytes(data)


def _refuse(answer: httpx.Response, data: bytes) -> None:
    """Raise the error for an answer that is no success."""
    if answer.is_redirect:
        raise ServerUnreachable(
            f"the server answers {answer.status_code}, a redirect, which is not followed: "
            "base_url must be the server's own address"
        )
    retry = answer.headers.get("retry-after", "")
    after = float(retry) if retry.isascii() and retry.isdecimal() else None
    problem: Any = None
    with suppress(ValueError):
        problem = json.loads(data)
    if isinstance(problem, dict) and ("code" in problem or "detail" in problem):
        raise api_error(answer.status_code, problem, after)
    if answer.status_code in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}:
        raise api_error(answer.status_code, {}, after)  # a proxy's; it may say when to come again
    raise ServerUnreachable(
        f"the server answers {answer.status_code}, not as a ConfigSync server would"
    )


def _parsed(answer: httpx.Response, data: bytes) -> Any:
    try:
        if "json" in answer.headers.get("content-type", ""):
            return json.loads(data)
    except (ValueError, RecursionError):
        pass
    raise ServerUnreachable("the answer is not that of a ConfigSync server")


def _stale(answer: httpx.Response) -> float:
    text = answer.headers.get("x-configsync-stale", "0")
    return float(text) if text.isdecimal() else 0.0


def _fetched_flags(answer: httpx.Response, data: Any) -> FetchedFlags:
    if data is not None and not isinstance(data, dict):
        raise ServerUnreachable("the answer is not that of a ConfigSync server")
    revision = None if data is None else data.get("revision")
    return FetchedFlags(
        document=data,
        tag=answer.headers.get("etag"),
        revision=revision if isinstance(revision, int) else None,
        cursor=read_cursor(answer.headers.get(REVISION, "")),
        stale=_stale(answer),
    )


def _fetched(answer: httpx.Response, data: Any) -> Fetched:
    try:
        secrets = data.get("secrets")
        fetched = Fetched(
            configs=data["configs"],
            secrets=None if secrets is None else tuple(map(str, secrets)),
            version=str(data["version"]),
            revision=int(data["revision"]),
            cursor=read_cursor(answer.headers.get(REVISION, "")),
            stale=_stale(answer),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServerUnreachable("the answer is not that of a ConfigSync server") from None
    if not isinstance(fetched.configs, dict):
        raise ServerUnreachable("the answer is not that of a ConfigSync server")
    return fetched
