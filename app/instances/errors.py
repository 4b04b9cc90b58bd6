"""What can go wrong with reports of instances."""

from app.core.errors import Invalid


class TooManyInstances(Invalid):
    """The workspace is at its limit, and the report is of an instance that it does not know."""

    code, title = "too_many_instances", "Too many instances"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A workspace may have {limit} instances at most. "
            "Those that stay away are forgotten after a day.",
            loc=("body", "instance_id"),
        )
