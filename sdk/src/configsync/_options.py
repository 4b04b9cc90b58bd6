"""What a client is told when it is made."""

import math
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

ROOT = "/api/v1"
MOST_TEXT = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of a client, checked; see docs/client.md."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    app_id: str
    environment: str | None = None
    workspace: str | None = None
    timeout: float = 10.0
    max_stale: float | None = None
    cache_dir: Path | None = None
    cache_secrets: str | None = field(default=None, repr=False)
    fallback_file: Path | None = None
    follow_restored: bool = False
    instance_id: str | None = None
    app_version: str | None = None


def read_options(
    *,
    base_url: str | None,
    api_key: str | None,
    app_id: str | None,
    environment: str | None,
    **more: Any,
) -> Options:
    """Return the options, with those of the environment where none are given; or ValueError."""
    app_id = app_id or os.environ.get("CONFIGSYNC_APP_ID")
    url = base_url or os.environ.get("CONFIGSYNC_URL")
    if not url or not app_id:
        missing = "app_id (or CONFIGSYNC_APP_ID)" if url else "base_url (or CONFIGSYNC_URL)"
        raise ValueError(f"{missing} is needed")
    for name in ("timeout", "max_stale"):
        value = more.get(name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be more than 0 seconds")
    for name in ("cache_dir", "fallback_file"):
        if more.get(name) is not None:
            more[name] = Path(more[name])
    return Options(
        base_url=_base(url),
        api_key=_key(api_key or os.environ.get("CONFIGSYNC_API_KEY") or None),
        app_id=app_id,
        environment=environment or os.environ.get("CONFIGSYNC_ENVIRONMENT") or None,
        **more,
    )


def _key(key: str | None) -> str | None:
    """Return a key that a header can hold, or raise ValueError, which does not repeat it."""
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ValueError("api_key (or CONFIGSYNC_API_KEY) has characters that no key has")
    return key


def _base(url: str) -> str:
    """Return the address of the API, for that or the server's own; errors do not repeat it."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("base_url is an http or https address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("base_url has no user, password, query or fragment")
    path = parts.path.rstrip("/")
    path = path if path.endswith(ROOT) else path + ROOT
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def new_instance_id() -> str:
    """Return a name for this process."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"[-MOST_TEXT:]
