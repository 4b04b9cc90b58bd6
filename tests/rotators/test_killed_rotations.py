"""PostgreSQL users by turns, the rotation killed at every step, a client that never fails."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.core import db
from tests.client import Person, assert_problem, program
from tests.keys.calls import make
from tests.processes import REPOSITORY, until
from tests.rotators.pg import ScramPostgres, scram_postgres
from tests.rotators.test_rotators import LOOPBACK, configure, rotate

STEPS = ("create", "set", "test", "switch", "finish")
POINTS = [f"{when}:{step}" for step in STEPS for when in ("before", "after")]
FIRST = {"username": "app_a", "password": "first-password-of-app-a-0123456789"}


@pytest.fixture
def target() -> Iterator[ScramPostgres]:
    with scram_postgres() as server:
        server.run("CREATE ROLE app NOLOGIN")
        server.run(
            "CREATE ROLE app_a LOGIN IN ROLE app PASSWORD 'first-password-of-app-a-0123456789'"
        )
        yield server


class Service(threading.Thread):
    """A program that connects all the time with what it is told."""

    def __init__(self, person: Person, target: ScramPostgres) -> None:
        super().__init__(daemon=True)
        self.person, self.target = person, target
        self.users: list[str] = []
        self.refused: list[str] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            answer = self.person.get("/api/v1/config/db", service_name="billing")
            if answer.status_code != 200:
                self.refused.append(answer.text)
                continue
            value = answer.json()["value"]
            self.users.append(value["username"])
            if not self.target.lets_in(value["username"], value["password"]):
                self.refused.append(f"{value['username']} at {time.time()}")
            time.sleep(0.01)

    def end(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def rotator(ada: Person, client: TestClient, target: ScramPostgres) -> int:
    key = make(ada, "db", FIRST, is_encrypted=True)["id"]
    settings = {"url": target.url, "parent": "app", "users": ["app_a", "app_b"]}
    answer = configure(ada, key, type="postgres", settings=settings, grace_seconds=1)
    assert answer.status_code == 200, answer.text
    return key


def state(key: int):
    with db.transaction() as session:
        return session.execute(
            text("SELECT * FROM rotators WHERE key_id = :key"), {"key": key}
        ).one()


def kill_at(rotator_id: int, point: str) -> None:
    command = [sys.executable, "-m", "tests.rotators.killing", str(rotator_id), point]
    died = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, timeout=60)
    assert died.returncode in {-9, 0, 3}, died.stderr.decode()[-2000:]


@LOOPBACK
def test_the_service_gets_in_whenever_the_rotation_is_killed(
    ada: Person, rotator: int, target: ScramPostgres
):
    service = Service(program(ada, actions=["read", "read_secrets"]), target)
    service.start()
    try:
        for point in POINTS:
            before = state(rotator)
            kill_at(before.id, point)
            until(
                lambda before=before: (
                    (now := state(rotator)).step is None and now.rotated_at != before.rotated_at
                ),
                f"the rotation that was killed {point} is finished by somebody else",
            )
            assert state(rotator).failures == 0
    finally:
        service.end()
    assert service.refused == []
    assert set(service.users) == {"app_a", "app_b"}
    assert len(service.users) > 100
    value = ada.get("/api/v1/config/db", service_name="billing").json()["value"]
    other = {"app_a": "app_b", "app_b": "app_a"}[value["username"]]
    held = target.run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", other)
    assert held == [(None,)]  # the old one is over
    assert ada.get("/api/v1/audit", outcome="alarm").json()["logs"] == []


@LOOPBACK
def test_the_old_password_works_in_the_grace_time_and_not_after(
    ada: Person, rotator: int, target: ScramPostgres
):
    answer = rotate(ada, rotator)
    assert answer.json()["step"] == "switch", answer.text
    assert target.lets_in(user=FIRST["username"], password=FIRST["password"])
    until(lambda: state(rotator).step is None, "the grace time is over")
    assert not target.lets_in(FIRST["username"], FIRST["password"])
    value = ada.get("/api/v1/config/db", service_name="billing").json()["value"]
    assert target.lets_in(value["username"], value["password"])
    log = target.log.read_text(errors="replace")
    assert value["password"] not in log
    assert "SCRAM-SHA-256$" in log


@LOOPBACK
def test_a_target_that_is_away_changes_nothing(ada: Person, rotator: int, target: ScramPostgres):
    target.process.terminate()
    target.process.wait(30)
    assert_problem(rotate(ada, rotator), 502, "rotation_not_done")
    now = state(rotator)
    assert (now.step, now.failures) == ("create", 1)
    assert now.last_error == "the server does not answer"
    value = ada.get("/api/v1/config/db", service_name="billing").json()["value"]
    assert value == FIRST
