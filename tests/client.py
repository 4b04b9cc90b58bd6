"""People who use the server: a client with a token, and the calls that tests repeat."""

from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts.service import create_first_admin
from app.core import db
from app.realtime.live import STREAMS

PASSWORD = "correct horse battery staple"


class Person:
    """Somebody logged in; `get`, `post` … send the token along."""

    def __init__(self, client: TestClient, token: str, user_id: int, username: str) -> None:
        self.client = client
        self.token = token
        self.id = user_id
        self.username = username

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send a request as this person."""
        headers = {"Authorization": f"Bearer {self.token}", **kwargs.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **kwargs)

    def get(self, path: str, **params: Any) -> httpx.Response:
        """GET with query parameters."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> httpx.Response:
        """POST a JSON body."""
        if body is not None:
            kwargs["json"] = body
        return self.request("POST", path, **kwargs)

    def update(self, name: str, config: dict[str, Any], **more: Any) -> httpx.Response:
        """Store a document."""
        return self.post("/config/update", {"name": name, "config": config, **more})

    def version_ids(self, name: str, **params: Any) -> list[int]:
        """Return the ids of a document's versions, oldest first."""
        versions = self.get("/config/versions", name=name, **params).json()["versions"]
        return [version["id"] for version in reversed(versions)]


class Briefly:
    """A server for clients that wait for the end of an answer: streams end with their first frame.

    The rest, and that they go on, is for `tests/realtime`.
    """

    def __init__(self, server: ASGIApp) -> None:
        self.server = server

    def __getattr__(self, name: str) -> Any:
        """Be the server otherwise."""
        return getattr(self.server, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        is_over = False

        async def send_first(message: Message) -> None:
            nonlocal is_over
            if not is_over:
                is_over = bool(message.get("body"))
                await send({**message, "more_body": False} if is_over else message)

        is_stream = scope["type"] == "http" and scope["path"].rstrip("/") in STREAMS
        await self.server(scope, receive, send_first if is_stream else send)


def framework(client: TestClient) -> FastAPI:
    """Return the application behind what a client calls."""
    app: Any = client.app
    while not isinstance(app, FastAPI):
        app = app.app
    return app


def login(client: TestClient, username: str, password: str = PASSWORD) -> Person:
    """Log in."""
    answer = client.post("/auth/login", data={"username": username, "password": password})
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    me = client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).json()
    return Person(client, token, me["id"], me["username"])


def register(client: TestClient, username: str) -> Person:
    """Register and log in."""
    answer = client.post(
        "/auth/register",
        json={"username": username, "email": f"{username}@example.com", "password": PASSWORD},
    )
    assert answer.status_code == 201, answer.text
    return login(client, username)


def first_admin(client: TestClient) -> Person:
    """Create the first admin and log in."""
    with db.transaction() as session:
        create_first_admin(session, username="root", email="root@example.com", password=PASSWORD)
    return login(client, "root")


def create_key(person: Person, *, workspace: str | None = None, **body: Any) -> dict[str, Any]:
    """Create an API key; `scopes` and `expires_at` as on the wire."""
    query = f"?workspace={workspace}" if workspace else ""
    answer = person.post(f"/api/v1/api-keys{query}", {"name": "a key", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def program(person: Person, *, workspace: str | None = None, **scopes: Any) -> Person:
    """Return a caller with a new API key of these scopes."""
    made = create_key(person, workspace=workspace, scopes=scopes)
    return Person(person.client, made["key"], made["id"], made["name"])


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem document; return it."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert isinstance(problem["detail"], str)
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return dict(problem)
