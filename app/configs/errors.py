"""What can go wrong with configs."""

from app.configs.levels import Level
from app.core.errors import AppError, Conflict, Invalid, NotFound


class ConfigNotFound(NotFound):
    """There is no config at that level."""

    code, title = "config_not_found", "Config not found"

    def __init__(self, level: Level, slug: str) -> None:
        where = f" in {level.environment}" if level.environment else " for all environments"
        super().__init__(f"There is no config '{level.name}'{where} in workspace '{slug}'.")


class VersionNotFound(NotFound):
    """There is no such version of that config."""

    code, title = "version_not_found", "Version not found"

    def __init__(self, level: Level) -> None:
        super().__init__(f"Config '{level.name}' has no such version.")


class VersionEmpty(Conflict):
    """The version is a deletion: there is nothing to go back to."""

    code, title = "version_empty", "Version without content"

    def __init__(self, version: int) -> None:
        super().__init__(f"Version {version} is a deletion; choose one with content.")


class NotDeleted(Conflict):
    """Only what was deleted can be restored."""

    code, title = "not_deleted", "Not deleted"

    def __init__(self, level: Level) -> None:
        super().__init__(f"Config '{level.name}' is not deleted; to go back use rollback.")


class UnknownEnvironment(Invalid):
    """The workspace has no such environment."""

    code, title = "unknown_environment", "Unknown environment"

    def __init__(self, name: str, slug: str) -> None:
        super().__init__(f"Workspace '{slug}' has no environment '{name}'.", loc=("environment",))


class DocumentTooLarge(Invalid):
    """The document is over MAX_DOCUMENT_BYTES."""

    code, title = "document_too_large", "Document too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A document may have {limit} bytes at most.", loc=("body", "config"))


class AtOutOfRange(Invalid):
    """`at` lies in the future."""

    code, title = "at_out_of_range", "Moment out of range"

    def __init__(self, head: int) -> None:
        super().__init__(
            f"`at` lies in the future; the newest revision is {head}.", loc=("query", "at")
        )


class PreconditionFailed(AppError):
    """Somebody changed the object meanwhile."""

    status, code, title = 412, "precondition_failed", "Precondition failed"


class EtagOfEffective(PreconditionFailed):
    """If-Match carries the tag of a merged answer."""

    code, title = "etag_of_effective", "Tag of an effective config"
