"""Keys and documents of a level, as the server stores them."""

import json
from collections.abc import Iterator
from typing import Any

from configsync._errors import NotFound
from configsync.cli.api import PREFIX, Api
from configsync.cli.context import Level
from configsync.cli.failures import Code, Failure


def parsed(text: str) -> Any:
    """Return the value of JSON text, or raise ValueError; a member twice is none."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)


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
    return found
