"""What can go wrong with flags and segments."""

from typing import Self

from app.core.errors import Conflict, Invalid, NotFound
from app.rules.errors import Code, RuleError


class FlagNotFound(NotFound):
    """There is no such flag in that environment."""

    code, title = "flag_not_found", "Flag not found"

    def __init__(self, name: str, environment: str, slug: str) -> None:
        super().__init__(f"There is no flag '{name}' in {environment} in workspace '{slug}'.")


class FlagIdNotFound(NotFound):
    """There is no flag with that id."""

    code, title = "flag_not_found", "Flag not found"

    def __init__(self, flag_id: int, slug: str) -> None:
        super().__init__(f"There is no flag {flag_id} in workspace '{slug}'.")


class FlagExists(Conflict):
    """A new flag needs a name that is free in its environment."""

    code, title = "flag_exists", "Flag exists"

    def __init__(self, name: str, environment: str) -> None:
        super().__init__(f"There is a flag '{name}' in {environment} already.")


class FlagVersionNotFound(NotFound):
    """The flag or segment has no such version."""

    code, title = "version_not_found", "Version not found"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"'{name}' has no version {version} with content.")


class FlagTypeDiffers(Invalid):
    """A flag has one type in all environments."""

    code, title = "flag_type_differs", "Another type elsewhere"

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(
            f"Flag '{name}' is of the type {kind} in other environments.", loc=("body", "type")
        )


class SegmentNotFound(NotFound):
    """There is no such segment."""

    code, title = "segment_not_found", "Segment not found"

    def __init__(self, name: str, slug: str) -> None:
        super().__init__(f"There is no segment '{name}' in workspace '{slug}'.")


class SegmentExists(Conflict):
    """A new segment needs a name that is free."""

    code, title = "segment_exists", "Segment exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a segment '{name}' already.")


class InvalidFlag(Invalid):
    """A definition that cannot be evaluated; `code` says what is wrong, `errors` where.

    `about` names the flag or segment, `number` its place in a change set.
    """

    code, title = "invalid_flag", "Invalid flag"

    def __init__(self, error: RuleError, *, about: str = "", number: int | None = None) -> None:
        place = () if number is None else ("changes", number)
        prefix = "" if number is None else f"{about}: "
        detail = f"{prefix}{_place(error.path)}{error.message}."
        super().__init__(detail, loc=("body", *place, *error.path))
        self.error, self.about = error, about
        if error.code is not Code.INVALID_FLAG:  # one class for all that rules refuse
            self.__dict__["code"] = str(error.code)

    def numbered(self, number: int) -> Self:
        """Return the same error of an entry of a change set."""
        return type(self)(self.error, about=self.about, number=number)


class InvalidSchema(InvalidFlag):
    """The JSON Schema of a flag's variants is none, or asks for too much."""

    code, title = "invalid_schema", "Invalid schema"


class SchemaMismatch(InvalidFlag):
    """A variant's value does not fit the flag's JSON Schema."""

    code, title = "schema_mismatch", "Does not fit the schema"


class StillNeeded(Conflict):
    """Another flag or segment needs what this would take away."""

    code, title = "still_needed", "Still needed"

    def __init__(self, kind: str, name: str, error: RuleError) -> None:
        super().__init__(
            f"This would break {kind} '{name}': {_place(error.path)}{error.message}.",
            needed_by={"kind": kind, "name": name, "code": str(error.code)},
        )


class WouldRebucket(Conflict):
    """The save would give people another variant than they were served."""

    code, title = "would_rebucket", "Would rebucket"

    def __init__(self, reason: str, about: str) -> None:
        super().__init__(
            f"Changing {reason.replace('_', ' ')} of {about} would give people another variant "
            "than they have been served. Send accept_rebucketing: true if that is meant.",
            reason=reason,
        )


def _place(path: tuple[str | int, ...]) -> str:
    return f"{'.'.join(map(str, path))}: " if path else ""
