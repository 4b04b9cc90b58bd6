"""What can go wrong with streams."""

from app.core.errors import AppError, Unauthorized, Unavailable


class CursorGone(AppError):
    """A stream cannot go on from there: read everything anew and listen from then on."""

    status, code, title = 410, "cursor_gone", "Cursor gone"

    def __init__(self, reason: str, *, epoch: str, head: int) -> None:
        super().__init__(
            f"This cursor cannot be resumed: {reason}. Read what you need again, then listen "
            f"since {epoch}-{head}.",
            epoch=epoch,
            head=head,
        )


class InvalidTicket(Unauthorized):
    """The ticket was used, is over, or never was."""

    code, title = "invalid_ticket", "Invalid ticket"

    def __init__(self) -> None:
        super().__init__("This ticket was used or is over: get a new one, it opens one stream.")


class TooManyListeners(Unavailable):
    """This process has as many listeners as it may."""

    code, title = "too_many_listeners", "Too many listeners"
    retry_after = 5
