"""A server for all tests of the command line, and somebody at a prompt."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.prompt import KEY, Cli
from tests.client import PASSWORD
from tests.processes import Server, Stage


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Give one server for all tests of the command line."""
    stage = Stage()
    try:
        yield stage.server(API_KEY=KEY)
    finally:
        stage.close()


@pytest.fixture(scope="session")
def ada(server: Server) -> str:
    """Give the name of a person with a password."""
    with server.client() as client:
        body = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        assert client.post("/auth/register", json=body).status_code == 201
    return "ada"


@pytest.fixture
def cli(tmp_path: Path, server: Server) -> Cli:
    """Give the command line with all rights, by the environment."""
    home = tmp_path / "home"
    home.mkdir()
    return Cli(home, server.url)


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """Give the server to look at what a command did."""
    with server.client(headers={"X-API-Key": KEY}) as client:
        yield client


@pytest.fixture
def service() -> str:
    """Give a name that nobody has used."""
    return f"svc-{uuid.uuid4().hex[:10]}"
