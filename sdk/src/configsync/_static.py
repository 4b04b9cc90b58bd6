"""A client for tests, with values that are given, and no server."""

from collections.abc import Awaitable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from configsync._base import BaseClient
from configsync._document import MISSING, nested
from configsync._flags import Flags, given
from configsync._snapshot import Origin, Snapshot


class _Done(Awaitable[None]):
    """What serves for both: it can be awaited, and need not be."""

    def __await__(self) -> Generator[Any, None, None]:
        """Be done at once."""
        return
        yield


class StaticClient(BaseClient):
    """Stands in for either client. Methods that are coroutines there can be awaited here."""

    __slots__ = ()

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(base_url="http://static.invalid", app_id="static")
        self._put(dict(values or {}), given(flags or {}))

    def initialize(self) -> Awaitable[None]:
        """Do nothing: the values are there."""
        return _Done()

    def start_auto_refresh(self, interval: float = 60) -> Awaitable[None]:  # noqa: ARG002
        """Do nothing: the values change only when told."""
        return _Done()

    refresh = follow = close = initialize

    def set(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        """Change values by their addresses, flags by their names; call the listeners."""
        now = self.snapshot()
        known = now.ruled if flags is None else given({**now.ruled.prints, **flags})
        self._put(_merged(now.config, values or {}), known)

    @contextmanager
    def override(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        flags: Mapping[str, Any] | None = None,
    ) -> Iterator[Self]:
        """Change values by their addresses, flags by their names, for as long as the block runs."""
        before = self.snapshot()
        self.set(values, flags=flags)
        try:
            yield self
        finally:
            self._put(before.config, before.ruled)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    def _put(self, document: dict[str, Any], flags: Flags) -> None:
        self._state.put(Snapshot(document, Origin("static"), flags=flags), float("inf"))
        self._state.listeners.join()


def _merged(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = _thawed(nested(document))
    for address, value in values.items():
        *above, last = address.split(".")
        at = whole
        for step in above:
            below = at.get(step, MISSING)
            inner = at[step] = below if isinstance(below, dict) else {}
            at = inner
        at[last] = value
    return whole


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _thawed(below) for name, below in value.items()}
    return value
