"""Flags as programs ask for them: what somebody gets, and how it came to be.

Importing this imports no evaluator: that is the extra `flags`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from configsync._document import MISSING, freeze
from configsync._errors import FlagsNotInstalled
from configsync._rules.contexts import ALIAS, UNIT, context_of
from configsync._rules.results import Reason, Result
from configsync._usage import Served, Tally, Usage

FLAG_NOT_FOUND: Final = "FLAG_NOT_FOUND"
PROVIDER_NOT_READY: Final = "PROVIDER_NOT_READY"
TYPE_MISMATCH: Final = "TYPE_MISMATCH"
INVALID_CONTEXT: Final = "INVALID_CONTEXT"
PARSE_ERROR: Final = "PARSE_ERROR"
ERROR: Final = "error"
NOT_INSTALLED: Final = "flags need an extra: pip install 'configsync[flags]'"

Context = Mapping[str, Any]


class FlagDetails(NamedTuple):
    """What somebody gets of a flag, and why.

    `reason` is the server's (`rule_match`, `globally_disabled`, …), or `error` where nothing could
    be evaluated. With an `error` (OpenFeature's codes) the value is the caller's default.
    """

    name: str
    value: Any
    variant: str | None
    reason: str
    rule_id: str | None
    bucket: int | None
    revision: int | None
    error: str | None


@cache
def is_installed() -> bool:
    """Tell whether the extra `flags` is there."""
    return all(find_spec(name) is not None for name in ("mmh3", "re2"))


def failure(name: str, default: Any, error: str) -> FlagDetails:
    """Return what is told where nothing could be evaluated."""
    return FlagDetails(name, default, None, ERROR, None, None, None, error)


class Flag:
    """One flag that is ready, and how often each of its variants was served."""

    __slots__ = ("counts", "evaluate")

    def __init__(self, evaluate: Callable[[Context], Result], counts: dict[Served, Tally]) -> None:
        self.evaluate = evaluate
        self.counts = counts

    def count(self, result: Result) -> None:
        """Count an evaluation."""
        key = (result.variant, result.rule_id)
        tally = self.counts.get(key) or self.counts.setdefault(key, Tally())
        tally.hit()


class Flags:
    """The flags of one moment. These are none: none were ever loaded."""

    __slots__ = ()
    tag: str | None = None
    document: Mapping[str, Any] | None = None
    prints: Mapping[str, Any] = {}

    def value(self, name: str, user_id: Any, context: Context | None, default: Any) -> Any:
        """Return the value that somebody gets, or the default; never raise for the context."""
        return self.details(name, user_id, context, default).value

    def details(
        self, name: str, user_id: Any, context: Context | None, default: Any
    ) -> FlagDetails:
        """Return what somebody gets, and why."""
        del user_id, context
        if not is_installed():
            raise FlagsNotInstalled(NOT_INSTALLED)
        return failure(name, default, PROVIDER_NOT_READY)

    def everything(self, user_id: Any, context: Context | None) -> dict[str, Any]:
        """Return the values that somebody gets of all flags that can be evaluated."""
        del user_id, context
        if not is_installed():
            raise FlagsNotInstalled(NOT_INSTALLED)
        return {}


NO_FLAGS = Flags()


class LoadedFlags(Flags):
    """Flags that were loaded.

    `document` is the server's, `tag` its ETag; `broken` are names of flags that this library cannot
    evaluate; two flags whose `prints` are equal evaluate to the same.
    """

    __slots__ = ("_flags", "_usage", "broken", "document", "prints", "tag")

    def __init__(
        self,
        flags: Mapping[str, Flag],
        usage: Usage,
        *,
        prints: Mapping[str, Any],
        broken: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
        tag: str | None = None,
    ) -> None:
        self._flags = flags
        self._usage = usage
        self.prints = prints
        self.broken = broken or {}
        self.document = document
        self.tag = tag

    def value(self, name: str, user_id: Any, context: Context | None, default: Any) -> Any:
        """Return the value that somebody gets, or the default; never raise for the context."""
        try:  # the short way, which is measured; what is not common takes the long one
            flag = self._flags[name]
            if type(user_id) is str:  # what `context_of` returns then
                who = {UNIT: user_id, ALIAS: user_id}
                asking = {**context, **who} if context else who
            else:
                asking = context_of(user_id, context)
            variant, value, _, rule_id, _, _, error = flag.evaluate(asking)
            flag.counts[variant, rule_id].hit()
        except Exception:  # noqa: BLE001  (whatever a context does)
            return self.details(name, user_id, context, default).value
        if error is None:
            if type(value) is type(default):
                return value
            value = fitting(value, default)
        return default if error is not None or value is MISSING else value

    def details(
        self, name: str, user_id: Any, context: Context | None, default: Any
    ) -> FlagDetails:
        """Return what somebody gets, and why."""
        flag = self._flags.get(name)
        if flag is None:
            return self._missing(name, default)
        try:
            result = flag.evaluate(context_of(user_id, context))
        except Exception:  # noqa: BLE001  (whatever a context does)
            return failure(name, default, INVALID_CONTEXT)
        flag.count(result)
        return _told(name, result, default)

    def everything(self, user_id: Any, context: Context | None) -> dict[str, Any]:
        """Return the values that somebody gets of all flags that can be evaluated."""
        found = {name: self.details(name, user_id, context, None) for name in self._flags}
        return {name: one.value for name, one in found.items() if one.error is None}

    def _missing(self, name: str, default: Any) -> FlagDetails:
        if name in self.broken:
            return failure(name, default, PARSE_ERROR)
        self._usage.missed(name)
        return failure(name, default, FLAG_NOT_FOUND)


class GuardedFlags(Flags):
    """Flags behind a check that raises when they are not to be read any more."""

    __slots__ = ("_check", "_flags")

    def __init__(self, flags: Flags, check: Callable[[], None]) -> None:
        self._flags = flags
        self._check = check

    def details(
        self, name: str, user_id: Any, context: Context | None, default: Any
    ) -> FlagDetails:
        """Return what somebody gets, and why; or raise what the check raises."""
        self._check()
        return self._flags.details(name, user_id, context, default)

    def everything(self, user_id: Any, context: Context | None) -> dict[str, Any]:
        """Return the values of all flags; or raise what the check raises."""
        self._check()
        return self._flags.everything(user_id, context)


def given(values: Mapping[str, Any]) -> Flags:
    """Return flags that have these values for everybody."""
    frozen: dict[str, Any] = {name: freeze(value) for name, value in values.items()}
    usage = Usage()
    flags = {name: Flag(_always(value), usage.of(name)) for name, value in frozen.items()}
    return LoadedFlags(flags, usage, prints=frozen)


def _always(value: Any) -> Callable[[Context], Result]:
    result = Result("static", value, Reason.GLOBALLY_ENABLED, None, None, None, None)
    return lambda _: result


def _told(name: str, result: Result, default: Any) -> FlagDetails:
    variant, value, reason, rule_id, bucket, revision, error = result
    if error is None:
        value = fitting(value, default)
        error = TYPE_MISMATCH if value is MISSING else None
    value = value if error is None else default
    return FlagDetails(name, value, variant, reason, rule_id, bucket, revision, error)


def fitting(value: Any, default: Any) -> Any:
    """Return a value as the type of the default, or MISSING; None takes everything.

    Numbers are one type in JSON: 5.0 serves as an `int`, 5 as a `float`.
    """
    if default is None:
        return value
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(default, bool) and isinstance(value, bool) else MISSING
    if isinstance(default, int | float):
        return _number(value, default) if isinstance(value, int | float) else MISSING
    kinds = ((str, str), (Mapping, dict), (list | tuple, tuple))
    is_same = any(isinstance(default, one) and isinstance(value, other) for one, other in kinds)
    return value if is_same else MISSING


def _number(value: float, default: float) -> Any:
    if isinstance(default, float):
        try:
            return float(value)
        except OverflowError:
            return MISSING
    return int(value) if isinstance(value, int) or value.is_integer() else MISSING
