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
    said = error.detail if isinstance(error, ApiError) else str(error)
    if isinstance(error, ApiError):
        said += "".join(f" {_place(one)}" for one in list(error.errors)[:5])
    return " ".join(f"{said.rstrip()} {advice}".split())


def _place(error: object) -> str:
    if not isinstance(error, dict):
        return ""
    return f"{'.'.join(map(str, error.get('loc', ())))}: {error.get('msg', '')}."
