"""What a change is: a level, an edit of what is there, and what must hold before."""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.configs.levels import Level
from app.formats import json
from app.models import Action


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it is under the lock: version 0 before the first, checksum None if deleted."""

    id: int
    version: int
    checksum: str | None
    created_by: int | None
    read: Callable[[], str] = field(repr=False)
    """Load the current content; only meaningful when it exists."""

    @property
    def exists(self) -> bool:
        """Say whether there is content."""
        return self.checksum is not None

    @property
    def etag(self) -> str:
        """Return the tag of the stored document."""
        return document_etag(self.id, self.version)


@dataclass(frozen=True, slots=True)
class Edited:
    """What the object shall be: its text (None: deleted), and how that came about.

    `always` makes a version even of equal content: going back is worth a record.
    """

    content: str | None
    checksum: str | None
    action: Action
    always: bool = False


Edit = Callable[[Stored], Edited]


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold of the stored object: If-Match, If-None-Match: *, expected_version."""

    etags: tuple[str, ...] | None = None
    must_not_exist: bool = False
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One wish. `creates`: whether the object may come into being by it."""

    level: Level
    edit: Edit
    precondition: Precondition = Precondition()
    creates: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change; `changed` is False when the content was the same already.

    `content` is then None: it is not read without need.
    """

    level: Level
    id: int
    version: int
    content: str | None
    created_by: int | None
    changed: bool


def document_etag(object_id: int, version: int) -> str:
    """Return the tag of a stored document."""
    return f'"d{object_id}-{version}"'


def replace(value: object) -> Edit:
    """Return the edit that stores a JSON value as it was written; creates, revives or updates."""
    text, checksum = json.dumps(value), json.checksum(value)

    def edit(stored: Stored) -> Edited:
        action = Action.UPDATE if stored.exists else Action.CREATE
        return Edited(text, checksum, action)

    return edit
