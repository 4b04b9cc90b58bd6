"""Server-sent events, read piece by piece, of which no server can make us hold too much."""

from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = 64 * 1024
"""Of an event; the rest of a longer one is dropped, its name and id come first."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. A comment, which shows that the server is alive, has the name `comment`."""

    name: str
    id: str = ""
    data: str = ""
    retry: float | None = None


class Parser:
    """Turn pieces of a stream into events."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}
        self._size = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Take a piece; yield what it completes."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        lines = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()[:MOST_BYTES]
        for line in lines:
            if line.startswith(b":"):
                yield Event("comment")
            elif line:
                self._take(line)
            elif self._fields:
                yield self._finish()

    def _take(self, line: bytes) -> None:
        name, _, value = line.decode(errors="replace").partition(":")
        self._size += len(line)
        if self._size <= MOST_BYTES:
            self._fields[name] = self._joined(name, value.removeprefix(" "))

    def _joined(self, name: str, value: str) -> str:
        before = self._fields.get(name) if name == "data" else None
        return value if before is None else f"{before}\n{value}"

    def _finish(self) -> Event:
        fields, self._fields, self._size = self._fields, {}, 0
        retry = fields.get("retry", "")
        return Event(
            fields.get("event", "message"),
            fields.get("id", ""),
            fields.get("data", ""),
            int(retry) / 1000 if retry.isascii() and retry.isdecimal() else None,
        )
