"""The ways to read a value, the same for clients and snapshots."""

from typing import Any, Self, TypeVar, overload

from configsync._document import MISSING
from configsync._errors import KeyMissing, WrongType

Default = TypeVar("Default")


class Reading:
    """Typed reads on top of `get`.

    Values are what the JSON says. Texts that are a number, or `true` and `false`, serve too, for
    that is all that .env and .properties files have. Anything else raises WrongType, and so does
    null; a key that is not there gives the default.
    """

    __slots__ = ()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at an address, or the default."""
        raise NotImplementedError

    def get_all(self) -> dict[str, Any]:
        """Return the whole config, frozen."""
        raise NotImplementedError

    def _why_missing(self, key: str) -> str | None:
        raise NotImplementedError

    @overload
    def get_int(self, key: str) -> int | None: ...
    @overload
    def get_int(self, key: str, default: Default) -> int | Default: ...
    def get_int(self, key: str, default: Any = None) -> Any:
        """Return a whole number."""
        value = self.get(key, MISSING)
        return default if value is MISSING else _integer(key, value)

    @overload
    def get_bool(self, key: str) -> bool | None: ...
    @overload
    def get_bool(self, key: str, default: Default) -> bool | Default: ...
    def get_bool(self, key: str, default: Any = None) -> Any:
        """Return true or false."""
        value = self.get(key, MISSING)
        return default if value is MISSING else _boolean(key, value)

    @overload
    def get_list(self, key: str) -> tuple[Any, ...] | None: ...
    @overload
    def get_list(self, key: str, default: Default) -> tuple[Any, ...] | Default: ...
    def get_list(self, key: str, default: Any = None) -> Any:
        """Return an array, as a tuple."""
        value = self.get(key, MISSING)
        if value is not MISSING and not isinstance(value, tuple):
            raise _wrong(key, value, "an array")
        return default if value is MISSING else value

    def require(self, key: str) -> Any:
        """Return the value at an address; raise KeyMissing, which says why it is not there."""
        value = self.get(key, MISSING)
        if value is MISSING:
            raise KeyMissing(self._why_missing(key) or f"'{key}' is not in the config")
        return value


def _integer(key: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise _wrong(key, value, "a whole number")


def _boolean(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _wrong(key, value, "true or false")


def _wrong(key: str, value: Any, wanted: str) -> WrongType:
    names = ((dict, "an object"), (tuple, "an array"), (type(None), "null"), (str, "another text"))
    kind = next((name for of, name in names if isinstance(value, of)), "another value")
    return WrongType(f"'{key}' is {kind}, not {wanted}")  # never the value: it may be a secret


class Moment(Reading):
    """What can be entered with `with`, to read several values of one moment."""

    __slots__ = ()

    def __enter__(self) -> Self:
        """Return itself; there is nothing to give back at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""
