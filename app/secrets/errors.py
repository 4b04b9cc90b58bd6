"""What can go wrong with secrets."""

from collections.abc import Sequence

from app.core.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Unavailable


def _place(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path)) or "the value"


class InvalidSecret(Invalid):
    """Something that looks like a secret is not one."""

    code, title = "invalid_secret", "Invalid secret"

    def __init__(self, path: Sequence[str | int], reason: str) -> None:
        super().__init__(f"At {_place(path)}: {reason}.", loc=("body", *path))


class MaskedValue(Invalid):
    """The bullets of a masked answer would be stored as a value."""

    code, title = "masked_value", "Masked value"

    def __init__(self, path: Sequence[str | int]) -> None:
        super().__init__(
            f"At {_place(path)} stand the bullets of a masked answer. Write the stored form with "
            'its handle, {"$secret": "the new value"}, or leave it out.',
            loc=("body", *path),
        )


class UnknownHandle(Invalid):
    """The handle is not of this document."""

    code, title = "unknown_handle", "Unknown handle"

    def __init__(self, path: Sequence[str | int]) -> None:
        super().__init__(
            f"The handle at {_place(path)} is not of a secret of this document: "
            "write the value itself.",
            loc=("body", *path, "handle"),
        )


class InvalidFernet(Invalid):
    """No key opens the token."""

    code, title = "invalid_fernet", "Invalid Fernet token"

    def __init__(self, path: Sequence[str | int]) -> None:
        super().__init__(
            f"The token at {_place(path)} opens under none of the Fernet-format keys in "
            "ENCRYPTION_KEY.",
            loc=("body", *path),
        )


class SecretDestroyed(Conflict):
    """A value would come back that was destroyed."""

    code, title = "secret_destroyed", "Secret destroyed"

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(
            f"The secret values of {', '.join(keys)} were destroyed: write new ones.",
            keys=list(keys),
        )


class Sealed(Unavailable):
    """The key that opens secrets is not here."""

    code, title = "sealed", "Sealed"
    retry_after = 5

    def __init__(self) -> None:
        super().__init__(
            "Secrets are sealed: the key-encryption key is missing, another one, or its holder "
            "does not answer. Everything else works."
        )


class IntegrityError(AppError):
    """A stored secret is not what was stored: somebody changed it, or the disk did."""

    status, code, title = 500, "integrity_error", "Integrity error"

    def __init__(self, handle: str) -> None:
        super().__init__(
            f"The stored secret {handle} is not what was stored. It is not shown; the audit has "
            "an alarm."
        )
        self.handle = handle


class AuditUnavailable(Unavailable):
    """What must be in the audit before the answer cannot be written there."""

    code, title = "audit_unavailable", "Audit unavailable"

    def __init__(self) -> None:
        super().__init__("The audit cannot be written, so no secret is shown.")


class SecretsNotAllowed(Forbidden):
    """Editors may not see secrets of protected environments."""

    code, title = "secrets_not_allowed", "Secrets not allowed"

    def __init__(self, where: object) -> None:
        super().__init__(f"Editors may not see the secrets of {where}: it is protected.")


class SecretNotFound(NotFound):
    """There is no such secret."""

    code, title = "secret_not_found", "Secret not found"

    def __init__(self, slug: str) -> None:
        super().__init__(f"There is no such secret in workspace '{slug}'.")


class SecretInUse(Conflict):
    """The value stands in the current document."""

    code, title = "secret_in_use", "Secret in use"

    def __init__(self, where: object) -> None:
        super().__init__(
            f"The value is in use in {where}: write another one there, or delete the key, first."
        )


class NameMismatch(Invalid):
    """The name that was typed is another."""

    code, title = "name_mismatch", "Name mismatch"

    def __init__(self) -> None:
        super().__init__(
            "To destroy the value, send the name of its key as `name`.", loc=("body", "name")
        )


class WrappedSecretNotFound(NotFound):
    """No value waits under this token."""

    code, title = "wrapped_secret_not_found", "Wrapped secret not found"

    def __init__(self) -> None:
        super().__init__("The token is unknown, or its time is over.")


class WrappedSecretOpened(AppError):
    """The token was used before."""

    status, code, title = 410, "wrapped_secret_opened", "Wrapped secret opened"

    def __init__(self, at: str) -> None:
        super().__init__(
            f"The token was used at {at}. If that was not you, the value is known to somebody "
            "else: change it."
        )


class ValueNeeded(Invalid):
    """Only the value itself can be stored in the open."""

    code, title = "value_needed", "Value needed"

    def __init__(self) -> None:
        super().__init__(
            "To store a secret in the open, send its value too.", loc=("body", "is_encrypted")
        )
