"""What a person reads: tables, colours, bullets in the place of secrets; or JSON for programs."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

BULLETS = "••••••••"
COLORS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def say(message: str) -> None:
    """Write a message, which is never part of the result."""
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()


def ask(question: str) -> str:
    """Return the line that is typed in answer; empty at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def write(text: str, color: str | None = None) -> None:
    """Write a line of the result; on a terminal, what would control it is shown instead."""
    shown = printable(text) if sys.stdout.isatty() else text
    sys.stdout.write((f"\x1b[{COLORS[color]}m{shown}\x1b[0m" if color else shown) + "\n")
    sys.stdout.flush()


def write_json(document: Any, *, indent: int | None = 2) -> None:
    """Write the result as one JSON document."""
    sys.stdout.write(f"{dumps(document, indent=indent)}\n")
    sys.stdout.flush()


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return JSON as people write it."""
    return json.dumps(value, indent=indent, ensure_ascii=False)


def printable(text: str) -> str:
    """Return a text in which nothing can control a terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def bare(value: Any) -> str:
    """Return a value for a shell: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else dumps(value)


def short(value: Any, width: int = 60) -> str:
    """Return a value on one line, cut where it is long."""
    text = BULLETS if is_secret(value) else dumps(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def is_secret(value: Any) -> bool:
    """Tell whether a stored value is a secret as a whole, shown or not."""
    return isinstance(value, dict) and "$secret" in value and "handle" in value


def is_colorful(*, wanted: bool) -> bool:
    """Tell whether colours are welcome: on a terminal, unless NO_COLOR or the option says no."""
    return wanted and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows under their headings; only what is printable, and in whole words on a terminal."""
    cells = [[printable(_cell(one)) for one in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in (columns, *cells):
        padded = (one.ljust(width) for one, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return "yes" if value is True else "no" if value is False else str(value)


def progress(items: Sequence[Any], what: str) -> Iterator[Any]:
    """Yield items, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # noqa: PLC0415  (drawn on terminals only)
    from rich.progress import track  # noqa: PLC0415

    yield from track(items, description=what, console=Console(stderr=True), transient=True)


def masked(value: Any, addresses: Iterable[str]) -> Any:
    """Return a config with bullets at the addresses of its secrets, however they are spelled.

    An address that leads nowhere hides everything rather than nothing.
    """
    for address in addresses:
        value, is_found = _masked(value, address)
        if not is_found:
            return BULLETS
    return value


def _masked(value: Any, address: str) -> tuple[Any, bool]:
    if not address:
        return BULLETS, True
    if not isinstance(value, Mapping):
        return value, value == BULLETS
    ways = [name for name in value if address == name or address.startswith(f"{name}.")]
    inner = {name: _masked(value[name], address[len(name) + 1 :]) for name in ways}
    masks = {name: one for name, (one, _) in inner.items()}
    return {**value, **masks}, any(is_found for _, is_found in inner.values())
