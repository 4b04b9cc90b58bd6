"""What a failed command says, and the exit code that it ends with."""

from enum import IntEnum

from configsync._errors import (
    AccessDenied,
    ApiError,
    AuthenticationError,
    ConfigSyncError,
    Conflict,
    NotFound,
    ServerUnreachable,
    TryAgain,
)


class Code(IntEnum):
    """The exit codes, which stay as they are."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    INTERRUPTED = 130
    UNREAD = 141


class Failure(ConfigSyncError):
    """A command cannot do what it was asked for, for a reason on this side."""

    def __init__(self, message: str, code: Code = Code.FAILED) -> None:
        self.code = code
        super().__init__(message)


_CODES: tuple[tuple[type[ConfigSyncError], Code, str], ...] = (
    (AuthenticationError, Code.NOT_ALLOWED, "Log in with: configsync login"),
    (AccessDenied, Code.NOT_ALLOWED, "See who you are with: configsync whoami"),
    (NotFound, Code.NOT_FOUND, ""),
    (Conflict, Code.CONFLICT, ""),
    (TryAgain, Code.UNREACHABLE, "Try again in a moment."),
    (ServerUnreachable, Code.UNREACHABLE, "Look closer with: configsync doctor"),
)


def code_of(error: ConfigSyncError) -> Code:
    """Return the exit code for an error."""
    if isinstance(error, Failure):
        return error.code
    return next((code for kind, code, _ in _CODES if isinstance(error, kind)), Code.FAILED)


def line_of(error: ConfigSyncError) -> str:
    """Return the one line that tells what went wrong, why, and what to do next."""
    advice = next((text for kind, _, text in _CODES if isinstance(error, kind)), "")
    said = " ".join(_sentences(error)) if isinstance(error, ApiError) else str(error)
    return " ".join(f"{said} {advice}".split())


def _sentences(error: ApiError) -> list[str]:
    """Return what the server says and the places where something is wrong, each of them once."""
    said = error.detail.strip().rstrip(".")
    places: dict[str, None] = {}
    is_told = False
    for one in list(error.errors)[:5]:
        if isinstance(one, dict):
            whole = str(one.get("msg", "")).rstrip(".")
            name = ".".join(map(str, one.get("loc", ())))
            is_told |= said in {whole, f"{name}: {whole}"}
            message = _unplaced(whole, name)
            places[message if name == "body" else f"{name}: {message}"] = None
    return [f"{one}." for one in ([] if is_told else [said]) + list(places)]


def _unplaced(message: str, place: str) -> str:
    """Return a message without the end of its place, where it begins with that."""
    start, _, rest = message.partition(": ")
    return rest if rest and f".{place}".endswith(f".{start}") else message
