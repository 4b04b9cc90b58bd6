"""The stream that tells a client to ask again: where it is, who may open it, what it says.

Browsers open it without headers, again and again at the same address, also one from long ago:
so the address names its reader, signed, and stays the same for hours.
"""

import random
import time
from functools import lru_cache
from urllib.parse import urlencode

import orjson

from app.auth import tokens
from app.auth.deps import Credential
from app.auth.errors import InvalidToken
from app.core.settings import get_settings
from app.feed.commits import FLAG, SEGMENT, Commit
from app.realtime.service import read_credential, write_credential
from app.realtime.stream import RETRY_MS

EVENTS = "/ofrep/v1/events"
TYPES = (FLAG, SEGMENT, "environment")
AUDIENCE = "configsync-ofrep-events"
WINDOW_SECONDS = 12 * 3600
"""How long addresses are given out before they change; each is good until one window later."""
FULL_RETRY_MS = 30_000


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


class Greeting:
    """Writes the first frame: whoever has not seen the newest revision is told to ask again."""

    __slots__ = ("known",)

    def __init__(self, known: str | None) -> None:
        self.known = known

    def __call__(self, epoch: str, head: int, _since: int) -> bytes:
        """Return the frame."""
        retry = random.randint(*RETRY_MS)  # noqa: S311  (spreads load)
        if self.known == f"{epoch}-{head}":
            return b"retry: %d\nid: %b\n\n" % (retry, self.known.encode())
        return b"retry: %d\n" % retry + refetch(epoch, head)


def write(epoch: str | None, commit: Commit, _chosen: tuple[int, ...]) -> bytes:
    """Return the frame of a commit."""
    return refetch(epoch or "", commit.revision)


def refetch(epoch: str, revision: int) -> bytes:
    """Return the frame that has a client ask again; its tag comes back in the query."""
    cursor = f"{epoch}-{revision}"
    data = orjson.dumps({"type": "refetchEvaluation", "etag": cursor})
    return b"id: %b\nevent: message\ndata: %b\n\n" % (cursor.encode(), data)


def full() -> bytes:
    """Return what somebody is told for whom there is no place: to come again much later."""
    return b"retry: %d\n\n" % FULL_RETRY_MS
