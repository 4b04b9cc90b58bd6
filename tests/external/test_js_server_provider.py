"""The stock OpenFeature provider for JavaScript on servers (`@openfeature/ofrep-provider`)."""

from typing import Any

import pytest

from tests.external.board import CASES, PRODUCTION, Board, Case, Outcome, failed
from tests.external.programs import node
from tests.processes import Server

pytestmark = pytest.mark.external

ON = {"flag": "on", "type": "boolean", "default": False}


@pytest.fixture(scope="module")
def found(server: Server, key: str) -> dict[str, Outcome]:
    """Return what the client says to all cases, by name."""
    outcomes = node(server.url, key, *(case.call for case in CASES))
    return dict(zip([case.name for case in CASES], outcomes, strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_type_reason_and_error(found: dict[str, Outcome], case: Case):
    assert found[case.name] == case.outcome


def test_a_split_is_what_the_server_says_by_its_own_route(server: Server, key: str, board: Board):
    users = [f"user-{number}" for number in range(40)]
    call = {"flag": "half", "type": "boolean", "default": False}
    outcomes = node(
        server.url, key, *({**call, "context": {"targetingKey": user}} for user in users)
    )
    said = [board.evaluate("half", user) for user in users]
    assert outcomes == [Outcome(one["value"], one["variant"], "SPLIT") for one in said]
    assert {one.value for one in outcomes} == {True, False}


def nested(depth: int) -> dict[str, Any]:
    """Return an object within an object, and so on."""
    return {"inner": nested(depth - 1)} if depth else {}


def test_contexts_that_are_refused(server: Server, key: str):
    contexts: list[dict[str, Any]] = [nested(100), {"name": "a\x00b"}, {"text": "x" * 2**20}]
    outcomes = node(server.url, key, *({**ON, "context": context} for context in contexts))
    assert [one.error for one in outcomes] == ["PARSE_ERROR", "PARSE_ERROR", "GENERAL"]
    assert [one.value for one in outcomes] == [False] * 3


def test_who_may_not_ask_gets_the_default(server: Server, board: Board):
    for key in ("cs_nobody", board.key(PRODUCTION, action="write")):
        assert node(server.url, key, ON) == [failed(False, "GENERAL")]
