"""What can go wrong with rotators."""

from app.core.errors import AppError, Conflict, Invalid, NotFound


class RotatorNotFound(NotFound):
    """The key has no rotator."""

    code, title = "rotator_not_found", "Rotator not found"

    def __init__(self) -> None:
        super().__init__(
            "The key has no rotator: PUT /api/v1/config/{config_id}/rotator makes one."
        )


class InvalidRotator(Invalid):
    """The settings do not fit the kind."""

    code, title = "invalid_rotator", "Invalid rotator"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, loc=("body", "settings"))


class RotationUnderWay(Conflict):
    """A renewal is under way, or its grace time is not over."""

    code, title = "rotation_under_way", "Rotation under way"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            "The value was renewed and the old one is still good, or somebody is renewing it now.",
            headers={"Retry-After": str(max(1, seconds))},
        )


class RotationNotDone(AppError):
    """A step did not succeed; it is tried again by itself."""

    status, code, title = 502, "rotation_not_done", "Rotation not done"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The rotation is not done yet, and will be tried again: {reason}.")


class RotatorBusy(Conflict):
    """A step is being done, or an old value has to be retired first."""

    code, title = "rotator_busy", "Rotator busy"

    def __init__(self) -> None:
        super().__init__(
            "A step of a rotation is being done, or the old value is not retired yet: try again, "
            "or end the grace time by `grace_seconds: 0` first."
        )
