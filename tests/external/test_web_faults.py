"""The stock provider for browsers while servers start again and keys are revoked."""

from collections.abc import Iterator

import pytest

from tests.external.board import KEY, PRODUCTION, STAGING, Board
from tests.external.browser import Tab
from tests.external.web import Web
from tests.processes import Server, Stage, until

pytestmark = pytest.mark.external

SIGNING, OTHER = ("external-signing-key-0123456789-" + letter * 10 for letter in "ab")


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize("signing", [SIGNING, OTHER], ids=["the_same_key", "another_key"])
def test_it_goes_on_when_the_server_has_started_again(
    tab: Tab, stage: Stage, pages: str, signing: str
):
    """With another signing key the stream's address is no good any more, as after a long night."""
    settings = {"API_KEY": KEY, "CORS_ORIGINS": pages, "WORKERS": "2"}
    server = stage.server(SECRET_KEY=SIGNING, **settings)
    web = Web(tab, server.url)
    with Board(server.url) as board:
        flag = board.make("durable", is_enabled=False)
        assert web.start(board.key(PRODUCTION)) == "READY"
    web.listen()
    server.end()
    until(lambda: web.see("streams")[0]["failed"], "the stream is lost")
    stage.server(port=server.port, SECRET_KEY=signing, **settings)
    until(lambda: sum(one["opened"] for one in web.see("streams")) > 1, "the stream is open again")
    with Board(server.url) as board:
        board.change(flag, is_enabled=True)
        web.shows("durable", True)
        board.change(flag, is_enabled=False)
        web.shows("durable", False)
    assert signing == SIGNING or len({one["url"] for one in web.see("streams")}) > 1


def test_a_key_that_is_revoked_hears_no_more(tab: Tab, server: Server, board: Board):
    flag = board.make("confidential", STAGING, is_enabled=False)
    key = board.new_key(STAGING)
    web = Web(tab, server.url)
    web.start(key["key"])
    web.listen()
    board.revoke(key)
    until(lambda: web.see("streams")[0]["isClosed"], "the stream is refused")
    until(lambda: web.see("requests")[-1]["status"] == 401, "questions are refused")
    board.change(flag, is_enabled=True)
    assert web.ask("confidential").value is False
    assert web.see("requests")[-1]["status"] == 401


def test_a_page_that_was_hidden_asks_when_it_is_seen_again(tab: Tab, server: Server, board: Board):
    flag = board.make("behind", STAGING, is_enabled=False)
    web = Web(tab, server.url)
    web.start(board.key(STAGING), inactivityDelaySec=0)
    web.listen()
    tab.call("setVisible", False)
    until(lambda: web.see("streams")[0]["isClosed"], "the stream is closed")
    board.change(flag, is_enabled=True)
    assert web.ask("behind").value is False
    tab.call("setVisible", True)
    web.shows("behind", True)
    board.change(flag, is_enabled=False)
    web.shows("behind", False)
