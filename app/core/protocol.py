"""HTTP on a socket: uvicorn's, but the head of an answer can wait for its body."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HOLD = "configsync.hold"
"""An extension of ASGI: called before an answer is sent whole, its head waits for its body."""


class Joining:
    """A transport that can join two writes, which else are two system calls and wake twice."""

    __slots__ = ("_head", "_is_held", "is_closing", "plain")

    def __init__(self, plain: asyncio.Transport) -> None:
        self.plain = plain
        self.is_closing = plain.is_closing
        self._is_held = False
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def hold(self) -> None:
        """Keep what is written next until something follows it."""
        self._is_held = True

    def write(self, data: bytes) -> None:
        """Write, or keep a head."""
        if self._is_held:
            self._is_held = False
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self.plain.writelines((head, data))
        else:
            self.plain.write(data)

    def close(self) -> None:
        """Write what was kept, and close."""
        if self._head:
            self.write(b"")
        self.plain.close()


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 on one connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        joining = Joining(transport)
        self.transport = joining  # type: ignore[assignment]
        self._extensions = {HOLD: joining.hold}

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over as it was."""
        assert isinstance(self.transport, Joining)
        self.transport = self.transport.plain
        super().handle_websocket_upgrade()
