"""The stock providers for servers while the database is away."""

from collections.abc import Iterator

import pytest

from tests.external.board import KEY, PRODUCTION, Board, Outcome, failed
from tests.external.programs import node, python
from tests.processes import KEYS, Stage

pytestmark = pytest.mark.external

ON = {"flag": "on", "type": "boolean", "default": False}
SETTINGS = {
    **KEYS,
    "API_KEY": KEY,
    "REQUEST_DEADLINE_MS": "3000",
    "DB_STATEMENT_TIMEOUT_MS": "1500",
    "DB_CONNECT_TIMEOUT_S": "1",
}


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()


def test_defaults_while_nothing_can_be_said_and_flags_soon_after(stage: Stage):
    postgres = stage.postgres()
    settings = {**SETTINGS, "DATABASE_URL": postgres.dsn}
    assert stage.run("migrate", **settings).returncode == 0
    server = stage.server(**settings)
    with Board(server.url) as board:
        board.make("on")
        key = board.key(PRODUCTION)
    postgres.stop()
    with python(server.url, key) as ask:
        assert ask(ON) == failed(False, "GENERAL")
        assert node(server.url, key, ON) == [failed(False, "GENERAL")]
        postgres.start()
        server.ready()
        assert ask(ON) == Outcome(True, "on", "STATIC")
        assert node(server.url, key, ON) == [Outcome(True, "on", "STATIC")]
        postgres.stop()
        assert ask(ON) == Outcome(True, "on", "STATIC")
