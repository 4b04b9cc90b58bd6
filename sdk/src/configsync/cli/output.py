"""What a person reads: tables, colours, bullets in the place of secrets; or JSON for programs."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from configsync.cli.failures import Code, Failure

BULLETS = "••••••••"
COLORS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def say(message: str) -> None:
    """Write a message, which is never part of the result."""
    _tell(f"{printable(message)}\n")


def _tell(text: str) -> None:
    """Write what may get lost: where nobody can read it, a command does its work all the same."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def open_closed_streams() -> None:
    """Open what the process was started without, so that no socket takes its place.

    Reading such an input, or writing a result to such an output, is a failure.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        wrong = os.O_WRONLY if name == "stdin" else os.O_RDONLY
        place = os.open(os.devnull, os.O_WRONLY if name == "stderr" else wrong)
        if place != number:
            os.dup2(place, number, inheritable=False)
            os.close(place)
        setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  (for good)


def typed(read: Callable[[], str]) -> str:
    """Return what is read from standard input, or raise Failure."""
    try:
        return read()
    except UnicodeDecodeError as error:
        raise Failure("Standard input is not UTF-8.") from error
    except OSError as error:
        raise Failure(f"Cannot read standard input: {_why(error)}.") from error


def _put(text: str, *, flush: bool = True) -> None:
    """Write a part of the result, or raise Failure; who has stopped reading ends the command."""
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except OSError as error:
        _give_up(sys.stdout)
        if error.errno == errno.EPIPE:
            sys.exit(Code.UNREAD)
        raise Failure(f"Cannot write the result: {_why(error)}.") from error


def _why(error: OSError) -> str:
    return "it is closed" if error.errno == errno.EBADF else str(error.strerror)


def _give_up(stream: TextIO) -> None:
    """Let nothing more be said about a stream that cannot be written to."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno(), inheritable=False)
    os.close(null)


def ask(question: str) -> str:
    """Return the line that is typed in answer; empty at the end of the input."""
    _tell(question)
    return typed(sys.stdin.readline).strip()


def write(text: str, color: str | None = None) -> None:
    """Write a line of the result; on a terminal, what would control it is shown instead."""
    shown = printable(text) if sys.stdout.isatty() else text
    _put((f"\x1b[{COLORS[color]}m{shown}\x1b[0m" if color else shown) + "\n")


def write_json(document: Any, *, indent: int | None = 2) -> None:
    """Write the result as one JSON document."""
    _put(f"{dumps(document, indent=indent)}\n")


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
        _put("  ".join(padded).rstrip() + "\n", flush=False)
    _put("")


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
