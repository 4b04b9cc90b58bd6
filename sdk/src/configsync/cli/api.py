"""Calls to the server, by the standard library: importing httpx takes longer than a whole call."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from configsync import __version__
from configsync._errors import ServerUnreachable, api_error
from configsync.cli.failures import Code, Failure

PREFIX = "/api/v1"
CONNECT_S = 10.0
ANSWER_S = 60.0
IDLE_S = 1.0
"""A connection that was idle for longer may be closed by the server at any moment."""
QUIET_S = 30.0
"""A stream sends a comment every 15 seconds; one that is quiet for longer is dead."""
REDIRECTS = range(300, 400)
LARGE = 1024 * 1024
"""Bytes; a connection that breaks while more are sent is one of a server that takes fewer."""

Query = Mapping[str, object]


class NotUnderstood(Failure):
    """An answer is JSON, but does not say what it should."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The answer is not understood ({what}). See: configsync doctor", Code.UNREACHABLE
        )


class Known(dict[str, Any]):
    """An object of an answer; to ask for a member that it has not is the server's fault."""

    def __missing__(self, name: str) -> Any:
        """Raise NotUnderstood."""
        raise NotUnderstood(f"it has no {name}")


def understood(text: str | bytes) -> Any:
    """Return the JSON of an answer, or raise ValueError."""
    try:
        return json.loads(text, object_hook=Known)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def expect(document: Any, **kinds: type | tuple[type, ...]) -> None:
    """Raise NotUnderstood unless it is an object with members of these types."""
    if not isinstance(document, Known):
        raise NotUnderstood("it is no object")
    for name, kind in kinds.items():
        if not isinstance(document[name], kind):
            raise NotUnderstood(f"its {name} is of another type")


@dataclass(frozen=True)
class Answer:
    """A successful answer: what it says, and its headers by name in lower case."""

    status: int
    body: Any
    headers: Mapping[str, str]


def path_of(*parts: str) -> str:
    """Return a path of percent-encoded parts."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def server_of(url: str) -> str:
    """Return the address of a server, with or without `/api/v1` at its end, or raise ValueError."""
    if bare(url) != url:
        raise ValueError("it must not hold a user name or password")
    try:
        parts = urlsplit(url.strip())
        is_one = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("must be like http://localhost:8000 or https://config.example.com")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(PREFIX)}"


def bare(url: str) -> str:
    """Return an address without what may be a user name and a password in it."""
    return re.sub(r"^([^/@]*//)?.*@", r"\1", url, flags=re.DOTALL)


class Api:
    """A server, and who calls it; at most one connection, which is kept between calls."""

    def __init__(self, url: str, *, token: str | None = None, workspace: str | None = None) -> None:
        parts = urlsplit(url)
        self.url = url
        self._https = parts.scheme == "https"
        self._host, self._port, self._root = parts.hostname or "", parts.port, parts.path
        if token and not (token.isascii() and token.isprintable()):
            what = "The credential is not one: it has characters that none has."
            raise Failure(what, Code.NOT_ALLOWED)
        self._token, self._workspace = token, workspace
        self._connection: http.client.HTTPConnection | None = None
        self._sock: socket.socket | None = None  # also when an answer alone holds it
        self._used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def get(self, path: str, query: Query | None = None, *, scoped: bool = True) -> Answer:
        """Read; `scoped` calls name the workspace."""
        return self.call("GET", path, query=query, scoped=scoped)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        scoped: bool = True,
    ) -> Answer:
        """Return what the server answers, or raise ApiError or ServerUnreachable."""
        sent = {"Accept": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        with self._broken_after(ANSWER_S), self._too_large(data):
            response = self._request(method, self._target(path, query, scoped), data, sent)
            content = response.read()
        self._used = time.monotonic()
        if response.status >= http.HTTPStatus.BAD_REQUEST:  # what was sent may not all be read
            self.close()
        return self._judged(response, content)

    def pages(
        self, path: str, member: str, query: Query | None = None, *, scoped: bool = True
    ) -> Iterator[dict[str, Any]]:
        """Yield what all pages of a list have."""
        asked = {"limit": 500, **(query or {})}
        while True:
            page = self.get(path, asked, scoped=scoped).body
            expect(page, **{member: list})
            yield from page[member]
            if not page.get("next_cursor"):
                return
            asked["cursor"] = page["next_cursor"]

    @contextmanager
    def stream(self, query: Query, cursor: str | None) -> Iterator[Iterator[bytes]]:
        """Give the lines of the server's stream of changes."""
        self.close()
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
        with self._broken_after(ANSWER_S):
            target = self._target(f"{PREFIX}/stream", query, scoped=True)
            response = self._request("GET", target, None, headers)
            if response.status != http.HTTPStatus.OK:
                self._judged(response, response.read())
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise self._foreign("no stream of changes")
        assert self._sock is not None
        self._sock.settimeout(QUIET_S)
        with closing(self), closing(response), self._translated():
            yield iter(response.readline, b"")

    def _target(self, path: str, query: Query | None, scoped: bool) -> str:
        given = {name: _word(value) for name, value in (query or {}).items() if value is not None}
        if scoped and self._workspace:
            given["workspace"] = self._workspace
        return f"{self._root}{path}" + (f"?{urlencode(given)}" if given else "")

    def _request(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        connection = self._connected()
        known = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        agent = {"User-Agent": f"configsync/{__version__}"}
        with _sent_as_far_as_taken():
            connection.request(method, target, data, {**agent, **known, **headers})
        return connection.getresponse()

    def _connected(self) -> http.client.HTTPConnection:
        if time.monotonic() - self._used > IDLE_S:
            self.close()
        if self._connection is None or self._connection.sock is None:
            kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=CONNECT_S)
            self._connection.connect()
            self._sock = self._connection.sock
            self._sock.settimeout(ANSWER_S)
        return self._connection

    def _judged(self, response: http.client.HTTPResponse, content: bytes) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status in REDIRECTS:
            place = bare(headers.get("location", "elsewhere"))
            raise ServerUnreachable(
                f"{self.url} sends its callers on to {place}: use that address."
            )
        kind = headers.get("content-type", "").partition(";")[0]
        if content and kind not in {"application/json", "application/problem+json"}:
            raise self._foreign(f"status {response.status}, {kind or 'nothing known'}")
        try:
            body = understood(content) if content else None
        except ValueError as error:
            raise self._foreign("broken JSON") from error
        if response.status == http.HTTPStatus.NOT_FOUND and _is_no_route(body):
            raise ServerUnreachable(f"{self.url} is not the address of a ConfigSync server.")
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise api_error(response.status, body if isinstance(body, dict) else {}, _wait(headers))
        if content:
            expect(body)
        return Answer(response.status, body, headers)

    def _foreign(self, what: str) -> ServerUnreachable:
        return ServerUnreachable(f"{self.url} does not answer like a ConfigSync server ({what}).")

    @contextmanager
    def _broken_after(self, seconds: float) -> Iterator[None]:
        """End what is under way after a time, however slowly it comes."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._shut()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            with self._translated(late):
                yield
        finally:
            timer.cancel()

    @contextmanager
    def _too_large(self, data: bytes | None) -> Iterator[None]:
        """Take a connection that breaks for a refusal where much is sent."""
        try:
            yield
        except (BrokenPipeError, ConnectionResetError) as error:
            size = len(data or b"") / LARGE
            if size <= 1:
                raise
            self.close()
            raise Failure(f"This is larger than the server takes: {size:.1f} MiB.") from error

    def _shut(self) -> None:
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _translated(self, late: threading.Event | None = None) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.close()
            slow = isinstance(error, TimeoutError) or (late is not None and late.is_set())
            why = "no answer in time" if slow else _reason(error)
            raise ServerUnreachable(f"Cannot reach {self.url}: {why}.") from error


@contextmanager
def _sent_as_far_as_taken() -> Iterator[None]:
    """Let a server refuse what it has not read to its end; its answer may be there already."""
    with suppress(BrokenPipeError, ConnectionResetError):
        yield


def _is_no_route(problem: Any) -> bool:
    return isinstance(problem, dict) and problem.get("code") == "not_found"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wait(headers: Mapping[str, str]) -> float | None:
    given = headers.get("retry-after", "")
    return float(given) if given.isdecimal() else None


def _reason(error: Exception) -> str:
    if type(error).__name__ == "SSLCertVerificationError":
        told = getattr(error, "verify_message", "") or "it is not trusted"
        return f"its certificate does not fit ({told}; SSL_CERT_FILE names others to trust)"
    if getattr(error, "reason", "") in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return "the server does not speak TLS there; is it http://?"
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, http.client.HTTPException):
        return "the answer broke off or is not HTTP"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
