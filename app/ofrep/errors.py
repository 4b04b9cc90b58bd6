"""What an OFREP answer says went wrong."""

from typing import Any

PARSE_ERROR, INVALID_CONTEXT = "PARSE_ERROR", "INVALID_CONTEXT"
FLAG_NOT_FOUND, TARGETING_KEY_MISSING = "FLAG_NOT_FOUND", "TARGETING_KEY_MISSING"
GENERAL = "GENERAL"

MISSING_UNIT = "The flag's rules must bucket by an attribute that the context does not have."


class OfrepError(Exception):
    """A refusal in the protocol's own form, which is no problem document."""

    def __init__(self, error_code: str, details: str, *, status: int = 400) -> None:
        super().__init__(details)
        self.status = status
        self.error_code = error_code
        self.details = details

    def members(self, key: str | None) -> dict[str, Any]:
        """Return the answer's members, for one flag or (None) all."""
        members = {"errorCode": self.error_code, "errorDetails": self.details}
        return members if key is None else {"key": key, **members}
