"""Configs as objects: Pydantic models and dataclasses, made before anybody sees the config."""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Generic, Literal, TypeVar, Union

from configsync._document import nested
from configsync._errors import InvalidConfig, NotInitialized
from configsync._snapshot import Snapshot

T = TypeVar("T")
MOST_PLACES = 20
_SEQUENCES = (list, tuple, Sequence)
_MAPPINGS = (dict, Mapping)
Place = tuple[str, str]
"""An address, and what is wrong there; never the value."""


class Binding(Generic[T]):
    """A part of the config as an object of a class; `current` is always a valid one."""

    def __init__(self, model: type[T], prefix: str) -> None:
        self._model = model
        self._prefix = prefix.strip(".")
        self._make: Callable[[Any], T] = _maker(model)
        self._current: T | None = None

    @property
    def current(self) -> T:
        """Return the newest config that fitted."""
        if self._current is None:
            raise NotInitialized("nothing is loaded yet: call initialize() first")
        return self._current

    def prepare(self, snapshot: Snapshot) -> T:
        """Return the object for a config; raise InvalidConfig with places, never values."""
        try:
            return self._make(part_of(snapshot.config, self._prefix))
        except UnfitError as unfit:
            places = unfit.places
        within = f"{self._prefix}." if self._prefix else ""
        shown = [f"{within}{place} ({what})" for place, what in places[:MOST_PLACES]]
        more = f" and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
        name = self._model.__name__
        raise InvalidConfig(f"the config does not fit {name}: {', '.join(shown)}{more}")

    def assign(self, value: T) -> None:
        """Make a prepared object the current one."""
        self._current = value


class UnfitError(Exception):
    """A value that does not fit a type."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__()
        self.places = places


def part_of(config: Mapping[str, Any], prefix: str) -> Any:
    """Return the part of a config below an address, an empty object if there is none."""
    part: Any = nested(config)
    for step in prefix.split(".") if prefix else ():
        part = part.get(step, {}) if isinstance(part, Mapping) else {}
    return part


def _maker(model: type[T]) -> Callable[[Any], T]:
    validate = getattr(model, "model_validate", None)
    if validate is not None:
        return lambda part: _validated(validate, part)
    if dataclasses.is_dataclass(model):
        return lambda part: typing.cast("T", _build(model, part, ""))
    raise TypeError("a config is bound to a Pydantic model or a dataclass")


def _validated(validate: Callable[[Any], T], part: Any) -> T:
    try:
        return validate(part)
    except ValueError as error:
        listed = getattr(error, "errors", None)
        if listed is None:
            raise UnfitError([("", type(error).__name__)]) from None
        found = listed(include_url=False, include_context=False, include_input=False)
    raise UnfitError([(".".join(map(str, one["loc"])), one["type"]) for one in found])


def _build(kind: Any, value: Any, place: str) -> Any:
    """Return a value as an annotation has it, dataclasses within included."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, place)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _build(arguments[0], value, place)
    if origin in {Union, types.UnionType}:
        return _any_of(arguments, value, place)
    if origin is Literal:
        return _checked(value, place, fits=value in arguments)
    return _container(origin or kind, arguments, value, place)


def _container(kind: Any, arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if kind in _SEQUENCES:
        return _sequence(kind, arguments, value, place)
    if kind in _MAPPINGS:
        return _mapping(arguments, value, place)
    return _scalar(kind, value, place)


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is Any or kind is object:
        return value
    if kind is None or kind is type(None):
        return _checked(value, place, fits=value is None)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise UnfitError([(place, "enum")]) from None
    fits = isinstance(kind, type) and isinstance(value, kind)
    return _checked(value, place, fits=fits and (kind is bool or not isinstance(value, bool)))


def _checked(value: Any, place: str, *, fits: bool) -> Any:
    if not fits:
        raise UnfitError([(place, "type")])
    return value


def _dataclass(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise UnfitError([(place, "object")])
    hints = typing.get_type_hints(kind, include_extras=True)
    unfit: list[Place] = []
    made: dict[str, Any] = {}
    for one in dataclasses.fields(kind):
        below = f"{place}.{one.name}" if place else one.name
        if not one.init:
            continue
        if one.name in value:
            try:
                made[one.name] = _build(hints[one.name], value[one.name], below)
            except UnfitError as error:
                unfit += error.places
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            unfit.append((below, "missing"))
    if unfit:
        raise UnfitError(unfit)
    try:
        return kind(**made)
    except (ValueError, TypeError) as error:  # __post_init__
        raise UnfitError([(place, type(error).__name__)]) from None


def _any_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    unfit: list[Place] = []
    for kind in kinds:
        try:
            return _build(kind, value, place)
        except UnfitError as error:
            unfit = unfit or error.places
    raise UnfitError(unfit)


def _sequence(kind: Any, arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if not isinstance(value, tuple):
        raise UnfitError([(place, "array")])
    of = arguments[0] if arguments else Any
    if kind is tuple and arguments and Ellipsis not in arguments:
        if len(arguments) != len(value):
            raise UnfitError([(place, "length")])
        kinds = arguments
    else:
        kinds = (of,) * len(value)
    built = [
        _build(one, item, f"{place}.{number}")
        for number, (one, item) in enumerate(zip(kinds, value, strict=True))
    ]
    return built if kind is list else tuple(built)


def _mapping(arguments: tuple[Any, ...], value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UnfitError([(place, "object")])
    of = arguments[1] if len(arguments) > 1 else Any
    return {name: _build(of, item, f"{place}.{name}") for name, item in value.items()}
