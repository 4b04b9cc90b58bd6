"""Keys and documents of a level, as the server stores them."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from configsync._errors import NotFound
from configsync.cli.api import PREFIX, Api, expect
from configsync.cli.context import Level
from configsync.cli.failures import Code, Failure

MOST_DEPTH = 100
"""Of objects and arrays within each other; the server takes fewer."""


class TooDeepError(ValueError):
    """A value is nested so deeply that nothing can be done with it."""

    def __init__(self) -> None:
        super().__init__("it is nested too deeply")


def parsed(text: str) -> Any:
    """Return the value of JSON text, or raise ValueError; a member twice is none."""
    try:
        return shallow(
            json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
        )
    except RecursionError:
        raise TooDeepError from None


def shallow(value: Any) -> Any:
    """Return a value, or raise TooDeepError; one that holds itself is the deepest."""
    level = {0: value}
    for _ in range(MOST_DEPTH):
        level = {id(inner): inner for one in level.values() for inner in _inside(one)}
        if not level:
            return value
    raise TooDeepError


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member stands twice in one object")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def stored_keys(api: Api, level: Level, *, prefix: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the keys of a level, and of no other one."""
    query = {"app_id": level.service, "environment": level.environment, "prefix": prefix}
    for one in api.pages(f"{PREFIX}/configs", "configs", query):
        if one["environment"] == level.environment:
            yield one


def find_key(api: Api, level: Level, name: str) -> dict[str, Any] | None:
    """Return the key of that very name, if the level has one."""
    found = (one for one in stored_keys(api, level, prefix=name) if one["key"] == name)
    return next(found, None)


def require_key(api: Api, level: Level, name: str) -> dict[str, Any]:
    """Return the key of that very name, or raise Failure."""
    found = find_key(api, level, name)
    if found is None:
        raise Failure(
            f"{level} has no key {name!r}. See what is there with: configsync list", Code.NOT_FOUND
        )
    return found


def fetch(
    api: Api, level: Level, names: list[str] | None = None, *, at_least: int | None = None
) -> dict[str, Any]:
    """Return the effective config by key, with the addresses of its secrets."""
    body: dict[str, Any] = {"app_id": level.service, "environment": level.environment}
    if names is not None:
        body["keys"] = names
    query = {"min_revision": at_least}
    answer: dict[str, Any] = api.call(
        "POST", f"{PREFIX}/configs/fetch", query=query, body=body
    ).body
    expect(answer, configs=dict, secrets=list)
    return answer


def stored_document(api: Api, level: Level, *, reveal: bool = False) -> dict[str, Any] | None:
    """Return the document of a level, if it has one."""
    query = {"service": level.service, "environment": level.environment}
    if reveal:
        query["reveal"] = "true"
    try:
        found: dict[str, Any] = api.get("/config/get", query).body
    except NotFound as error:
        if error.code != "config_not_found":
            raise
        return None
    expect(found, config=(dict, type(None)), version=int)
    return found
