"""What a caller sees while PostgreSQL is busy, away or frozen."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.client import Person, register
from tests.processes import KEYS, Postgres, Server, Stage, problem, until

DEADLINE_MS = 3000
SHAPE = {
    *("status", "api_status", "db_status", "redis_status", "worker_status"),
    *("audit_log", "audit_pending_seconds", "secrets", "version"),
}


class Setting:
    """A server on a PostgreSQL of its own, and a person with one document."""

    def __init__(self, postgres: Postgres, server: Server, username: str) -> None:
        self.postgres, self.server = postgres, server
        self.client = server.client()
        self.ada: Person = register(self.client, username)
        self.write(0)

    def write(self, number: int):
        return self.ada.update("billing", {"n": number})

    def read(self):
        return self.ada.get("/config/get", service="billing")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Postgres, Server]]:
    """Give a PostgreSQL and a server that every test leaves well."""
    stage = Stage()
    try:
        postgres = stage.postgres()
        settings = {
            "DATABASE_URL": postgres.dsn,
            "REQUEST_DEADLINE_MS": str(DEADLINE_MS),
            "DB_STATEMENT_TIMEOUT_MS": "1500",
            "DB_LOCK_TIMEOUT_MS": "600",
            "DB_POOL_SIZE": "3",
            **KEYS,
        }
        migrated = stage.run("migrate", **settings)
        assert migrated.returncode == 0, migrated.stderr
        yield postgres, stage.server(**settings)
    finally:
        stage.close()


@pytest.fixture
def setting(served: tuple[Postgres, Server], request: pytest.FixtureRequest) -> Iterator[Setting]:
    setting = Setting(*served, request.node.name)
    yield setting
    setting.client.close()


def test_locks(setting):
    locker = setting.postgres.connect()
    locker.autocommit = False
    with locker.cursor() as cursor:
        cursor.execute("SELECT FROM objects FOR UPDATE")
    assert problem(setting.write(1)) == (503, "busy")
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(setting.write, 2) for _ in range(12)]
        for path in ("/health", "/api/v1/health/live"):
            assert setting.client.get(path).json() == {"status": "healthy"}
        assert setting.client.get("/config/health").status_code == 200
        for answer in answers:
            assert problem(answer.result()) == (503, "busy")
            assert int(answer.result().headers["retry-after"]) >= 1
    locker.rollback()
    locker.close()
    assert setting.write(3).json()["version"] == 2


def test_stopped_and_started_again(setting):
    setting.postgres.stop_immediately()
    for answer in (setting.read(), setting.write(1)):
        assert problem(answer) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    health = setting.client.get("/config/health")
    assert health.status_code == 503
    assert set(health.json()) == SHAPE
    assert (health.json()["status"], health.json()["db_status"]) == ("unhealthy", "disconnected")
    ready = setting.client.get("/api/v1/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    for path in ("/health", "/api/v1/health/live"):
        assert setting.client.get(path).status_code == 200
    setting.postgres.start()
    for number in range(1, 13):
        assert setting.write(number).json()["version"] == number + 1
        assert setting.read().json()["config"] == {"n": number}
    assert set(setting.server.health()) == SHAPE
    assert setting.server.health()["status"] == "healthy"


def test_frozen(setting):
    setting.postgres.freeze()
    try:
        with ThreadPoolExecutor(8) as pool:
            began = time.monotonic()
            answers = [pool.submit(setting.write, 1) for _ in range(8)]
            for answer in answers:
                assert problem(answer.result())[0] == 503
            # Promised: all database work of a request ends with its deadline.
            assert time.monotonic() - began < DEADLINE_MS / 1000 + 1
        assert setting.client.get("/health").status_code == 200
        assert setting.client.get("/config/health").status_code == 503
        assert setting.client.get("/api/v1/health/ready").status_code == 503
    finally:
        setting.postgres.thaw()
    until(lambda: setting.read().status_code == 200, "it recovers")
    assert setting.write(5).status_code == 200
    until(lambda: setting.server.health()["status"] == "healthy", "health says so")
