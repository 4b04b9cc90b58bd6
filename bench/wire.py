"""A connection for single requests, written out, with as little around them as can be."""

import socket
from dataclasses import dataclass
from typing import Self

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Got:
    """An answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header, "" if it is not there."""
        return next((value for key, value in self.headers if key.lower() == name), "")


class Answers:
    """Puts one answer with a Content-Length together from what arrives."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Got | None:
        """Take what has arrived; return the answer if that was all of it."""
        if not data:
            raise ConnectionError("the server closed the connection")
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)]
        got = Got(int(first.split()[1]), headers, body)
        if len(body) < int(got.header("content-length") or 0):
            return None
        self._data = b""
        return got


class Wire:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = Answers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> Got | None:
        """Take what has arrived; return the answer if that was all of it."""
        return self._answers.feed(self.socket.recv(262144))

    def exchange(self, request: bytes, expected: int = 200) -> Got:
        """Send a request and wait for its answer."""
        self.send(request)
        while (got := self.receive()) is None:
            pass
        if got.status != expected:
            raise RuntimeError(f"{request[:80]!r}: {got.status} {got.body[:300]!r}")
        return got


def post(path: str, headers: Headers, body: bytes) -> bytes:
    """Return a POST request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode() + body


def get(path: str, headers: Headers) -> bytes:
    """Return a GET request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode()
