"""Which role may do what (contract §0)."""

from enum import StrEnum


class Permission(StrEnum):
    """What a caller may be allowed to do in a workspace."""

    READ = "read"
    READ_SECRETS = "read_secrets"
    WRITE = "write"
    PUBLISH = "publish"
    ADMIN = "admin"
    METRICS = "metrics"


_ALL = frozenset(Permission)
_BY_ROLE = {
    "viewer": frozenset({Permission.READ}),
    "editor": frozenset({Permission.READ, Permission.READ_SECRETS, Permission.WRITE}),
    "admin": _ALL,
    "owner": _ALL,
}


def permissions(role: str) -> frozenset[Permission]:
    """Return what a role allows."""
    return _BY_ROLE[role]
