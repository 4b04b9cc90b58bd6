"""What can go wrong with configs."""

from app.configs.levels import Level
from app.core.errors import AppError, Conflict, Invalid, NotFound
from app.core.handlers import constraints


class ConfigNotFound(NotFound):
    """There is no config at that level."""

    code, title = "config_not_found", "Config not found"

    def __init__(self, level: Level, slug: str) -> None:
        where = f" in {level.environment}" if level.environment else " for all environments"
        super().__init__(f"There is no config '{level.name}'{where} in workspace '{slug}'.")


class VersionNotFound(NotFound):
    """There is no such version of that config or key."""

    code, title = "version_not_found", "Version not found"

    def __init__(self, level: Level, key: str | None = None) -> None:
        what = f"Key '{key}' in" if key is not None else "Config"
        super().__init__(f"{what} '{level}' has no such version.")


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
    """`at` lies in the future, or before the workspace began."""

    code, title = "at_out_of_range", "Moment out of range"

    def __init__(self, head: int, *, future: bool) -> None:
        super().__init__(
            f"`at` lies in the future; the newest revision is {head}."
            if future
            else "`at` lies before the workspace began.",
            loc=("query", "at"),
        )


class PreconditionFailed(AppError):
    """Somebody changed the object meanwhile."""

    status, code, title = 412, "precondition_failed", "Precondition failed"


class EtagOfEffective(PreconditionFailed):
    """If-Match carries the tag of a merged answer."""

    code, title = "etag_of_effective", "Tag of an effective config"


class KeyNotFound(NotFound):
    """There is no such key there."""

    code, title = "key_not_found", "Key not found"

    def __init__(self, key: str | int, where: object, slug: str) -> None:
        what = f"key '{key}' in {where}" if isinstance(key, str) else f"key with id {key}"
        super().__init__(f"There is no {what} in workspace '{slug}'.")


class KeyExists(Conflict):
    """The key has a value there already."""

    code, title = "key_exists", "Key exists"

    def __init__(self, key: str, where: object, key_id: int) -> None:
        super().__init__(
            f"Key '{key}' exists in {where} with id {key_id}: update it by that id.", id=key_id
        )


class TooManyKeys(Invalid):
    """The document is over MAX_KEYS_PER_DOCUMENT."""

    code, title = "too_many_keys", "Too many keys"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A document may have {limit} keys at most.", loc=("body", "config"))


class KeyNameTooLong(Invalid):
    """A top-level member's name is longer than a key's may be."""

    code, title = "key_name_too_long", "Key name too long"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The name of a top-level member may have {limit} characters at most.",
            loc=("body", "config"),
        )


class TooManyServices(Invalid):
    """The workspace is over MAX_SERVICES_PER_WORKSPACE."""

    code, title = "too_many_services", "Too many services"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A workspace may have {limit} services at most.", loc=("body", "name"))


class ValueTypeMismatch(Invalid):
    """The value is not of the type that is named."""

    code, title = "value_type_mismatch", "Value of another type"

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(
            f"value_type is {wanted}, but the value is a {found}.", loc=("body", "value_type")
        )


class HistoryPruned(AppError):
    """That far back the history is not kept."""

    status, code, title = 410, "history_pruned", "History pruned"

    def __init__(self, at: int) -> None:
        super().__init__(f"What was there at revision {at} is not kept any more (KEEP_VERSIONS).")


class EnvironmentNotFound(NotFound):
    """The workspace has no such environment."""

    code, title = "environment_not_found", "Environment not found"

    def __init__(self, name: str, slug: str) -> None:
        super().__init__(f"Workspace '{slug}' has no environment '{name}'.")


class EnvironmentExists(Conflict):
    """The workspace has an environment of that name."""

    code, title = "environment_exists", "Environment exists"

    def __init__(self) -> None:
        super().__init__("The workspace has an environment of that name.")


class EnvironmentInUse(Conflict):
    """There are configs or flags in it."""

    code, title = "environment_in_use", "Environment in use"

    def __init__(self, name: str, configs: int, flags: int) -> None:
        some = [
            f"{count} {what}" if count == 1 else f"{count} {what}s"
            for count, what in ((configs, "config"), (flags, "flag"))
            if count
        ]
        super().__init__(f"Environment '{name}' has {' and '.join(some)}: delete them first.")


class ConfigExists(Conflict):
    """There is a config already."""

    code, title = "config_exists", "Config exists"

    def __init__(self, level: Level, slug: str) -> None:
        super().__init__(f"There is a config '{level}' in workspace '{slug}': update it.")


constraints["uq_environments_workspace_id_name"] = EnvironmentExists
