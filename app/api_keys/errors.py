"""What can go wrong with API keys."""

from app.core.errors import NotFound


class ApiKeyNotFound(NotFound):
    """The workspace has no such API key, or not any more."""

    code, title = "api_key_not_found", "API key not found"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Workspace '{slug}' has no such API key, or it was revoked.")
