"""What can go wrong with workspaces."""

from app.core.errors import AppError, Conflict, Forbidden, NotFound, Unavailable
from app.core.handlers import constraints


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


class OutsideScope(Forbidden):
    """The API key is not for that service or environment."""

    code, title = "outside_scope", "Outside the key's scope"

    def __init__(self, place: object) -> None:
        super().__init__(
            f"This API key does not reach {place}: its scopes name services and environments; "
            "the level of all environments needs *."
        )


class FlagOutsideScope(Forbidden):
    """The API key is not for that flag, or not for segments."""

    code, title = "outside_scope", "Outside the key's scope"

    def __init__(self, what: str) -> None:
        super().__init__(f"This API key does not reach {what}: see the flags in its scopes.")


class BeyondScope(Forbidden):
    """The API key would do or give more than its own scopes hold."""

    code, title = "outside_scope", "Outside the key's scope"

    def __init__(self, what: str) -> None:
        super().__init__(f"This API key may not {what}: that is beyond its own scopes.")


class AddressNotAllowed(Forbidden):
    """The API key may not be used from there."""

    code, title = "address_not_allowed", "Address not allowed"

    def __init__(self) -> None:
        super().__init__("This API key may not be used from your address.")


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


class OwnersOnly(Forbidden):
    """An admin of the workspace is not enough."""

    code, title = "owners_only", "Owners only"

    def __init__(self) -> None:
        super().__init__("Only an owner of the workspace, or an admin of this server, may do this.")


class WorkspaceExists(Conflict):
    """The slug belongs to a workspace or a user."""

    code, title = "workspace_exists", "Workspace exists"

    def __init__(self) -> None:
        super().__init__("The slug is taken by another workspace or a user: choose another.")


class WorkspaceFixed(Conflict):
    """Personal workspaces and `default` are what they are."""

    code, title = "workspace_fixed", "Workspace fixed"

    def __init__(self) -> None:
        super().__init__(
            "Personal workspaces and 'default' keep their slug, cannot be deleted, and the "
            "person of a personal one stays its owner."
        )


class LastOwner(Conflict):
    """A workspace has an owner at all times."""

    code, title = "last_owner", "Last owner"

    def __init__(self) -> None:
        super().__init__("This is the last owner of the workspace: make somebody else owner first.")


class UserDisabled(Conflict):
    """The account is disabled."""

    code, title = "user_disabled", "User disabled"

    def __init__(self) -> None:
        super().__init__("The user is disabled and cannot be given a role.")


class MemberNotFound(NotFound):
    """The user is not a member of the workspace."""

    code, title = "member_not_found", "Member not found"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Workspace '{slug}' has no such member.")


class ServiceNotFound(NotFound):
    """The workspace has no such service."""

    code, title = "service_not_found", "Service not found"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Workspace '{slug}' has no such service.")


class ServiceExists(Conflict):
    """The name belongs to another service of the workspace."""

    code, title = "service_exists", "Service exists"

    def __init__(self) -> None:
        super().__init__("The workspace has a service of this name already.")


constraints["uq_workspaces_slug"] = WorkspaceExists
constraints["uq_services_workspace_id_name"] = ServiceExists


class ProtectedEnvironment(Forbidden):
    """Writing there needs the right to publish."""

    code, title = "protected_environment", "Protected environment"

    def __init__(self, name: str) -> None:
        super().__init__(f"Environment '{name}' is protected: changing it needs `publish`.")
