"""Names of flags and segments, as they appear on the wire."""

import re
from typing import Annotated

from pydantic import AfterValidator

RESERVED = frozenset({"evaluate", "export", "import", "snapshot", "stale", "usage"})
_ROUTE = re.compile(r"[0-9]+/(versions|diff|rollback)")
_NAME = re.compile(r"^[A-Za-z0-9._:/-]{1,255}$")


def check_flag(name: str) -> str:
    """Return a name of a flag or segment, or raise ValueError saying what is wrong."""
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 255 of A-Z a-z 0-9 . _ : / -")
    if not name.strip("."):  # what a path cannot hold
        raise ValueError("must not be only dots")
    if name in RESERVED:
        raise ValueError("is a reserved word: choose another name")
    if name.endswith("/") or _ROUTE.fullmatch(name):
        raise ValueError("must not end with / nor read like <number>/versions, /diff or /rollback")
    return name


FlagName = Annotated[str, AfterValidator(check_flag)]
SegmentName = Annotated[str, AfterValidator(check_flag)]
