"""What can go wrong with workspaces."""

from app.core.errors import AppError, Forbidden, NotFound, Unavailable


class WorkspaceNotFound(NotFound):
    """There is no such workspace, or the caller does not belong to it."""

    code, title = "workspace_not_found", "Workspace not found"

    def __init__(self, slug: str) -> None:
        super().__init__(f"There is no workspace '{slug}' that you belong to.")


class NotAllowed(Forbidden):
    """The caller's role does not allow it."""

    code, title = "not_allowed", "Not allowed"

    def __init__(self, role: str, permission: str, slug: str) -> None:
        super().__init__(f"As {role} of workspace '{slug}' you may not {permission}.")


class ForeignUser(Forbidden):
    """Somebody else's `target_user_id`."""

    code, title = "foreign_user", "Not your user"

    def __init__(self) -> None:
        super().__init__("Only an admin may act for another user: leave target_user_id out.")


class UnknownEpoch(AppError):
    """The revision is of another line of history: the database was restored since."""

    status, code, title = 410, "unknown_epoch", "Unknown epoch"

    def __init__(self, epoch: str) -> None:
        super().__init__(
            "The database was restored since you saw that revision. Read again from here.",
            epoch=epoch,
        )


class RevisionNotReached(Unavailable):
    """The workspace has not got that far yet."""

    code, title = "revision_not_reached", "Revision not reached"

    def __init__(self, wanted: int, head: int) -> None:
        super().__init__(f"Revision {wanted} is not here yet, this is {head}.")
