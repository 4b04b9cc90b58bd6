"""What an evaluation says."""

from enum import StrEnum
from typing import Any, Final, NamedTuple


class Reason(StrEnum):
    """Why this variant (contract, section F)."""

    GLOBALLY_DISABLED = "globally_disabled"
    PREREQUISITE_FAILED = "prerequisite_failed"
    USER_TARGETED = "user_targeted"
    RULE_MATCH = "rule_match"
    ROLLOUT_PERCENTAGE = "rollout_percentage"
    GLOBALLY_ENABLED = "globally_enabled"
    DEFAULT = "default"
    TARGETING_KEY_MISSING = "targeting_key_missing"


REASONS: Final = {reason: str(reason) for reason in Reason}
"""As plain texts: an enumeration's own way to its value takes longer than the evaluation."""

TARGETING_KEY_MISSING: Final = "TARGETING_KEY_MISSING"

# TARGETING_KEY_MISSING is an error there, not a reason.
OFREP_REASONS: Final = {
    Reason.GLOBALLY_DISABLED: "DISABLED",
    Reason.PREREQUISITE_FAILED: "TARGETING_MATCH",
    Reason.USER_TARGETED: "TARGETING_MATCH",
    Reason.RULE_MATCH: "TARGETING_MATCH",
    Reason.ROLLOUT_PERCENTAGE: "SPLIT",
    Reason.GLOBALLY_ENABLED: "STATIC",
    Reason.DEFAULT: "DEFAULT",
}


class Result(NamedTuple):
    """One answer; `value` is the flag's own object and must not be changed.

    `bucket` (0 to 99,999) is there when a split decided, `error` is OFREP's code: with one, the
    variant is the off variant and a caller that has a default of its own should take that.
    """

    variant: str
    value: Any
    reason: Reason
    rule_id: str | None
    bucket: int | None
    revision: int | None
    error: str | None
