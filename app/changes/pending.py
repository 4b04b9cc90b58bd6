"""What a commit is about to do to one object."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.changes.keys import KeyRow
from app.changes.plan import Edited, Stored, Target


@dataclass(frozen=True, slots=True)
class Pending:
    """One object of a commit: what it was, what it shall be, what becomes of its keys."""

    target: Target
    stored: Stored
    edited: Edited
    rows: Mapping[str, KeyRow]

    @property
    def writes(self) -> bool:
        """Say whether the object gets a version."""
        return self.edited.always or self.edited.checksum != self.stored.checksum

    @property
    def gives(self) -> bool:
        """Say whether the object has content afterwards, or a key that is parked."""
        rows = self.rows.values()
        return self.edited.content is not None or any(row.value is not None for row in rows)

    @property
    def changes(self) -> bool:
        """Say whether anything is written."""
        return self.writes or bool(self.rows)
