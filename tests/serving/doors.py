"""Two doors into one application: the dispatcher, and the framework without it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
from fastapi.testclient import TestClient

from tests.client import Person

ITEMS = "/api/v1/config"
FETCH = "/api/v1/configs/fetch"
OWN = {"x-request-id"}


@dataclass(frozen=True)
class Call:
    """A read, as somebody sends it."""

    path: str
    params: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.path} {self.params} {self.body or ''} {self.headers or ''}"


def stored(service: str = "billing", environment: str | None = None, **more: Any) -> Call:
    """Return the read of the stored document of a level."""
    return Call("/config/get", {"service": service, **level(environment), **more})


def effective(service: str = "billing", environment: str | None = None, **more: Any) -> Call:
    """Return the read of what a service gets."""
    return Call(f"/config/{service}", {**level(environment), **more})


def fetch(service: str = "billing", environment: str | None = None, **more: Any) -> Call:
    """Return the fetch of all or some keys."""
    return Call(FETCH, {}, {"app_id": service, **level(environment), **more})


def item(
    key: str, service: str | None = "billing", environment: str | None = None, **more: Any
) -> Call:
    """Return the read of one key."""
    named = {} if service is None else {"service_name": service}
    path = f"{ITEMS}/{quote(key, safe='')}"
    return Call(path, {**named, **level(environment), **more})


def level(environment: str | None) -> dict[str, str]:
    """Return an environment, if there is one, as a parameter."""
    return {} if environment is None else {"environment": environment}


def every(services: tuple[str, ...], environments: tuple[str | None, ...]) -> Iterator[Call]:
    """Yield reads of whole configs in every form."""
    for service, environment in product(services, environments):
        yield stored(service, environment)
        yield effective(service, environment)
        yield fetch(service, environment)


class Doors:
    """A client of the whole stack, and one of the same application without the dispatcher.

    Both run in the event loop of the first, which has the lifespan.
    """

    def __init__(self, client: TestClient) -> None:
        self.front = client
        dispatcher: Any = client.app
        self.framework = dispatcher.app.app
        self.back = self.client(self.framework)

    def client(self, app: Any = None, *, address: str = "testclient") -> TestClient:
        """Return one more client in the same event loop, which calls from an address."""
        made = TestClient(
            app or self.front.app, raise_server_exceptions=False, client=(address, 50000)
        )
        made.portal = self.front.portal
        return made

    def differences(self, person: Person | None, call: Call, *, times: int = 2) -> list[str]:
        """Make a call by both doors, the first one several times; return what differs."""
        expected = facts(send(self.back, person, call))
        found = []
        for turn in range(times):
            given = facts(send(self.front, person, call))
            found += [
                f"{call} as {person.username if person else 'nobody'}, turn {turn}: {name}: "
                f"{given.get(name)!r}, by the framework {expected.get(name)!r}"
                for name in sorted({*given, *expected})
                if given.get(name) != expected.get(name)
            ]
        return found


def send(client: TestClient, person: Person | None, call: Call) -> httpx.Response:
    """Send a call to one of the doors."""
    headers = dict(call.headers)
    if person is not None:
        headers = {"Authorization": f"Bearer {person.token}", **headers}
    if call.body is None:
        return client.get(call.path, params=call.params, headers=headers)
    return client.post(call.path, params=call.params, headers=headers, json=call.body)


def facts(answer: httpx.Response) -> dict[str, Any]:
    """Return everything of an answer that must not differ."""
    body = answer.text
    if "problem+json" in answer.headers.get("content-type", ""):
        body = answer.json() | {"request_id": None, "instance": None}
    headers = {
        name: text
        for name, text in answer.headers.items()
        if name not in OWN and not (name == "content-length" and answer.status_code >= 400)
    }
    return {"status": answer.status_code, "body": body, **headers}
