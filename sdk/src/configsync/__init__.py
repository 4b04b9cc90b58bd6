"""Configuration that changes while a program runs."""

import logging
from typing import TYPE_CHECKING, Any

from configsync._errors import (
    AccessDenied,
    ApiError,
    AuthenticationError,
    ConfigSyncError,
    Conflict,
    FlagsNotInstalled,
    Gone,
    Invalid,
    InvalidConfig,
    KeyMissing,
    NotFound,
    NotInitialized,
    ServerUnreachable,
    TooStale,
    TryAgain,
    WrongType,
)

if TYPE_CHECKING:
    from configsync._binding import Binding
    from configsync._client import ConfigClient
    from configsync._document import FrozenDict
    from configsync._flags import FlagDetails
    from configsync._snapshot import Snapshot
    from configsync._state import Status
    from configsync._static import StaticClient
    from configsync._sync import SyncConfigClient

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "ApiError",
    "AuthenticationError",
    "Binding",
    "ConfigClient",
    "ConfigSyncError",
    "Conflict",
    "FlagDetails",
    "FlagsNotInstalled",
    "FrozenDict",
    "Gone",
    "Invalid",
    "InvalidConfig",
    "KeyMissing",
    "NotFound",
    "NotInitialized",
    "ServerUnreachable",
    "Snapshot",
    "StaticClient",
    "Status",
    "SyncConfigClient",
    "TooStale",
    "TryAgain",
    "WrongType",
]

logging.getLogger("configsync").addHandler(logging.NullHandler())

_PLACES = {
    "Binding": "_binding",
    "ConfigClient": "_client",
    "FlagDetails": "_flags",
    "FrozenDict": "_document",
    "Snapshot": "_snapshot",
    "StaticClient": "_static",
    "Status": "_state",
    "SyncConfigClient": "_sync",
}


def __getattr__(name: str) -> Any:
    """Import what is used when it is used: asyncio and all that take a while."""
    from importlib import import_module  # noqa: PLC0415

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
