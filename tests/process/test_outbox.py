"""The outbox with a real Redis and a real worker."""

import base64
import json
import pickle
import signal

import pytest
import redis as redis_client

from tests.client import Person, register
from tests.processes import KEYS, Redis, Server, Stage, rows, until


class Full:
    """A server with Redis, and a worker when asked for."""

    def __init__(self, stage: Stage, database: str) -> None:
        self.stage, self.database = stage, database
        self.redis: Redis = stage.redis()
        self.settings = {
            "DATABASE_URL": database,
            "REDIS_URL": self.redis.url,
            "WORKER_GRACE_S": "1",
            **KEYS,
        }
        self.server: Server = stage.server(**self.settings)
        self.client = self.server.client()
        self.ada: Person = register(self.client, "ada")
        self.changes = 0

    def worker(self, **options):
        return self.stage.worker(**options, **self.settings)

    def change(self, count: int = 1) -> None:
        for _ in range(count):
            self.changes += 1
            answer = self.ada.update("billing", {"n": self.changes})
            assert answer.json()["version"] == self.changes, answer.text

    def lines(self) -> list[dict]:
        if not self.stage.log.exists():
            return []
        return [json.loads(line) for line in self.stage.log.read_bytes().splitlines()]

    def all_logged(self) -> bool:
        """Tell whether every change has one audit row, and that a line."""
        events = rows(self.database, "SELECT id FROM events WHERE resource_type = 'configuration'")
        assert len(events) == self.changes
        return {one for (one,) in events} <= {line["event_id"] for line in self.lines()}

    def says(self, **expected: str) -> bool:
        health = self.server.health()
        return all(health[name] == value for name, value in expected.items())


@pytest.fixture
def full(stage, database):
    full = Full(stage, database)
    yield full
    full.client.close()


def test_the_worker_writes_and_the_server_steps_in(full):
    worker = full.worker(concurrency=2)
    until(lambda: full.says(worker_status="connected"), "the worker is seen")
    full.change(10)
    until(full.all_logged, "the log is complete")
    until(lambda: full.says(audit_log="worker"), "the worker writes")
    worker.kill()
    full.change(5)
    until(full.all_logged, "the server writes")
    until(lambda: full.says(audit_log="server"), "health says so")
    full.change(5)
    until(full.all_logged, "the server goes on")
    assert full.server.text().count("audit.written_by_server") == 1
    until(lambda: full.says(worker_status="disconnected", status="degraded"), "it is missed")
    worker = full.worker()

    def taken_over() -> bool:
        full.change()
        return full.says(audit_log="worker", worker_status="connected", status="healthy")

    until(taken_over, "the worker takes over")
    until(full.all_logged, "the log is complete")


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_requests_do_not_need_redis(full, how):
    full.worker()
    full.change(3)
    if how == "killed":
        full.redis.kill()
    else:
        full.redis.signal(signal.SIGSTOP)
    full.change(20)
    until(lambda: full.says(redis_status="disconnected", status="degraded"), "health says so")
    until(full.all_logged, "nothing is lost")
    if how == "killed":
        full.stage.redis(full.redis.port)
    else:
        full.redis.signal(signal.SIGCONT)
    until(lambda: full.says(redis_status="connected"), "Redis is back")

    def taken_over() -> bool:
        full.change()
        return full.says(audit_log="worker", status="healthy")

    until(taken_over, "the worker goes on", seconds=90)
    until(full.all_logged, "nothing is lost")


def message(body: bytes, task: str, kind: str) -> bytes:
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "binary" if "pickle" in kind else "utf-8",
            "content-type": kind,
            "headers": {"lang": "py", "task": task, "id": "1", "root_id": "1", "argsrepr": "()"},
            "properties": {
                "correlation_id": "1",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "celery"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": task,
            },
        }
    ).encode()


class Touch:
    """Pickles as a command that leaves a trace."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_foreign_messages_are_refused_and_the_worker_lives(full):
    worker = full.worker()
    trace = full.stage.place / "trace"
    queue = redis_client.Redis.from_url(full.redis.url)
    empty = json.dumps([[], {}, {}]).encode()
    pickled = pickle.dumps(Touch(str(trace)))
    queue.lpush("celery", message(empty, "os.system", "application/json"))
    queue.lpush("celery", message(pickled, "outbox.drain", "application/x-python-serialize"))
    queue.lpush("celery", message(b"{", "outbox.drain", "application/json"))
    until(lambda: "os.system" in worker.text(), "the unknown task is refused")
    until(lambda: "ContentDisallowed" in worker.text() or "pickle" in worker.text(), "refused")
    full.change(3)
    until(full.all_logged, "the worker goes on")
    until(lambda: full.says(audit_log="worker"), "the worker writes")
    queue.close()
    assert not trace.exists()
    assert worker.popen.poll() is None


def test_the_worker_ends_in_order(full):
    worker = full.worker()
    worker.popen.terminate()
    assert worker.wait() == 0
