"""Where a client hears that it shall ask again, and who may listen there.

Browsers open it without headers, again and again at the same address, also one from long ago:
so the address names its reader, signed, and stays the same for hours.
"""

import time
from functools import lru_cache
from urllib.parse import urlencode

import orjson

from app.auth import tokens
from app.auth.deps import Credential, read_credential, write_credential
from app.auth.errors import InvalidToken
from app.core.settings import get_settings

EVENTS = "/ofrep/v1/events"
AUDIENCE = "configsync-ofrep-events"
WINDOW_SECONDS = 12 * 3600
"""How long addresses are given out before they change; each is good until one window later."""


def address(slug: str, environment: str, credential: Credential | None) -> str:
    """Return where a caller hears of changes of flags."""
    window = int(time.time()) // WINDOW_SECONDS
    return _address(slug, environment, write_credential(credential), window)


@lru_cache(maxsize=10_000)
def _address(slug: str, environment: str, credential: str, window: int) -> str:
    ticket = tokens.seal(
        orjson.dumps([slug, environment, credential]).decode(),
        audience=AUDIENCE,
        expires_at=(window + 2) * WINDOW_SECONDS,
    )
    return f"{get_settings().root_path}{EVENTS}?{urlencode({'ticket': ticket})}"


def read_ticket(ticket: str) -> tuple[str, str, Credential | None]:
    """Return the workspace, environment and credential of a ticket; raise InvalidToken."""
    try:
        slug, environment, credential = orjson.loads(tokens.unseal(ticket, audience=AUDIENCE))
    except ValueError:
        raise InvalidToken from None
    return slug, environment, read_credential(credential)
