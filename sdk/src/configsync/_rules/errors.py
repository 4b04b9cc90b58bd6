"""Why a flag or a segment cannot be used, found when it is compiled, never when it is evaluated."""

from enum import StrEnum
from typing import Self

Path = tuple[str | int, ...]


class Code(StrEnum):
    """What is wrong with a definition."""

    INVALID_FLAG = "invalid_flag"
    INVALID_SEGMENT = "invalid_segment"
    INVALID_RULE = "invalid_rule"
    INVALID_CONDITION = "invalid_condition"
    UNKNOWN_OPERATOR = "unknown_operator"
    WRONG_OPERAND = "wrong_operand"
    INVALID_REGEX = "invalid_regex"
    INVALID_SHARES = "invalid_shares"
    UNKNOWN_VARIANT = "unknown_variant"
    UNKNOWN_SEGMENT = "unknown_segment"
    UNKNOWN_PREREQUISITE = "unknown_prerequisite"
    SEGMENT_CYCLE = "segment_cycle"
    PREREQUISITE_CYCLE = "prerequisite_cycle"
    WRONG_TYPE = "wrong_type"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"


class RuleError(ValueError):
    """Say what is wrong (`code`), where in the definition (`path`) and in words (`message`).

    The message never quotes the definition, so it may be shown to whoever sent it.
    """

    def __init__(self, code: Code, path: Path, message: str) -> None:
        super().__init__(message)
        self.code, self.path, self.message = code, path, message

    def under(self, *steps: str | int) -> Self:
        """Return the same error, found further down."""
        return type(self)(self.code, (*steps, *self.path), self.message)
