"""Opening streams: tickets, what is wanted, and from where on."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.auth.deps import Credential, read_credential, write_credential
from app.configs.levels import Level, check_name, check_service
from app.core import db
from app.core.errors import Invalid
from app.feed import crud as feed_crud
from app.feed.commits import FLAG, SEGMENT, Commit, collect
from app.realtime import crud
from app.realtime.errors import CursorGone, InvalidTicket
from app.realtime.hub import Write
from app.realtime.interests import Interest, without_global
from app.workspaces.deps import Access
from app.workspaces.errors import OutsideScope
from app.workspaces.scopes import covered

TICKET_SECONDS = 30
TICKET_BYTES = 24
TYPES = ("configuration", "key", "environment", FLAG, SEGMENT)
"""What changes by revisions."""
MOST_NAMES = 1000


Hello = Callable[[str, int, int], bytes]
"""Writes the first frame: epoch, head, the revision where the stream begins."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream that may be opened, by whom, for what; `since`: None for from now on.

    `hello` and `write` write its frames.
    """

    access: Access
    credential: Credential | None
    interest: Interest
    since: int | None
    asked_at: float
    """The `time.monotonic()` before the access was read."""
    hello: Hello | None
    write: Write


def create_ticket(session: Session, *, access: Access, credential: Credential | None) -> str:
    """Make a ticket that opens one stream as this caller; return it."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    crud.create_ticket(
        session,
        digest=_digest(ticket),
        workspace_id=access.workspace_id,
        credential=write_credential(credential),
        seconds=TICKET_SECONDS,
    )
    return ticket


def use_ticket(session: Session, *, ticket: str) -> tuple[Credential | None, str]:
    """Use a ticket up; return its maker's credential and workspace. Raises InvalidTicket."""
    row = crud.take_ticket(session, digest=_digest(ticket))
    if row is None:
        raise InvalidTicket
    return read_credential(row.credential), row.slug


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


def read_interest(
    access: Access,
    *,
    services: Sequence[str] = (),
    environments: Sequence[str] = (),
    types: Sequence[str] = (),
) -> Interest:
    """Return what a caller wants to hear of; raise Invalid, OutsideScope."""
    for place, names, check in (
        ("services", services, check_service),
        ("environments", environments, check_name),
        ("types", types, _check_type),
    ):
        if len(names) > MOST_NAMES:
            raise Invalid(f"{place} takes {MOST_NAMES} names at most.", loc=("query", place))
        for name in names:
            try:
                check(name)
            except ValueError as error:
                raise Invalid(f"A name in {place} {error}.", loc=("query", place)) from None
    wanted = without_global(frozenset(services))
    for name, patterns, level in (
        *((one, access.scopes.services, Level.of(one, None)) for one in sorted(wanted)),
        *((one, access.scopes.environments, Level(None, one)) for one in sorted(environments)),
    ):
        if not covered(name, patterns):
            raise OutsideScope(level)
    return Interest(wanted, frozenset(environments), frozenset(types), access.scopes)


def _check_type(name: str) -> str:
    if name not in TYPES:
        raise ValueError(f"must be one of {', '.join(TYPES)}")
    return name


def read_cursor(session: Session, *, access: Access, cursor: str | None) -> int | None:
    """Return the revision after which a stream goes on; raise Invalid, CursorGone."""
    if cursor is None:
        return None
    epoch, _, number = cursor.rpartition("-")
    if not (number.isascii() and number.isdecimal() and len(number) <= len("9007199254740991")):
        raise Invalid("A cursor is <epoch>-<revision>, as the id of a frame.", loc=("since",))
    revision = int(number)
    if epoch != access.epoch:
        raise _gone(access, "it is of another epoch" if epoch else "it names no epoch")
    if revision > access.head:
        raise _gone(access, "it is in the future")
    if revision < access.head and not crud.has_events(
        session, workspace_id=access.workspace_id, revision=revision + 1
    ):
        raise _gone(access, "what was changed since then is not kept any more")
    return revision


def _gone(access: Access, reason: str) -> CursorGone:
    return CursorGone(reason, epoch=access.epoch, head=access.head)


def load_commits(*, workspace_id: int, after: int, head: int, limit: int) -> Sequence[Commit]:
    """Return the next commits after a revision."""
    ranges = {workspace_id: (after, head)}
    rows = db.read(lambda session: feed_crud.list_commits(session, ranges=ranges, limit=limit))
    return collect(rows).get(workspace_id, [])
