"""What a change is: a target, an edit of what is there, and what must hold before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.configs.levels import GLOBAL, Level
from app.models import Action


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentTarget:
    """An environment of the workspace, by its present name, or by id where names change."""

    environment: str
    id: int | None = None

    @property
    def name(self) -> str:
        """Return the wire's name of what it reaches: every service."""
        return GLOBAL

    def __str__(self) -> str:
        return f"environment {self.environment}"


@dataclass(frozen=True, slots=True, order=True)
class FlagTarget:
    """A feature flag in an environment."""

    flag: str
    environment: str

    @property
    def name(self) -> str:
        """Return the wire's name of what it reaches: every service."""
        return GLOBAL

    def __str__(self) -> str:
        return f"flag {self.flag}@{self.environment}"


@dataclass(frozen=True, slots=True, order=True)
class SegmentTarget:
    """A segment of the workspace."""

    segment: str

    @property
    def name(self) -> str:
        """Return the wire's name of what it reaches: every service."""
        return GLOBAL

    @property
    def environment(self) -> None:
        """Return what it reaches: every environment."""

    def __str__(self) -> str:
        return f"segment {self.segment}"


Target = Level | EnvironmentTarget | FlagTarget | SegmentTarget


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is under the lock; `checksum` None: deleted.

    `parked` is the value of an inactive key, which its document does not have. `is_encrypted`:
    it is a secret as a whole; `has_secrets`: or parts of it are.
    """

    id: int
    name: str
    version: int
    revision: int
    checksum: str | None
    value_type: str
    description: str
    is_active: bool
    is_encrypted: bool
    has_secrets: bool
    parked: str | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @property
    def exists(self) -> bool:
        """Say whether it has a value, be it an inactive one."""
        return self.checksum is not None

    @property
    def etag(self) -> str:
        """Return the tag of the key."""
        return key_etag(self.id, self.version)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it is under the lock: version 0 before the first, checksum None if deleted."""

    id: int
    version: int
    checksum: str | None
    created_by: int | None
    protected: bool
    read: Callable[[], str] = field(repr=False)
    """Load the current content; only meaningful when it exists."""
    keys: Callable[[], Mapping[str, StoredKey]] = field(repr=False)
    """Load the keys of a config, deleted ones too."""

    @property
    def exists(self) -> bool:
        """Say whether there is content."""
        return self.checksum is not None

    @property
    def etag(self) -> str:
        """Return the tag of the stored document."""
        return document_etag(self.id, self.version)


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What an edit says of a key beside its value in the document; None: as it was.

    `parked` is the value of a key that shall be inactive. `gone`: it shall be deleted, whether
    it was active or not. `secret`: whether its whole value is one; None: a secret stays one.
    """

    value_type: str | None = None
    description: str | None = None
    parked: str | None = None
    gone: bool = False
    secret: bool | None = None
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """What the object shall be: its text (None: deleted), and how that came about.

    `always` makes a version even of equal content: going back is worth a record. `by_key`: the
    change was one of keys, and is recorded as such. `value` is the parsed content, if at hand.
    `types` and `destroyed` say of the secrets in it, by handle, what their values are, and
    `hidden_bytes` how long they are together.
    """

    content: str | None
    checksum: str | None
    action: Action
    always: bool = False
    by_key: bool = False
    value: dict[str, Any] | None = None
    wishes: Mapping[str, KeyWish] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    destroyed: frozenset[str] = frozenset()
    hidden_bytes: int = 0


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

    target: Target
    edit: Edit
    precondition: Precondition = Precondition()
    creates: bool = False


def document_etag(object_id: int, version: int) -> str:
    """Return the tag of a stored document."""
    return f'"d{object_id}-{version}"'


def key_etag(key_id: int, version: int) -> str:
    """Return the tag of a key."""
    return f'"k{key_id}-{version}"'
