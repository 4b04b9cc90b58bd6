"""What can go wrong with documents."""

from collections.abc import Sequence
from typing import Any

from app.core.errors import Conflict, Invalid
from app.diff.three_way import ABSENT
from app.diff.three_way import Conflict as Difference
from app.secrets import markers


class MergeConflict(Conflict):
    """Both sides changed the same values differently; `conflicts` says which."""

    code, title = "merge_conflict", "Merge conflict"

    def __init__(self, conflicts: Sequence[Difference]) -> None:
        super().__init__(
            f"{len(conflicts)} values were changed on both sides. Decide on each, and merge "
            "again with the current version as base.",
            conflicts=[_described(one) for one in conflicts],
        )


def _described(one: Difference) -> dict[str, Any]:
    sides = {"base": one.base, "ours": one.ours, "theirs": one.theirs}
    return {"path": one.path} | {
        side: markers.veil(value) for side, value in sides.items() if value is not ABSENT
    }


class InvalidPatch(Invalid):
    """The patch itself is wrong."""

    code, title = "invalid_patch", "Invalid patch"


class PatchFailed(Conflict):
    """The patch does not fit the stored document."""

    code, title = "patch_failed", "Patch failed"


class PatchTestFailed(PatchFailed):
    """A `test` of the patch did not hold."""

    code, title = "patch_test_failed", "Patch test failed"
