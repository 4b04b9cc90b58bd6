"""The stock OpenFeature provider for browsers (`@openfeature/ofrep-web-provider`) in Chromium.

The page comes from another origin than the server, so each request needs its CORS headers.
"""

import pytest

from tests.external.board import (
    CASES,
    GERMAN,
    KEY,
    STAGING,
    Board,
    Case,
    Outcome,
    equals,
    failed,
    serve_on,
)
from tests.external.browser import Browser, Tab
from tests.external.programs import outcome
from tests.external.web import Web
from tests.processes import Server, until

pytestmark = pytest.mark.external

WITHOUT_STREAM = {"changeDetection": "none", "cacheMode": "disabled"}
CHANGED = "PROVIDER_CONFIGURATION_CHANGED"


@pytest.fixture
def web(tab: Tab, server: Server) -> Web:
    return Web(tab, server.url)


@pytest.fixture(scope="module")
def found(browser: Browser, server: Server, pages: str, key: str) -> dict[str, Outcome]:
    """Return what the client says to all cases, by name; each context is set once."""
    outcomes = {}
    with browser.tab() as tab:
        tab.open(f"{pages}/page.html")
        assert Web(tab, server.url).start(key, **WITHOUT_STREAM) == "READY"
        for context in ({}, *({**case.context} for case in CASES)):
            tab.call("setContext", context)
            for case in CASES:
                if case.context == context:
                    outcomes[case.name] = outcome(tab.call("details", case.call))
    return outcomes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_type_reason_and_error(found: dict[str, Outcome], case: Case):
    assert found[case.name] == case.outcome


def test_one_request_brings_all_flags(web: Web, key: str):
    assert web.start(key, **WITHOUT_STREAM) == "READY"
    assert web.ask("on").value is True
    assert web.ask("few", "integer", 7).value == 3
    (request,) = web.see("requests")
    assert request["status"] == 200
    assert request["etag"]


def test_what_is_unchanged_is_not_sent_again(web: Web, key: str):
    web.start(key, GERMAN, **WITHOUT_STREAM)
    assert web.tab.call("setContext", {**GERMAN}) == "READY"
    first, second = web.see("requests")
    assert (second["tag"], second["status"]) == (first["etag"], 304)
    assert web.ask("germans").value is True


def test_another_context_is_another_answer_for_the_same_person(web: Web, key: str):
    web.start(key, GERMAN, **WITHOUT_STREAM)
    assert web.ask("germans").value is True
    web.tab.call("setContext", {**GERMAN, "country": "FR"})
    assert web.ask("germans") == Outcome(False, "off", "DEFAULT")
    first, second = web.see("requests")
    assert second["tag"] == first["etag"]
    assert second["status"] == 200


def test_the_environment_may_be_in_the_question(web: Web, board: Board):
    board.make("staged", STAGING)
    assert web.start(KEY, query=f"environment={STAGING}") == "READY"
    assert web.ask("staged").value is True
    assert web.ask("few", "integer", 7) == failed(7, "FLAG_NOT_FOUND")


def test_a_change_comes_by_the_stream(web: Web, board: Board):
    flag = board.make("live", STAGING, is_enabled=False)
    web.start(board.key(STAGING))
    web.listen()
    assert web.ask("live") == Outcome(False, "off", "DISABLED")
    board.change(flag, is_enabled=True)
    web.shows("live", True)
    changes = [event["flags"] for event in web.see("events") if event["event"] == CHANGED]
    assert ["live"] in changes
    board.change(flag, is_enabled=False)
    web.shows("live", False)


def test_new_and_deleted_flags_and_segments_come_by_the_stream(web: Web, board: Board):
    board.segment("crew", included=[])
    board.make("for_crew", STAGING, rules=serve_on({"segment": "crew"}))
    web.start(board.key(STAGING), {"targetingKey": "ada"})
    web.listen()
    flag = board.make("newcomer", STAGING)
    web.shows("newcomer", True)
    board.rewrite_segment("crew", included=["ada"])
    web.shows("for_crew", True)
    board.delete(flag)
    until(lambda: web.ask("newcomer").error == "FLAG_NOT_FOUND", "the flag is gone")


def test_the_context_may_change_while_it_listens(web: Web, board: Board):
    flag = board.make("french", STAGING, rules=serve_on(equals("country", "DE")))
    web.start(board.key(STAGING), {"targetingKey": "ada", "country": "FR"})
    web.listen()
    assert web.ask("french").value is False
    web.tab.call("setContext", {"targetingKey": "eve", "country": "FR"})
    board.change(flag, rules=serve_on(equals("country", "FR")))
    web.shows("french", True)


def test_a_key_for_some_flags_gets_only_those(web: Web, board: Board):
    mine = board.make("mine", STAGING)
    board.make("hidden", STAGING)
    web.start(board.key(STAGING, flags=("mine",)))
    web.listen()
    assert web.ask("mine").value is True
    assert web.ask("hidden").error == "FLAG_NOT_FOUND"
    board.change(mine, is_enabled=False)
    web.shows("mine", False)
    changes = [event for event in web.see("events") if event["event"] == CHANGED]
    assert {name for event in changes for name in event["flags"]} == {"mine"}


def test_what_a_flag_needs_reaches_a_key_that_does_not_cover_it(web: Web, board: Board):
    base = board.make("needed.base", STAGING)
    needs = [{"flag": "needed.base", "variant": "on"}]
    board.make("needed.top", STAGING, prerequisites=needs)
    web.start(board.key(STAGING, flags=("needed.top",)))
    web.listen()
    assert web.ask("needed.top").value is True
    assert web.ask("needed.base").error == "FLAG_NOT_FOUND"
    board.change(base, is_enabled=False)
    web.shows("needed.top", False)


def test_who_may_not_ask_is_told_so_for_good(web: Web, board: Board):
    assert web.start("cs_nobody") == "FATAL"
    assert web.start(board.key(STAGING, action="write")) == "FATAL"
    assert [one["status"] for one in web.see("requests")] == [401, 403]


def test_a_server_that_cannot_is_no_fatal_error(web: Web, key: str):
    assert web.start(key, query="min_revision=999999999") == "ERROR"
    assert [one["status"] for one in web.see("requests")] == [503]
    assert web.see("requests")[0]["retry"].isdecimal()
    assert web.start(key) == "READY"


def test_a_page_that_is_loaded_again_goes_on_listening(web: Web, board: Board, pages: str):
    flag = board.make("lasting", STAGING, is_enabled=False)
    key = board.key(STAGING)
    web.start(key)
    web.listen()
    web.tab.open(f"{pages}/page.html?again")
    web.start(key)
    assert web.ask("lasting").reason in {"CACHED", "DISABLED"}
    web.listen()
    board.change(flag, is_enabled=True)
    web.shows("lasting", True)


def test_a_context_that_is_refused_leaves_what_was(web: Web, key: str):
    web.start(key, GERMAN, **WITHOUT_STREAM)
    web.tab.call("setContext", {**GERMAN, "country": "a\x00b"})
    assert "PROVIDER_ERROR" in {event["event"] for event in web.see("events")}
    assert web.see("requests")[-1]["status"] == 400
    assert web.ask("germans").value is True
    web.tab.call("setContext", {**GERMAN, "country": "FR"})
    assert web.ask("germans").value is False
