"""What can go wrong with keys."""

from app.core.errors import Invalid


class SecretsUnavailable(Invalid):
    """Encrypted values are not here yet."""

    code, title = "secrets_unavailable", "Secrets unavailable"

    def __init__(self) -> None:
        super().__init__(
            "This release does not store secrets: is_encrypted must be false.",
            loc=("body", "is_encrypted"),
        )
