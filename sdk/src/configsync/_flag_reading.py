"""The ways to ask for a flag, the same for clients and snapshots."""

from collections.abc import Mapping
from typing import Any, overload

from configsync._flags import Context, FlagDetails, Flags


class FlagReading:
    """What somebody gets of a flag. None of these raises for what a context holds."""

    __slots__ = ()
    _flags: Flags

    @overload
    def flag(
        self, name: str, user_id: Any = None, context: Context | None = None, *, default: None
    ) -> Any: ...
    @overload
    def flag(
        self, name: str, user_id: Any = None, context: Context | None = None, default: bool = False
    ) -> bool: ...
    @overload
    def flag(
        self, name: str, user_id: Any = None, context: Context | None = None, *, default: str
    ) -> str: ...
    @overload
    def flag(
        self, name: str, user_id: Any = None, context: Context | None = None, *, default: int
    ) -> int: ...
    @overload
    def flag(
        self, name: str, user_id: Any = None, context: Context | None = None, *, default: float
    ) -> float: ...
    @overload
    def flag(
        self,
        name: str,
        user_id: Any = None,
        context: Context | None = None,
        *,
        default: Mapping[str, Any],
    ) -> Mapping[str, Any]: ...
    @overload
    def flag(
        self,
        name: str,
        user_id: Any = None,
        context: Context | None = None,
        *,
        default: list[Any] | tuple[Any, ...],
    ) -> list[Any] | tuple[Any, ...]: ...
    def flag(
        self,
        name: str,
        user_id: Any = None,
        context: Context | None = None,
        default: Any = False,
    ) -> Any:
        """Return the value that somebody gets; the default if there is none of its type."""
        return self._flags.value(name, user_id, context, default)

    def flag_details(
        self,
        name: str,
        user_id: Any = None,
        context: Context | None = None,
        default: Any = False,
    ) -> FlagDetails:
        """Return what somebody gets, and how it came to be."""
        return self._flags.details(name, user_id, context, default)

    def flags(self, user_id: Any = None, context: Context | None = None) -> dict[str, Any]:
        """Return the values that somebody gets of all flags, by name."""
        return self._flags.everything(user_id, context)
