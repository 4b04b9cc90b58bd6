"""`python -m tests.faults [--seconds N]`: break everything while 8 writers write, then count.

Afterwards every acknowledged change is stored once, versions and revisions have no gap, each
version has its audit row and log line, and no request took longer than its deadline.
"""

import argparse
import json
import random
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

import httpx

from tests.client import PASSWORD
from tests.processes import KEYS, Process, Redis, Server, Stage, rows, until

WRITERS, DOCUMENTS = 8, 50
DEADLINE = 3.0  # seconds; the settings below
MARGIN = 1.5  # for the way there and back on a busy machine
SETTINGS = {
    **KEYS,
    "REQUEST_DEADLINE_MS": str(int(DEADLINE * 1000)),
    "DB_STATEMENT_TIMEOUT_MS": "1500",
    "DB_LOCK_TIMEOUT_MS": "1000",
    "DB_CONNECT_TIMEOUT_S": "1",
    "WORKER_GRACE_S": "2",
    "ALLOW_REGISTRATION": "true",
}


@dataclass
class Seen:
    """What the writers were told."""

    acknowledged: dict[tuple[str, int], str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, took: float) -> None:
        """Count an answer and remember the slowest."""
        with self.lock:
            self.answers[what] += 1
            self.slowest = max(self.slowest, took)

    def acknowledge(self, service: str, version: int, mark: str) -> None:
        """Remember a change that the server said it has."""
        with self.lock:
            self.acknowledged[service, version] = mark


class Drill:
    """One server, one worker, Redis and PostgreSQL, and what is done to them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.postgres = stage.postgres()
        self.redis: Redis = stage.redis()
        self.settings = {
            **SETTINGS,
            "DATABASE_URL": self.postgres.dsn,
            "REDIS_URL": self.redis.url,
        }
        migrated = stage.run("migrate", **self.settings)
        assert migrated.returncode == 0, migrated.stderr
        self.server: Server = stage.server(**self.settings)
        self.worker: Process = stage.worker(**self.settings)
        self.url = self.server.url

    def kill_server(self) -> None:
        """Kill the server and start it again on its port."""
        self.server.kill()
        self.server = self.stage.server(port=self.server.port, **self.settings)

    def kill_worker(self) -> None:
        """Kill the worker with its children and start another."""
        self.worker.kill()
        self.worker = self.stage.worker(**self.settings)

    def kill_redis(self) -> None:
        """Kill Redis, losing all that it held, and start it again."""
        port = self.redis.port
        self.redis.kill()
        time.sleep(1)
        self.redis = self.stage.redis(port)

    def stop_postgres(self) -> None:
        """Stop PostgreSQL in the middle of everything and let it recover."""
        self.postgres.stop_immediately()
        time.sleep(0.5)
        self.postgres.start()

    def freeze_postgres(self) -> None:
        """Freeze PostgreSQL for longer than a request may take."""
        self.postgres.freeze()
        time.sleep(DEADLINE + 2)
        self.postgres.thaw()


def log_in(url: str) -> str:
    """Register the writer and return a token."""
    person = {"username": "writer", "email": "writer@example.com", "password": PASSWORD}
    httpx.post(f"{url}/auth/register", json=person).raise_for_status()
    answer = httpx.post(f"{url}/login", json={"username": "writer", "password": PASSWORD})
    return str(answer.raise_for_status().json()["access_token"])


def write(url: str, token: str, seen: Seen, stop: threading.Event, seed: int) -> None:
    """Change random documents; repeat what was not acknowledged under the same key."""
    dice = random.Random(seed)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        while not stop.is_set():
            service, mark = f"doc{dice.randrange(DOCUMENTS)}", uuid.uuid4().hex
            body = {"name": service, "config": {"mark": mark}}
            while not send(client, body, mark, seen):
                if stop.wait(0.1):
                    return


def send(client: httpx.Client, body: dict[str, object], mark: str, seen: Seen) -> bool:
    """Send one change once; say whether it was acknowledged."""
    start = time.monotonic()
    try:
        answer = client.post("/config/update", json=body, headers={"Idempotency-Key": mark})
    except httpx.TransportError as error:
        seen.note(type(error).__name__, time.monotonic() - start)
        return False
    code = "" if answer.is_success else answer.json()["code"]
    seen.note(f"{answer.status_code} {code}".strip(), time.monotonic() - start)
    if answer.is_success:
        config = answer.json()
        seen.acknowledge(str(body["name"]), config["version"], mark)
    return answer.is_success


def violations(drill: Drill, seen: Seen) -> list[str]:
    """Compare what was acknowledged with what is there."""
    dsn = drill.postgres.dsn
    until(lambda: rows(dsn, "SELECT count(*) FROM event_pending") == [(0,)], "the log is written")
    stored = {
        (service, version): json.loads(content)["mark"]
        for service, version, content in rows(
            dsn,
            "SELECT s.name, v.version, v.content FROM versions v "
            "JOIN configs c ON c.id = v.object_id JOIN services s ON s.id = c.service_id",
        )
    }
    found = [
        f"lost or altered: {place}"
        for place, mark in seen.acknowledged.items()
        if stored.get(place) != mark
    ]
    twice = [mark for mark, n in Counter(stored.values()).items() if n > 1]
    found += [f"stored twice: {mark}" for mark in twice]
    found += [
        f"gap in the versions of object {row[0]}"
        for row in rows(
            dsn,
            "SELECT object_id FROM versions GROUP BY object_id "
            "HAVING max(version) <> count(*) OR min(version) <> 1",
        )
    ]
    [(head, count)] = rows(
        dsn,
        "SELECT coalesce(max(n), 0), count(*) FROM revisions r JOIN workspaces w "
        "ON w.id = r.workspace_id WHERE w.slug = 'writer' AND r.n > 0",
    )
    if head != count or count != len(stored):
        found.append(f"revisions: head {head}, rows {count}, versions {len(stored)}")
    audited = Counter(
        rows(
            dsn,
            "SELECT service, version FROM events WHERE resource_type = 'configuration'",
        )
    )
    if set(audited) != set(stored) or max(audited.values()) > 1:
        found.append("the audit rows are not those of the versions, each once")
    logged = {
        (entry["object"]["service"], entry["version"])
        for entry in map(json.loads, drill.stage.log.read_text().splitlines())
        if entry["object"]["type"] == "configuration"
    }
    if not set(stored) <= logged:
        found.append(f"{len(set(stored) - logged)} changes have no log line")
    if seen.slowest > DEADLINE + MARGIN:
        found.append(f"a request took {seen.slowest:.1f} s, its deadline is {DEADLINE:.0f} s")
    return found


def run(seconds: float) -> tuple[Seen, Counter[str], list[str]]:
    """Write and break for a while; return what was seen, done, and found wrong."""
    stage = Stage()
    seen, done, stop = Seen(), Counter[str](), threading.Event()
    try:
        drill = Drill(stage)
        token = log_in(drill.url)
        writers = [
            threading.Thread(target=write, args=(drill.url, token, seen, stop, seed))
            for seed in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        faults = [
            drill.kill_worker,
            drill.kill_server,
            drill.kill_redis,
            drill.stop_postgres,
            drill.freeze_postgres,
        ]
        end = time.monotonic() + seconds
        while not done or time.monotonic() < end:
            random.shuffle(faults)
            for fault in faults:
                time.sleep(1)
                fault()
                done[fault.__name__] += 1
        time.sleep(2)
        stop.set()
        for writer in writers:
            writer.join()
        return seen, done, violations(drill, seen)
    finally:
        stop.set()
        stage.close()


def main() -> int:
    """Print what happened; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120)
    seen, done, found = run(parser.parse_args().seconds)
    print("faults:", dict(done))  # noqa: T201
    print("answers:", dict(seen.answers))  # noqa: T201
    print(f"acknowledged: {len(seen.acknowledged)}, slowest: {seen.slowest:.2f} s")  # noqa: T201
    print("\n".join(found) or "nothing lost, no gap, all audited and logged")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
