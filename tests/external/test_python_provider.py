"""The stock OpenFeature provider for Python (`openfeature-provider-ofrep`) against a server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.external.board import CASES, PRODUCTION, STAGING, Board, Case, Outcome, failed
from tests.external.programs import Ask, python
from tests.processes import Server

Connect = Callable[[str], Ask]


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    """Connect with an API key."""
    with ExitStack() as stack:
        yield lambda key: stack.enter_context(python(server.url, key))


@pytest.fixture
def ask(connect: Connect, key: str) -> Ask:
    return connect(key)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_type_reason_and_error(ask: Ask, case: Case):
    found = ask(case.call)
    assert found == case.outcome
    assert type(found.value) is type(case.outcome.value)


def test_a_split_is_what_the_server_says_by_its_own_route(ask: Ask, board: Board):
    seen = set()
    for number in range(40):
        user = f"user-{number}"
        call = {"flag": "half", "type": "boolean", "default": False}
        said = board.evaluate("half", user)
        assert ask({**call, "context": {"targetingKey": user}}) == Outcome(
            said["value"], said["variant"], "SPLIT"
        )
        seen.add(said["value"])
    assert seen == {True, False}


def test_each_environment_has_its_own_flag(connect: Connect, board: Board):
    board.make("seasonal", type="string", variants={"hot": "HOT", "cold": "COLD"})
    board.make(
        "seasonal", STAGING, type="string", variants={"hot": "HOT", "cold": "COLD"},
        default_variant="cold",
    )  # fmt: skip
    call = {"flag": "seasonal", "type": "string", "default": "none"}
    assert connect(board.key(PRODUCTION))(call) == Outcome("HOT", "hot", "STATIC")
    assert connect(board.key(STAGING))(call) == Outcome("COLD", "cold", "STATIC")


def test_a_change_is_seen_by_the_next_question(ask: Ask, board: Board):
    flag = board.make("switched")
    call = {"flag": "switched", "type": "boolean", "default": True}
    assert ask(call).value is True
    board.change(flag, is_enabled=False)
    assert ask(call) == Outcome(False, "off", "DISABLED")


@pytest.mark.parametrize("context", [{"name": "a\x00b"}, {"name": "\ud800"}], ids=ascii)
def test_a_context_that_is_no_json_is_a_parse_error(ask: Ask, context: dict[str, object]):
    call = {"flag": "on", "type": "boolean", "default": False, "context": context}
    assert ask(call) == failed(False, "PARSE_ERROR")


def test_a_context_that_is_too_large_leaves_the_default(ask: Ask):
    call = {"flag": "on", "type": "boolean", "default": False, "context": {"text": "x" * 2**20}}
    assert ask(call) == failed(False, "GENERAL")


@pytest.mark.parametrize("unit", [["ada"], {"id": "ada"}, 1.5, True], ids=str)
def test_a_unit_that_is_none(ask: Ask, unit: object):
    call = {"flag": "by_team", "type": "string", "default": "x", "context": {"team": unit}}
    assert ask(call) == failed("x", "TARGETING_KEY_MISSING")


def test_who_may_not_ask_gets_the_default(connect: Connect, board: Board):
    call = {"flag": "on", "type": "boolean", "default": False}
    for key in ("cs_nobody", board.key(PRODUCTION, action="write")):
        assert connect(key)(call) == failed(False, "GENERAL")


def test_a_flag_beyond_the_keys_scope_tells_nothing(connect: Connect, board: Board):
    ask = connect(board.key(PRODUCTION, flags=("col*",)))
    assert ask({"flag": "colour", "type": "string", "default": "x"}).variant == "red"
    assert ask({"flag": "on", "type": "boolean", "default": False}).value is False
