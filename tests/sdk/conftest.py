"""One server for all tests of the library that do not break it, and servers that are wrong."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest
from configsync import ConfigClient, SyncConfigClient

from tests.processes import Server, Stage
from tests.sdk.desk import KEY, Desk

NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    stage = Stage()
    yield stage.server(API_KEY=KEY)
    stage.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def desk(server: Server) -> Iterator[Desk]:
    """Give somebody who changes the config of a service that no other test uses."""
    with Desk(server.url, f"app-{next(NUMBERS)}") as desk:
        yield desk


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client(desk: Desk, stack: ExitStack) -> Callable[..., SyncConfigClient]:
    """Make clients of the desk's service, which are closed in the end."""

    def make(**options: Any) -> SyncConfigClient:
        made = SyncConfigClient(**{**desk.options, **options})
        stack.callback(made.close)
        return made

    return make


@pytest.fixture
def aclient(desk: Desk) -> Callable[..., ConfigClient]:
    """Make clients of the desk's service for programs with a loop."""
    return lambda **options: ConfigClient(**{**desk.options, **options})


@pytest.fixture
def wrong(stack: ExitStack) -> Callable[[Callable[[BaseHTTPRequestHandler], None]], str]:
    """Start a server that answers everything as a function does; return its address."""

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            body = b""

            def do_POST(self) -> None:
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(server.server_close)
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    return start


def pytest_configure(config: pytest.Config) -> None:
    """Allow the tags of examples in OpenFeature's behaviour suite, which become marks."""
    for tag in ("booleans", "strings", "numbers", "objects"):
        config.addinivalue_line("markers", f"{tag}: examples of OpenFeature's behaviour suite")


DIFFERENT = {
    "Metadata": "flags have no metadata of their own; ours tells revision, rule and bucket",
    "metadata": "flags have no metadata of their own; ours tells revision, rule and bucket",
    "reason-codes-cached": "flags are evaluated anew each time, there is nothing to cache",
}


def pytest_bdd_apply_tag(tag: str, function: Callable[..., Any]) -> bool:
    """Mark what differs from OpenFeature's behaviour suite on purpose; other tags say nothing."""
    if tag in DIFFERENT:
        pytest.mark.xfail(reason=DIFFERENT[tag], strict=True)(function)
    return True
