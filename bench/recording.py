"""What an update says to PostgreSQL: every statement as sent, and every round trip."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2.extensions
from fastapi.testclient import TestClient
from sqlalchemy import event

from app.core import db
from app.main import create_app
from bench.store import SERVICE, Person, body

LOOP = "background"  # the thread beside the requests; its statements are not a request's


@dataclass(slots=True)
class Recording:
    """Statements with their values in place, and how often we waited for PostgreSQL."""

    statements: list[str] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    trips: int = 0

    def index(self, *words: str) -> int:
        """Return the place of the first statement with all these words."""
        return next(
            place
            for place, statement in enumerate(self.statements)
            if all(word in statement for word in words)
        )

    def held(self, place: int) -> tuple[int, int]:
        """Count statements and round trips after a statement, the commit included."""
        return len(self.statements) - place, self.trips - self.after[place]


@contextmanager
def recorded() -> Iterator[Recording]:
    """Record what the requests of this process do, while the application runs."""
    recording = Recording()
    engine = db.get_engine()
    wait = psycopg2.extensions.get_wait_callback()
    assert wait is not None, "deadlines wait by a callback"

    def counting(connection: Any) -> None:
        if threading.current_thread().name != LOOP:
            recording.trips += 1
        wait(connection)

    def note(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if threading.current_thread().name != LOOP:
            recording.statements.append(cursor.mogrify(statement, values or None).decode())

    def noted(*_: Any) -> None:
        if threading.current_thread().name != LOOP:
            recording.after.append(recording.trips)

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "after_cursor_execute", noted)
    psycopg2.extensions.set_wait_callback(counting)
    try:
        yield recording
    finally:
        psycopg2.extensions.set_wait_callback(wait)
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "after_cursor_execute", noted)


def update(client: TestClient, person: Person, nonce: int) -> Any:
    """Send one update, which must make a new version."""
    answer = client.post(
        "/config/update",
        content=body(str(nonce)),
        headers={"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def rehearse(people: list[Person]) -> dict[str, Recording]:
    """Give everybody three versions; return what the third update of each person said."""
    recordings = {}
    with TestClient(create_app()) as client:
        for person in people:
            for nonce in (100000000, 100000001):
                update(client, person, nonce)
            with recorded() as recording:
                update(client, person, 100000002)
            recordings[person.username] = recording
            versions = client.get(
                "/config/versions",
                params={"name": SERVICE},
                headers={"Authorization": f"Bearer {person.token}"},
            ).json()["versions"]
            person.version_ids = [version["id"] for version in reversed(versions)]
    return recordings
