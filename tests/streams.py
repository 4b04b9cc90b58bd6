"""Who listens, for tests: server-sent events read from a socket, frame by frame."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

STREAM = "/api/v1/stream"
COMMENT = "comment"


@dataclass(frozen=True)
class Frame:
    """One frame; a comment has that as its event, and its text as data."""

    event: str
    id: str | None
    data: Any
    retry: int | None
    text: str

    @property
    def revision(self) -> int:
        """Return the revision of its cursor."""
        assert self.id is not None
        return int(self.id.rpartition("-")[2])


def parse(text: str) -> Frame:
    """Return a frame from its lines."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        found[name] = value.removeprefix(" ")
    if "" in found:
        return Frame(COMMENT, None, found[""], None, text)
    retry = int(found["retry"]) if "retry" in found else None
    data = json.loads(found["data"]) if "data" in found else None
    return Frame(found.get("event", "message"), found.get("id"), data, retry, text)


class Lost(Exception):
    """The connection ended without the end of the answer, or nothing came in time."""


class Stream:
    """One open stream over a socket of its own."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        since: str | None = None,
        headers: dict[str, str] | None = None,
        seconds: float = 20.0,
        body: bytes = b"",
        buffer: int | None = None,
        path: str = STREAM,
        **query: str,
    ) -> None:
        place = urlsplit(url)
        assert place.hostname
        assert place.port
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(seconds)
        shown = {"Host": place.netloc, "Accept": "text/event-stream", **(headers or {})}
        if token:
            shown["Authorization"] = f"Bearer {token}"
        if since is not None:
            shown["Last-Event-ID"] = since
        if body:
            shown["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
        asked = "&".join(part for part in (place.query, urlencode(query)) if part)
        path = "?".join(filter(None, (path, asked)))
        try:
            self.socket.connect((place.hostname, place.port))
            self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.socket.close()
            raise
        self.ended = False
        self.cursor: str | None = since
        self._raw = b""
        self._body = b""
        self._text = ""

    def open(self) -> "Stream":
        """Read the head of the answer, which must be a stream's."""
        self.read_head()
        assert self.status == 200, (self.status, self._raw)
        return self

    def read_head(self) -> None:
        """Read status and headers."""
        while b"\r\n\r\n" not in self._raw:
            self._receive()
        head, self._raw = self._raw.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
        }

    def problem(self) -> dict[str, Any]:
        """Return the problem document of an answer that is no stream."""
        self.read_head()
        assert self.headers["content-type"] == "application/problem+json"
        while len(self._raw) < int(self.headers["content-length"]):
            self._receive()
        found: dict[str, Any] = json.loads(self._raw)
        assert found["status"] == self.status
        self.close()
        return found

    def _receive(self) -> None:
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            raise Lost(type(error).__name__) from None
        if not data:
            raise Lost("closed")
        self._raw += data

    def _chunk(self) -> bytes:
        while b"\r\n" not in self._raw:
            self._receive()
        size, rest = self._raw.split(b"\r\n", 1)
        length = int(size, 16)
        self._raw = rest
        while len(self._raw) < length + 2:
            self._receive()
        data, self._raw = self._raw[:length], self._raw[length + 2 :]
        return data

    def frame(self, seconds: float | None = None, *, comments: bool = False) -> Frame | None:
        """Return the next frame; None at the end of the answer. Raises Lost."""
        if seconds is not None:
            self.socket.settimeout(seconds)
        while True:
            while b"\n\n" not in self._body:
                data = self._chunk()
                if not data:
                    self.ended = True
                    return None
                self._body += data
            text, self._body = self._body.split(b"\n\n", 1)
            found = parse(text.decode())
            self.cursor = found.id or self.cursor
            if comments or found.event != COMMENT:
                return found

    def hello(self) -> Frame:
        """Read the head and the first frame."""
        found = self.open().frame()
        assert found is not None
        assert found.event == "hello"
        return found

    def change(self, seconds: float = 20.0) -> Any:
        """Return the data of the next frame, which must be a change."""
        found = self.frame(seconds)
        assert found is not None, "the stream ended"
        assert found.event == "change", found
        assert found.data["revision"] == found.revision
        return found.data

    def end(self, seconds: float = 20.0) -> Frame:
        """Return the last frame and see the answer end behind it."""
        found = self.frame(seconds)
        assert found is not None
        assert found.event == "end", found
        assert self.frame(seconds) is None
        return found

    def silent(self, seconds: float = 0.3) -> bool:
        """Say whether no frame comes for a while."""
        began = time.monotonic()
        try:
            self.frame(seconds)
        except Lost:
            return time.monotonic() - began >= seconds * 0.9
        return False

    def frames(self) -> Iterator[Frame]:
        """Yield the frames to the end of the answer."""
        while (found := self.frame()) is not None:
            yield found

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
