"""How secrets stand in documents (no SQL, no HTTP).

Written: `{"$secret": "plain"}`, or the stored form to keep a secret where it is or move it.
Stored: `{"$secret": "••••••••", "handle": …, "fingerprint": …}`, which is also what readers see.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from app.formats import json
from app.secrets.errors import InvalidSecret, MaskedValue, UnknownHandle

SECRET, HANDLE, FINGERPRINT, FERNET = "$secret", "handle", "fingerprint", "$fernet"
BULLETS = "••••••••"
MEMBERS = frozenset({SECRET, HANDLE, FINGERPRINT})
_HANDLE = re.compile(r"sec_[0-9a-f]{24}")
_STORED = f'{{"{SECRET}":'
_HINTS = (f'"{SECRET}"', f'"{FERNET}"', BULLETS)

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A secret as somebody wrote it: the value, or the handle of one that is kept, or both."""

    path: Path
    value: Any
    handle: str | None
    is_kept: bool = False
    is_fernet: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A secret in a stored document."""

    path: Path
    handle: str
    fingerprint: str

    @property
    def address(self) -> str:
        """Return the path with dots."""
        return ".".join(map(str, self.path))


def is_handle(text: str) -> bool:
    """Say whether a text has the form of a handle."""
    return _HANDLE.fullmatch(text) is not None


def marker(handle: str, fingerprint: str, value: Any = BULLETS) -> dict[str, Any]:
    """Return the stored form of a secret, or with its value the revealed one."""
    return {SECRET: value, HANDLE: handle, FINGERPRINT: fingerprint}


def is_marked(value: Any) -> bool:
    """Say whether a value is written as a secret."""
    return isinstance(value, dict) and (SECRET in value or FERNET in value)


def is_secret(value: Any) -> bool:
    """Say whether a member of a stored document is a secret."""
    return isinstance(value, dict) and SECRET in value and HANDLE in value


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Say whether a value has members of its own; a secret is one value."""
    return isinstance(value, dict) and not is_secret(value)


def is_secret_text(text: str | None) -> bool:
    """Say whether a stored value, as JSON text, is a secret as a whole."""
    return text is not None and text.startswith(_STORED) and f'"{HANDLE}"' in text


def may_have_secrets(text: str | None) -> bool:
    """Say whether a stored document may have secrets in it; false is certain."""
    return text is not None and _HINTS[0] in text


def needs_sealing(text: str) -> bool:
    """Say whether a document that comes in may have something to be looked at."""
    return any(hint in text for hint in _HINTS)


def refuse_names(names: Iterable[str]) -> None:
    """Raise InvalidSecret for keys that would make a whole document look like a secret."""
    for name in (SECRET, FERNET):
        if name in names:
            raise InvalidSecret((name,), "a document is no secret, but its members may be")


def find(value: Any) -> list[Found]:
    """Return the secrets of a stored value, in its order."""
    return [
        Found(path, one[HANDLE], one.get(FINGERPRINT, ""))
        for path, one in _walk(value, ())
        if is_secret(one)
    ]


def read(value: Any, path: Path = ()) -> list[Written]:
    """Return the secrets in a value that comes in, in its order; raise InvalidSecret, MaskedValue.

    The order is that in which `replace` meets them.
    """
    found = []
    for place, one in _walk(value, path):
        if is_marked(one):
            found.append(_read(one, place))
        elif one == BULLETS:
            raise MaskedValue(place)
    return found


def _read(one: dict[str, Any], path: Path) -> Written:
    if FERNET in one:
        if len(one) > 1 or not isinstance(one[FERNET], str):
            raise InvalidSecret(path, "$fernet stands alone and is a string")
        return Written(path, one[FERNET], None, is_fernet=True)
    value, handle = one[SECRET], one.get(HANDLE)
    if not one.keys() <= MEMBERS:
        raise InvalidSecret(path, "beside $secret there may only be handle and fingerprint")
    if handle is None:
        if not isinstance(value, str) or HANDLE in one:
            raise InvalidSecret(path, "$secret is a string; others are written with is_encrypted")
        if value == BULLETS:
            raise InvalidSecret(path, "the bullets stand for a secret that only a handle names")
    elif not isinstance(handle, str):
        raise InvalidSecret(path, "handle is a string")
    elif not is_handle(handle):  # it may be anything, a secret too: it goes no further
        raise UnknownHandle(path)
    kept = handle is not None and (value is None or value == BULLETS)
    return Written(path, value, handle, is_kept=kept)


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield secrets and strings, outermost first, without looking into secrets."""
    if is_marked(value):
        yield path, value
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from _walk(below, (*path, name))
    elif isinstance(value, list):
        for place, below in enumerate(value):
            yield from _walk(below, (*path, place))
    elif isinstance(value, str):
        yield path, value


def replace(value: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a value with every secret in it put through a function."""
    if is_marked(value):
        return change(value)
    if isinstance(value, dict):
        return {name: replace(below, change) for name, below in value.items()}
    if isinstance(value, list):
        return [replace(below, change) for below in value]
    return value


def mask(value: Any) -> Any:
    """Return a stored value with bullets in the place of secrets."""
    return replace(value, lambda one: BULLETS if is_secret(one) else one)


def veil(value: Any) -> Any:
    """Return a value that came in with bullets in the place of what was written as a secret."""
    return replace(value, lambda one: one | dict.fromkeys(one.keys() & {SECRET, FERNET}, BULLETS))


def comparable_text(text: str) -> str:
    """Return a stored document as text, in which equal secrets are equal."""
    return json.dumps(comparable(json.loads(text))) if may_have_secrets(text) else text


def comparable(value: Any) -> Any:
    """Return a stored value in which equal secrets are equal, whatever their handles."""
    return replace(
        value,
        lambda one: {SECRET: BULLETS, FINGERPRINT: one[FINGERPRINT]} if is_secret(one) else one,
    )
