"""What a service gets, rendered once for all who ask, until something that reaches it changes."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.configs.levels import Level
from app.core import waiting
from app.core.answers import JSON
from app.effective.service import Effective, Part
from app.feature_flags.rulesets import Ruleset
from app.secrets.service import shows_secrets
from app.workspaces.deps import Access

OVERHEAD_BYTES = 2000
"""About what the objects around the bytes of a snapshot or document take."""
COMPILED = 12
"""About how many times the text of a definition it takes, parsed and compiled."""


CONTENT_TYPE = (b"content-type", JSON.encode())
ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a rollout puts in the place of a value, for contexts that its compiled rule chooses."""

    path: tuple[str, ...]
    rule: Callable[[Mapping[str, Any]], bool]
    value: Any


@dataclass(frozen=True, slots=True)
class Document:
    """The document of one level as it is stored, or (content None) deleted."""

    part: Part
    created_by: int | None
    updated_at: datetime
    updated_by: str

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.part.content or "") + OVERHEAD_BYTES


class Answer:
    """The body of an answer with its tag, if it has one, and the headers that never differ."""

    __slots__ = ("body", "etag", "headers", "status")

    def __init__(self, body: bytes, etag: str = "", *, status: int = 200) -> None:
        self.body = body
        self.etag = etag.encode()
        self.status = status
        self.headers = (  # a tuple, which the garbage collector soon leaves alone
            CONTENT_TYPE,
            (b"content-length", str(len(body)).encode()),
            *(((b"etag", self.etag),) if etag else ()),
            *ALWAYS,
        )

    @property
    def unchanged(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of a 304: without those of the body."""
        return self.headers[2:]


class Kept:
    """What is kept, with the answers made of it, until a commit touches it: `is_live` till then."""

    __slots__ = ("_waiting", "answers", "is_live", "is_used", "size")

    def __init__(self, size: int) -> None:
        self.is_live = True
        self.is_used = True
        self.answers: dict[object, Answer] = {}
        self.size = size
        self._waiting: set[Future[None]] | None = None

    def changed(self, future: Future[None]) -> None:
        """Have a future done when this is not live any more."""
        if self._waiting is None:
            self._waiting = set()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)

    def end(self) -> None:
        """Be no answer to anybody any more."""
        self.is_live = False
        self.answers.clear()
        self.wake()

    def wake(self) -> None:
        """Wake who waits for a change."""
        if self._waiting:
            waiting.wake((*self._waiting,))

    def add(self, form: object, answer: Answer, more: int = 0) -> int:
        """Keep an answer; return the bytes that it takes, with so many for its form."""
        self.answers[form] = answer
        size = len(answer.body) + OVERHEAD_BYTES + more
        self.size += size
        return size


class Rules(Kept):
    """The flags of an environment as of now, compiled."""

    __slots__ = ("ruleset",)

    def __init__(self, ruleset: Ruleset) -> None:
        super().__init__(OVERHEAD_BYTES + ruleset.size * COMPILED)
        self.ruleset = ruleset


class Snapshot(Kept):
    """The config of a service as of now: the documents that reach it, merged when asked for."""

    __slots__ = ("_revealed", "candidates", "document", "effective", "is_protected", "level")

    def __init__(
        self, level: Level, documents: Sequence[Document], *, is_protected: bool | None
    ) -> None:
        super().__init__(OVERHEAD_BYTES)
        self.level = level
        self.document = next((one for one in documents if one.part.level == level), None)
        self.effective = Effective(level, [one.part for one in documents])
        self._revealed: Effective | None = None
        self.is_protected = is_protected
        self.candidates: tuple[Candidate, ...] = ()

    def reveals(self, access: Access) -> bool:
        """Say whether a caller gets plain secrets here."""
        return self.effective.has_secrets and shows_secrets(
            access, self.level, is_protected=lambda: self.is_protected is not False
        )

    def seen_by(self, access: Access) -> Effective:
        """Return the config whose version and tag are those for a caller."""
        if not self.reveals(access):
            return self.effective
        if self._revealed is None:
            self._revealed = Effective(self.level, self.effective.parts)
            self._revealed.reveals = True
        return self._revealed
