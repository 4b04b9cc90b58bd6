"""Both doors of one application, and what statements requests send."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from app.core import db
from tests.client import Person, create_key
from tests.conftest import QueryRecorder
from tests.serving.doors import Doors


@pytest.fixture
def doors(client: TestClient) -> Doors:
    """Return the dispatcher and the framework behind it."""
    return Doors(client)


@contextmanager
def record_statements() -> Iterator[list[str]]:
    """Collect the statements of requests, those for the hot routes too."""
    statements: list[str] = []

    def note(_connection, _cursor, statement: str, *_: object) -> None:
        if not threading.current_thread().name.startswith(("background", "feed")):
            statements.append(statement)

    engines = (db.get_engine(), db.get_reading_engine())
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def statements(client: TestClient) -> QueryRecorder:
    """Return what counts statements: `with statements() as sent:`."""
    return record_statements


@pytest.fixture
def reader(ada: Person) -> Person:
    """Return a program that may read everything of ada but secrets."""
    made = create_key(ada, name="reader", scopes={"actions": ["read"]})
    return Person(ada.client, made["key"], made["id"], made["name"])
