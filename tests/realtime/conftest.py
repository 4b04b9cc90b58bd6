"""A server on a port, in a thread of the tests, for all tests of a module."""

import asyncio
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest
import uvicorn

from app.core.protocol import Protocol
from app.launcher.commands import MAX_MESSAGE_BYTES
from app.main import create_server
from app.outbox.recorder import recorder
from app.realtime.live import Live
from app.usage.recorder import usage
from tests.client import Person, create_key, first_admin, register
from tests.conftest import TEMPLATE, environment, execute, url_of
from tests.processes import until
from tests.streams import Stream


class Place:
    """A running server, its people, and its insides: `live` is to be used in its loop only."""

    def __init__(self, server: uvicorn.Server, url: str) -> None:
        self.server = server
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self._numbers = count(1)
        self._root: Person | None = None

    @property
    def live(self) -> Live:
        """Return the streams of the server."""
        dispatcher: Any = self.server.config.loaded_app
        while not isinstance(dispatcher, Live):
            dispatcher = dispatcher.app
        return dispatcher

    def do(self, work: Callable[[], Any]) -> Any:
        """Run something in the server's loop; return what it returns."""

        async def run() -> Any:
            return work()

        loop = self.live.feed._loop
        assert loop is not None
        return asyncio.run_coroutine_threadsafe(run(), loop).result(10)

    def count(self) -> int:
        """Return how many listeners there are."""
        return len(self.do(self.live.listeners))

    @property
    def root(self) -> Person:
        """Return the admin."""
        if self._root is None:
            self._root = first_admin(self.client)  # type: ignore[arg-type]
        return self._root

    def fresh(self) -> str:
        """Return a name that nobody has used."""
        return f"p{next(self._numbers)}"

    def person(self) -> Person:
        """Return somebody new, in a workspace that is empty."""
        return register(self.client, self.fresh())  # type: ignore[arg-type]

    def stream(self, who: Person | None = None, **more: Any) -> Stream:
        """Ask for a stream."""
        return Stream(self.url, who.token if who else "", **more)

    def team(self) -> tuple[Person, str]:
        """Return the owner and the slug of a workspace that others can be members of."""
        owner, slug = self.person(), self.fresh()
        assert owner.post("/api/v1/workspaces", {"slug": slug}).status_code == 201
        return owner, slug

    def key(self, person: Person, **body: Any) -> tuple[Person, dict[str, Any]]:
        """Return a caller with a new API key, and the key as it was shown."""
        made = create_key(person, **{"scopes": {"actions": ["read"]}, **body})
        return Person(person.client, made["key"], made["id"], made["name"]), made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("realtime")
    database = f"test_{uuid.uuid4().hex}"
    execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    with environment(
        DATABASE_URL=url_of(database),
        DATA_DIR=str(folder / "data"),
        AUDIT_LOG_FILE=str(folder / "audit.log"),
        SECRET_KEY="test-signing-key-0123456789-abcdefghijkl",
        ENCRYPTION_KEY="test-encryption-key-0123456789-abcdefgh",
        MAX_DOCUMENT_BYTES="1000000",
        DB_POOL_SIZE="8",
        MAX_LISTENERS="300",
    ):
        recorder.__init__()
        usage.__init__()
        # With its protocol named, or asyncio leaves Nagle's algorithm on.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # soon full
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            create_server(),
            http=Protocol,
            log_config=None,
            log_level="warning",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
        )
        thread.start()
        until(lambda: server.started, "the server is up")
        place = Place(server, url)
        yield place
        place.client.close()
        place.do(place.live.end)  # as the signal does for a server that is a process
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
    execute(f"DROP DATABASE {database} WITH (FORCE)")
