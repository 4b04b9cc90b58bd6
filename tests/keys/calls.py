"""The calls on keys that tests repeat."""

from typing import Any
from urllib.parse import quote

import httpx

from tests.client import Person

CONFIGS = "/api/v1/configs"
ITEMS = "/api/v1/config"
CHANGES = "/api/v1/changes"

Call = tuple[str, str, dict[str, Any], Any]

READS: list[Call] = [
    ("GET", CONFIGS, {}, None),
    ("GET", f"{CONFIGS}/{{id}}", {}, None),
    ("POST", f"{CONFIGS}/fetch", {}, {"app_id": "billing"}),
    ("GET", "/api/v1/versions/config/{id}", {}, None),
    ("GET", ITEMS, {}, None),
    ("GET", f"{ITEMS}/timeout", {"service_name": "billing"}, None),
    ("GET", f"{ITEMS}/{{id}}/history", {}, None),
]
WRITES: list[Call] = [
    ("POST", CONFIGS, {}, {"key": "new", "value": 1, "app_id": "billing"}),
    ("PUT", f"{CONFIGS}/{{id}}", {}, {"value": 99}),
    ("POST", "/api/v1/versions/rollback/{id}", {}, {"target_version": 1}),
    (
        "POST",
        CHANGES,
        {},
        {"changes": [{"service": "billing", "key": "x", "op": "set", "value": 1}]},
    ),
    ("POST", ITEMS, {}, {"key": "newer", "value": 1, "service_name": "billing"}),
    ("PUT", f"{ITEMS}/{{id}}", {}, {"value": 98}),
    ("DELETE", f"{CONFIGS}/{{id}}", {}, None),
    ("DELETE", f"{ITEMS}/{{id}}", {}, None),
]
BY_ID = [call for call in READS + WRITES if "{id}" in call[1]]


def label(call: Call) -> str:
    return f"{call[0]} {call[1]}"


def send(person: Person, call: Call, key_id: int, **params: Any) -> httpx.Response:
    """Make a call, `{id}` filled in."""
    method, path, query, body = call
    return person.request(method, path.format(id=key_id), params={**query, **params}, json=body)


def make(person: Person, key: str = "timeout", value: Any = 30, **more: Any) -> dict[str, Any]:
    """Create a key of `billing`, or of another level."""
    answer = person.post(CONFIGS, {"key": key, "value": value, "app_id": "billing", **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def put(person: Person, key_id: int, body: Any, **kwargs: Any) -> httpx.Response:
    return person.request("PUT", f"{CONFIGS}/{key_id}", json=body, **kwargs)


def write(person: Person, key_id: int, **body: Any) -> dict[str, Any]:
    """Change a key."""
    answer = put(person, key_id, body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def delete(person: Person, key_id: int, **kwargs: Any) -> httpx.Response:
    return person.request("DELETE", f"{CONFIGS}/{key_id}", **kwargs)


def drop(person: Person, key_id: int) -> None:
    """Delete a key that is there."""
    answer = delete(person, key_id)
    assert (answer.status_code, answer.content) == (204, b""), answer.text


def roll_back(person: Person, key_id: int, version: int, **more: Any) -> httpx.Response:
    body = {"target_version": version, **more}
    return person.post(f"/api/v1/versions/rollback/{key_id}", body)


def change(person: Person, *changes: dict[str, Any], **more: Any) -> httpx.Response:
    """Send a change set."""
    return person.post(CHANGES, {"changes": list(changes), **more})


def fetch(person: Person, app_id: str = "billing", **more: Any) -> httpx.Response:
    return person.post(f"{CONFIGS}/fetch", {"app_id": app_id, **more})


def item(person: Person, key: str, **params: Any) -> httpx.Response:
    """Get the effective value of a key of `billing`."""
    path = f"{ITEMS}/{quote(key, safe='')}"
    return person.get(path, **{"service_name": "billing", **params})


def key_of(person: Person, name: str, app_id: str = "billing", **params: Any) -> dict[str, Any]:
    """Find a stored key by its name."""
    found = person.get(CONFIGS, app_id=app_id, prefix=name, **params).json()["configs"]
    (one,) = [key for key in found if key["key"] == name]
    return dict(one)


def versions(person: Person, key_id: int) -> list[dict[str, Any]]:
    """Return the versions of a key, oldest first."""
    answer = person.get(f"/api/v1/versions/config/{key_id}")
    assert answer.status_code == 200, answer.text
    return list(reversed(answer.json()["versions"]))


def kinds(person: Person, key_id: int) -> list[str]:
    """Return what happened to a key, oldest first."""
    return [one["change_type"] for one in versions(person, key_id)]


def history(person: Person, key_id: int) -> list[dict[str, Any]]:
    """Return the changes of a key as the second family tells them, oldest first."""
    answer = person.get(f"{ITEMS}/{key_id}/history")
    assert answer.status_code == 200, answer.text
    return list(reversed(answer.json()["history"]))


def document(person: Person, service: str = "billing", **params: Any) -> Any:
    """Return a stored document."""
    answer = person.get("/config/get", service=service, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["config"]


def head(person: Person, **params: Any) -> int:
    """Return the newest revision."""
    answer = person.get("/config/list", **params)
    return int(answer.headers["x-configsync-revision"].rpartition("-")[2])
