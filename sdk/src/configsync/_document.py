"""Documents as programs see them: frozen, flat, with secrets or without."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn

BULLETS = "••••••••"
"""What the server shows instead of a secret that the key may not read; no value can be this."""
MISSING: Any = object()
_CONTAINERS = frozenset({dict, list, tuple})


class FrozenDict(dict[str, Any]):
    """A dict that refuses to be changed; JSON, pickle and copies work."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a config is read-only")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, Any]]]:
        """Pickle as a plain dict; unpickling would set item by item."""
        return (FrozenDict, (dict(self),))


def freeze(value: Any) -> Any:
    """Return a JSON value with objects as frozen dicts and arrays as tuples."""
    if isinstance(value, FrozenDict):
        return value
    if isinstance(value, dict):
        return FrozenDict(
            {
                name: freeze(below) if type(below) in _CONTAINERS else below
                for name, below in value.items()
            }
        )
    if isinstance(value, list | tuple):
        return tuple([freeze(below) for below in value])
    return value


def flatten(document: Mapping[str, Any], opaque: Collection[str] = ()) -> dict[str, Any]:
    """Return every address and its value, containers too.

    An address that is spelled in more than one way is what the server's look-up finds: the
    literal name first, then the path whose first step is shortest. `opaque` addresses are
    values as a whole, which no path leads into.
    """
    flat: dict[str, Any] = {}
    _flatten(document, "", frozenset(opaque), flat)
    return flat


def _flatten(
    document: Mapping[str, Any], prefix: str, opaque: frozenset[str], flat: dict[str, Any]
) -> None:
    inner = [name for name, below in document.items() if isinstance(below, dict) and below]
    if "." in "".join(inner):
        inner.sort(key=lambda name: -name.count("."))  # the shortest comes last, and wins
    for name in inner:
        address = prefix + name
        if address not in opaque:
            _flatten(document[name], f"{address}.", opaque, flat)
    # With a hundred thousand keys this must not be a loop of Python's.
    flat.update(zip(map(prefix.__add__, document), document.values(), strict=True))


def nested(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document whose dotted names are objects within objects, where nothing is in the way.

    A literal name wins over the same address spelled as objects, as it does in a look-up.
    """
    if not _has_dotted_names(document):
        return document
    whole: dict[str, Any] = {}
    _nest(whole, document)
    return whole


def _has_dotted_names(document: Mapping[str, Any]) -> bool:
    return any(
        "." in name or (isinstance(below, dict) and _has_dotted_names(below))
        for name, below in document.items()
    )


def _nest(into: dict[str, Any], document: Mapping[str, Any]) -> None:
    for name in sorted(document, key=lambda name: name.count(".")):
        *above, last = name.split(".")
        at: Any = into
        for step in above:
            at = at.setdefault(step, {}) if isinstance(at, dict) else None
        if not isinstance(at, dict):  # `log` has a value, and `log.file` too
            at, last = into, name
        below = document[name]
        if not isinstance(below, dict):
            at[last] = below
            continue
        inner = at.get(last)
        if not isinstance(inner, dict):
            inner = at[last] = {}
        _nest(inner, below)


def masked(document: Any, path: str = "") -> Iterator[str]:
    """Yield the addresses of secrets that came as bullets."""
    for address, below in _below(document, path):
        if below == BULLETS:
            yield address
        elif isinstance(below, dict | list):
            yield from masked(below, f"{address}.")


def without(document: Any, addresses: Collection[str], path: str = "") -> Any:
    """Return a document without some values; in an array null takes their place."""
    if isinstance(document, dict):
        return {
            name: without(below, addresses, f"{path}{name}.")
            for name, below in document.items()
            if path + name not in addresses
        }
    if isinstance(document, list | tuple):
        return [
            None if f"{path}{place}" in addresses else without(below, addresses, f"{path}{place}.")
            for place, below in enumerate(document)
        ]
    return document


def _below(document: Any, path: str) -> Iterator[tuple[str, Any]]:
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for name, below in pairs:
        yield f"{path}{name}", below
