"""What can go wrong.

ConfigSyncError
├── ApiError                 the server refused: status, code, detail, request_id
│   ├── AuthenticationError  401
│   ├── AccessDenied         403
│   ├── NotFound             404
│   ├── Conflict             409, 412: `current` is what stands there, where the server told it
│   ├── Gone                 410: a cursor that is no longer kept
│   ├── Invalid              400, 413, 422: `errors` are the places
│   └── TryAgain             429, 503: `retry_after` seconds
├── ServerUnreachable        no connection, no answer in time, a broken or foreign answer
├── NotInitialized           nothing has been loaded yet
├── FlagsNotInstalled        flags were asked for, and the extra `flags` is not there
├── TooStale                 older than `max_stale`
├── KeyMissing               a required key is not there (a KeyError too)
├── WrongType                a value is not what was asked for (a TypeError too)
└── InvalidConfig            a config does not fit the model that it is bound to
"""

from collections.abc import Mapping, Sequence
from typing import Any


class ConfigSyncError(Exception):
    """What every error of this library is."""


class ApiError(ConfigSyncError):
    """The server refused, and said why (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None) -> None:
        self.status = status
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", "") or f"the server answered {status}")
        self.request_id = str(problem.get("request_id", ""))
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors") or ()
        self.current: Any = problem.get("current")
        self.retry_after = retry_after
        super().__init__(f"{self.detail} ({status} {self.code})" if self.code else self.detail)


class AuthenticationError(ApiError):
    """401: the key or login is not known, or not any more."""


class AccessDenied(ApiError):
    """403: known, but not allowed."""


class NotFound(ApiError):
    """404: it is not there, or not to be seen."""


class Conflict(ApiError):
    """409 or 412: what stands there is not what the caller took it for."""


class Gone(ApiError):
    """410: a cursor that is of another epoch, from the future, or no longer kept."""


class Invalid(ApiError):
    """400, 413 or 422: the request cannot be taken as it is."""


class TryAgain(ApiError):
    """429 or 503: not now."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: AuthenticationError,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: Conflict,
    413: Invalid,
    422: Invalid,
    429: TryAgain,
    503: TryAgain,
}


def api_error(
    status: int, problem: Mapping[str, Any], retry_after: float | None = None
) -> ApiError:
    """Return the error for a status that is not a success."""
    return _BY_STATUS.get(status, ApiError)(status, problem, retry_after)


class ServerUnreachable(ConfigSyncError):
    """No connection, no answer in time, or one that is broken or not of a ConfigSync server."""


class NotInitialized(ConfigSyncError):
    """Nothing has been loaded yet."""


class FlagsNotInstalled(ConfigSyncError):
    """Flags were asked for, and the extra `flags` is not there."""


class TooStale(ConfigSyncError):
    """What is known is older than `max_stale`."""


class KeyMissing(ConfigSyncError, KeyError):
    """A required key is not there."""

    def __str__(self) -> str:
        """Return the message as it is; a KeyError would quote it."""
        return str(self.args[0])


class WrongType(ConfigSyncError, TypeError):
    """A value is not of the type that was asked for."""


class InvalidConfig(ConfigSyncError):
    """A config does not fit the model that it is bound to; the one before stays."""
