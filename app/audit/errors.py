"""What can go wrong with the audit."""

from app.core.errors import NotFound


class LogNotFound(NotFound):
    """There is no such event, or it is not the caller's to see."""

    code, title = "log_not_found", "Log entry not found"

    def __init__(self) -> None:
        super().__init__("There is no such entry in the audit that you may see.")
