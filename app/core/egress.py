"""The one gate for calls to addresses that users name: webhooks and rotators."""

import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import httpcore
import httpx

from app.core.errors import Invalid
from app.core.settings import get_settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Options = Iterable[httpcore.SOCKET_OPTION]

TIMEOUT = 10.0
"""Seconds for one call: name, connection, TLS, request and answer together."""
LOOK_UP = 5.0
LONGEST_ANSWER = 64 * 1024

METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack and most others
        "169.254.170.2",  # AWS: credentials of ECS tasks
        "169.254.170.23",  # AWS: credentials of EKS pods
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's wire server, publicly numbered
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS: credentials of EKS pods
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)
"""What tells a machine its own credentials: never called, whatever EGRESS_ALLOW says."""

NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = IPv6Network("2000::/3")
# What `is_global` of this or that release of Python takes for public.
SPECIAL = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # protocol assignments, Teredo
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)

# httpx writes whole URLs at INFO, httpcore whole headers at DEBUG; both may hold tokens.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class EgressRefused(Invalid):
    """The address is one that this server calls for nobody."""

    code, title = "egress_refused", "Address refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered; `body` is cut off after 64 KiB and never decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the receiver accepted the call."""
        return 200 <= self.status < 300  # noqa: PLR2004


def allowed(address: Address) -> bool:
    """Say whether an address is public or in EGRESS_ALLOW, and gives away no credentials."""
    if METADATA.intersection((address, *_embedded(address))):
        return False
    reached = _reached(address)
    return _is_public(reached) or any(
        form in network
        for network in _networks(get_settings().egress_allow)
        for form in (address, reached)
    )


def resolve(host: str, port: int, *, seconds: float = LOOK_UP) -> str:
    """Return an address to connect to; raise EgressRefused unless every one is allowed.

    Raises OSError if the name is not known and TimeoutError (an OSError) if that takes too long.
    Connect to the address, not to the name: the next look-up may have another answer.
    """
    found = [ip_address(text) for text in _look_up(host, port, seconds)]
    _require(host, found)
    return str(found[0])


def check_url(url: str) -> None:
    """Refuse what can be refused before any look-up: raise EgressRefused."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise EgressRefused("This is not a URL.") from None
    _require_http(parsed)
    check_host(parsed.host, parsed.port or 443)


def check_host(host: str, port: int) -> None:
    """Refuse an address given in digits, however written; let names pass until they are called."""
    try:
        found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError, OverflowError):
        return
    _require(host, [ip_address(text) for text in _texts(found)])


def client(*, timeout: float = TIMEOUT) -> httpx.Client:
    """Return a client that connects to checked addresses only, once for each request.

    `timeout` bounds a request as a whole. Nothing is redirected, kept alive or taken from the
    environment, except the certificates that SSL_CERT_FILE names.
    """
    return httpx.Client(
        transport=_Transport(timeout),
        timeout=timeout,
        trust_env=False,
        follow_redirects=False,
        headers={
            "User-Agent": "ConfigSync",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
    )


def post_json(
    url: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float = TIMEOUT
) -> Answer:
    """POST JSON to an address that a user named; raise EgressRefused or httpx.HTTPError."""
    check_url(url)
    sent = {**(headers or {}), "Content-Type": "application/json"}
    with (
        client(timeout=timeout) as http,
        http.stream("POST", url, content=body, headers=sent) as response,
    ):
        return Answer(response.status_code, response.headers, _read(response))


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    for part in response.iter_raw():  # as sent: a small compressed answer may be a large one
        body += part
        if len(body) >= LONGEST_ANSWER:
            break
    return bytes(body[:LONGEST_ANSWER])


def _require(host: str, found: list[Address]) -> None:
    if not found or not all(allowed(address) for address in found):
        raise EgressRefused(
            f"{host} has an address that is not public, and EGRESS_ALLOW does not name it."
        )


def _require_http(url: httpx.URL) -> None:
    if url.scheme not in {"http", "https"} or not url.host:
        raise EgressRefused("Only http:// and https:// addresses with a host are called.")


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    special = any(address in network for network in SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _reached(address: Address) -> Address:
    """Return the IPv4 address that a packet to an IPv6 one of these kinds arrives at."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return _lowest(address)
    return address.ipv4_mapped or address


def _embedded(address: Address) -> tuple[Address, ...]:
    """Return every IPv4 address that some gateway might take out of an IPv6 one."""
    if isinstance(address, IPv4Address):
        return ()
    teredo = address.teredo or ()
    sixtofour = (address.sixtofour,) if address.sixtofour else ()
    # Mapped, compatible, translated, NAT64 of any prefix: all at the end, as some metadata is.
    return (_lowest(address), *sixtofour, *teredo)


def _lowest(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


@lru_cache(maxsize=4)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)


def _texts(found: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return the addresses in an answer of getaddrinfo, without their zones."""
    return [str(sockaddr[0]).partition("%")[0] for *_, sockaddr in found]


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """Ask the system for the addresses of a name, but do not wait for ever."""
    answer: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(_texts(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            answer.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(found, list):
        return found
    if isinstance(found, ValueError | OverflowError):  # what no name can be: a..b, port 99999
        raise OSError("not the name of a host")
    raise found


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=True)


class _Transport(httpx.HTTPTransport):
    """Send HTTP and HTTPS through the gate."""

    def __init__(self, seconds: float) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_keepalive_connections=0,  # so that a connection's time is a request's
            network_backend=_Gate(seconds),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        _require_http(request.url)
        return super().handle_request(request)


class _Gate(httpcore.NetworkBackend):
    """Connect to checked addresses; names stay names for the Host header and for TLS."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._system = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  ours counts from here to the end
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check and connect."""
        until = time.monotonic() + self._seconds
        try:
            address = resolve(host, port, seconds=min(self._seconds, LOOK_UP))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from None
        except OSError:
            raise httpcore.ConnectError("the name is not known") from None
        left = _left(until, httpcore.ConnectTimeout)
        stream = self._system.connect_tcp(address, port, left, local_address, socket_options)
        return _BoundedStream(stream, until)


class _BoundedStream(httpcore.NetworkStream):
    """Give up at a point in time, however slowly the other side drips."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Read some bytes."""
        return self._stream.read(max_bytes, _left(self._until, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Write all bytes."""
        self._stream.write(buffer, _left(self._until, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Verify the other side and go on encrypted."""
        left = _left(self._until, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _BoundedStream(stream, self._until)

    def get_extra_info(self, info: str) -> object:
        """Tell about the connection."""
        return self._stream.get_extra_info(info)


def _left(until: float, error: type[httpcore.TimeoutException]) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise error("the call took too long")
    return left
