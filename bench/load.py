"""A cheap load generator: one thread, epoll, keep-alive, one request at a time a connection."""

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

WARM_UP = 0.5  # seconds that do not count

Make = Callable[[int], bytes]
"""The bytes of the request with this running number."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came back. `busy` is the generator's own share of a core."""

    seconds: float
    latencies: list[float]
    statuses: dict[int, int]
    busy: float

    def __add__(self, other: "Load") -> "Load":
        both = self.statuses.keys() | other.statuses.keys()
        return Load(
            self.seconds + other.seconds,
            self.latencies + other.latencies,
            {
                status: self.statuses.get(status, 0) + other.statuses.get(status, 0)
                for status in both
            },
            (self.busy + other.busy) / 2,
        )

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    @property
    def ceiling(self) -> float:
        """Requests per second that the generator could send if servers took no time."""
        return self.per_second / self.busy if self.busy else 0.0

    def percentile(self, percent: float) -> float:
        """Return a percentile in milliseconds."""
        ordered = sorted(self.latencies)
        if not ordered:
            return float("nan")
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class _Peer:
    __slots__ = ("missing", "received", "sent", "socket", "status")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = b""
        self.missing = -1  # bytes of the body that are still to come; -1: head not complete
        self.sent = 0.0
        self.status = 0

    def send(self, request: bytes) -> None:
        self.received, self.missing = b"", -1
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> bool:
        """Read what is there; say whether the answer is complete."""
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        if self.missing >= 0:
            self.missing -= len(data)
            return self.missing <= 0
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self.received[:end].lower()
        self.status = int(head[9:12])
        at = head.find(b"content-length:")
        length = int(head[at + 15 : at + 27].split(b"\r", 1)[0]) if at >= 0 else 0
        self.missing = end + 4 + length - len(self.received)
        return self.missing <= 0


def connect(port: int, count: int) -> list[socket.socket]:
    """Open connections."""
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    for connection in sockets:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sockets


def run(sockets: Sequence[socket.socket], make: Make, *, seconds: float) -> Load:
    """Keep every connection busy for a while; the first half second is not counted."""
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    number = 0
    with selectors.EpollSelector() as selector:
        for connection in sockets:
            peer = _Peer(connection)
            selector.register(connection, selectors.EVENT_READ, peer)
            peer.send(make(number))
            number += 1
        begin = time.perf_counter() + min(WARM_UP, seconds / 2)
        end = begin + seconds
        cpu = 0.0
        waiting = len(sockets)
        while waiting:
            events = selector.select(10)
            if not events:
                raise TimeoutError("the server does not answer")
            for key, _ in events:
                peer = key.data
                if not peer.read():
                    continue
                now = time.perf_counter()
                if begin <= now < end:
                    cpu = cpu or time.process_time()
                    latencies.append(now - peer.sent)
                    statuses[peer.status] = statuses.get(peer.status, 0) + 1
                if now < end:
                    peer.send(make(number))
                    number += 1
                else:
                    waiting -= 1
        busy = (time.process_time() - cpu) / seconds if cpu else 0.0
    return Load(seconds, latencies, statuses, busy)


def close(sockets: Sequence[socket.socket]) -> None:
    """Close connections."""
    for connection in sockets:
        with suppress(OSError):
            connection.close()


def get(path: str, token: str | None = None) -> bytes:
    """Return a GET request."""
    login = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{login}\r\n".encode()


def post(path: str, token: str, body: bytes) -> bytes:
    """Return a POST request with JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
