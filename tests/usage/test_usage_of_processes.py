"""Counts of several processes add up, and outlast restarts and a database that is away."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.usage.recorder import usage
from tests.client import Person, register
from tests.conftest import execute
from tests.flags.calls import PRODUCTION, make
from tests.processes import KEYS, Server, Stage, rows, until
from tests.usage.use import USAGE, said

COUNTED = "SELECT variant, sum(count)::bigint FROM flag_counts GROUP BY variant ORDER BY variant"


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give a place for real processes, and leave none of them behind."""
    stage = Stage()
    yield stage
    stage.close()


def report(server: Server, token: str, *counts: dict, unknown: str) -> None:
    """Report counts over a connection of its own, so that any process may take them."""
    body = {
        "environment": PRODUCTION,
        "counts": [*counts],
        "unknown": [{"flag": unknown, "count": 1}],
    }
    headers = {"Authorization": f"Bearer {token}"}
    with server.client(headers=headers) as client:
        assert client.post(USAGE, json=body).status_code == 204


def stop(server: Server) -> None:
    """End a server in order."""
    server.popen.terminate()
    assert server.wait() == 0


def test_counts_of_processes_add_up_and_outlast_them(stage: Stage, database: str):
    settings = {"DATABASE_URL": database, **KEYS}
    server = stage.server(WORKERS="2", **settings)
    with server.client() as client:
        ada = register(client, "ada")
        make(ada)
    for number in range(40):
        if number == 20:
            stop(server)
            server = stage.server(**settings)
        entries = [said("checkout", "on", 3), said("checkout", "off", number + 1)]
        report(server, ada.token, *entries, unknown="gone")
    stop(server)
    assert rows(database, COUNTED) == [("off", sum(range(41))), ("on", 120)]
    assert rows(database, "SELECT name, count FROM unknown_flags") == [("gone", 40)]


@contextmanager
def away(database: str) -> Iterator[None]:
    """Cut all connections to a database, and let no new ones in."""
    name = make_url(database).database
    execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


def test_what_cannot_be_written_is_written_later(ada: Person, database: str):
    make(ada)
    ((workspace_id,),) = rows(database, "SELECT workspace_id FROM flags")
    where = (workspace_id, PRODUCTION)
    usage.count(*where, "checkout", "on", None, 2)
    usage.flush()
    usage.count(*where, "checkout", "on", None, 3)
    usage.unknown(*where, "gone", 4)
    with away(database):
        with pytest.raises(SQLAlchemyError):
            usage.flush()
        usage.count(*where, "checkout", "on", None, 5)
        usage.count(*where, "checkout", "off", "rollout", 1)
        usage.unknown(*where, "gone", 1)
        with pytest.raises(SQLAlchemyError):
            usage.flush()
    for _ in range(2):
        until(flushed, "the database is back")
        assert rows(database, COUNTED) == [("off", 1), ("on", 10)]
        assert rows(database, "SELECT name, count FROM unknown_flags") == [("gone", 5)]


def flushed() -> bool:
    """Try to write."""
    with suppress(SQLAlchemyError):
        usage.flush()
        return True
    return False
