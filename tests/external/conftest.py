"""A server with flags, and the stock clients: in Python, in Node, in a browser."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.external.board import KEY, PRODUCTION, Board, fill
from tests.external.browser import Browser, Tab
from tests.external.programs import SCRIPTS
from tests.processes import Server, Stage


class Quiet(SimpleHTTPRequestHandler):
    """Serve files, say nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def pages() -> Iterator[str]:
    """Serve the page from an origin of its own; return it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SCRIPTS)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def server(pages: str) -> Iterator[Server]:
    stage = Stage()
    try:
        yield stage.server(API_KEY=KEY, CORS_ORIGINS=pages)
    finally:
        stage.close()


@pytest.fixture(scope="session")
def board(server: Server) -> Iterator[Board]:
    with Board(server.url) as board:
        fill(board)
        yield board


@pytest.fixture(scope="session")
def key(board: Board) -> str:
    """Return a key that reads production, which is so the environment of its questions."""
    return board.key(PRODUCTION)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def tab(browser: Browser, pages: str) -> Iterator[Tab]:
    """Give the page with the stock provider, not started, in a browser that has stored nothing."""
    with browser.tab() as tab:
        tab.open(f"{pages}/page.html")
        yield tab
