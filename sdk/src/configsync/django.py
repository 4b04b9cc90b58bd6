"""Django: one client for the process.

In settings.py, where its values are needed at once:

    CONFIG = configsync.django.connect(app_id="shop", environment="production")
    DATABASES = {"default": {"HOST": CONFIG.require("database.host"), ...}}

Or with `CONFIGSYNC = {"app_id": "shop", ...}` in settings.py, in code that runs later, such as
`AppConfig.ready`:

    configsync.django.client().get("banner")
"""

import threading
from typing import Any

from configsync._sync import SyncConfigClient

_lock = threading.Lock()
_clients: list[SyncConfigClient] = []


def connect(*, interval: float = 60, **options: Any) -> SyncConfigClient:
    """Return the client of this process, which is made and started the first time.

    The arguments are those of `SyncConfigClient`; raises what its `initialize` does.
    """
    with _lock:
        if not _clients:
            made = SyncConfigClient(**options)
            made.initialize()
            made.start_auto_refresh(interval)
            _clients.append(made)
        return _clients[0]


def client() -> SyncConfigClient:
    """Return the client of this process, made with the setting `CONFIGSYNC` if need be."""
    if _clients:
        return _clients[0]
    # Not above: settings.py may be what imports us.
    from django.conf import settings  # type: ignore[import-untyped]  # noqa: PLC0415

    return connect(**getattr(settings, "CONFIGSYNC", {}))


def disconnect() -> None:
    """Close the client of this process, for tests and orderly ends."""
    with _lock:
        while _clients:
            _clients.pop().close()
