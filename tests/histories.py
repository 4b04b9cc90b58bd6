"""`python -m tests.histories [--seconds N]`: 20 watchers note what they hear while all breaks.

Two servers of one database, three writers; PostgreSQL is restarted and frozen, a server paused
and killed, connections are cut. Afterwards every history is ordered, unique, complete, atomic
and was resumed by its cursor; and a crowd that comes back at once misses nothing.
"""

import argparse
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.client import PASSWORD
from tests.faults import SETTINGS
from tests.listeners import LAST, History, Storm, Watcher, storm, true_changes, violations
from tests.processes import Server, Stage, until

WATCHERS, WRITERS = 20, 3
SERVICES, ENVIRONMENTS = ("billing", "web"), ("staging", "production")
PAUSE = 3.0
Faults = Counter[str]


@dataclass
class Result:
    """What happened and what was wrong."""

    faults: Faults = field(default_factory=Counter)
    histories: list[History] = field(default_factory=list)
    commits: int = 0
    found: list[str] = field(default_factory=list)
    storm: Storm = field(default_factory=Storm)

    @property
    def frames(self) -> int:
        """Return how many frames all watchers had."""
        return sum(len(one.frames) - len(one.starts) for one in self.histories)

    @property
    def seen(self) -> Counter[str]:
        """Return what all watchers met."""
        return sum((one.seen for one in self.histories), Counter())


class Drill:
    """Two servers on one PostgreSQL, and what is done to them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.postgres = stage.postgres()
        self.settings = {**SETTINGS, "DATABASE_URL": self.postgres.dsn}
        migrated = stage.run("migrate", **self.settings)
        assert migrated.returncode == 0, migrated.stderr
        first = stage.start_server(**self.settings)
        self.servers: list[Server] = [first, stage.server(**self.settings)]
        first.ready()
        self.urls = [one.url for one in self.servers]

    def restart_postgres(self) -> None:
        """Stop PostgreSQL in the middle of everything and let it recover."""
        self.postgres.stop_immediately()
        self.postgres.start()

    def freeze_postgres(self) -> None:
        """Freeze PostgreSQL for a while."""
        self.postgres.freeze()
        time.sleep(PAUSE)
        self.postgres.thaw()

    def pause_server(self) -> None:
        """Stop a server where it is, and let it go on."""
        server = random.choice(self.servers)
        server.signal(signal.SIGSTOP)
        time.sleep(PAUSE)
        server.signal(signal.SIGCONT)

    def kill_server(self) -> None:
        """Kill a server and start it again on its port."""
        place = random.randrange(len(self.servers))
        self.servers[place].kill()
        port = self.servers[place].port
        self.servers[place] = self.stage.server(port=port, **self.settings)


class People:
    """Who writes, and what the watchers show."""

    def __init__(self, url: str) -> None:
        person = {"username": "writer", "email": "writer@example.com", "password": PASSWORD}
        httpx.post(f"{url}/auth/register", json=person).raise_for_status()
        answer = httpx.post(f"{url}/login", json={"username": "writer", "password": PASSWORD})
        self.token = str(answer.raise_for_status().json()["access_token"])
        self.headers = {"Authorization": f"Bearer {self.token}"}
        self.keys = {scope: self._key(url, scope) for scope in ("*", *SERVICES)}

    def _key(self, url: str, scope: str) -> str:
        body = {"name": scope, "scopes": {"actions": ["read"], "services": [scope]}}
        answer = httpx.post(f"{url}/api/v1/api-keys", json=body, headers=self.headers)
        return str(answer.raise_for_status().json()["key"])

    def watchers(self, urls: list[str]) -> list[Watcher]:
        """Return watchers of every kind: by login and by key, of all and of some."""
        made = []
        for number in range(WATCHERS):
            scope = ("", "*", *SERVICES)[number % 4]
            wanted = ((), SERVICES[:1], SERVICES[1:], SERVICES)[number // 4 % 4]
            services = frozenset(wanted) & frozenset(SERVICES if scope in {"", "*"} else (scope,))
            history = History(
                services,
                frozenset(ENVIRONMENTS[:1] if number % 3 == 0 else ()),
                frozenset((scope,) if scope in SERVICES else ()),
            )
            token = self.keys[scope] if scope else self.token
            made.append(Watcher(urls, token, history, number))
        return made


def write(people: People, urls: list[str], stop: threading.Event, seed: int) -> None:
    """Change documents and keys at all levels, one or many at once."""
    dice = random.Random(seed)
    with httpx.Client(headers=people.headers, timeout=10, trust_env=False) as client:
        while not stop.is_set():
            try:
                _write(client, dice.choice(urls), dice)
            except httpx.TransportError:
                stop.wait(0.1)
            stop.wait(dice.uniform(0, 0.03))


def _write(client: httpx.Client, url: str, dice: random.Random) -> None:
    environment = dice.choice((None, None, *ENVIRONMENTS))
    value = uuid.uuid4().hex
    if dice.random() < 0.4:
        service = dice.choice((*SERVICES, *SERVICES, "_global"))
        body: dict[str, Any] = {"name": service, "config": {"value": value}}
        client.post(f"{url}/config/update", json=body | _at(environment))
        return
    changes = [
        {"key": f"k{number}", "op": "set", "value": value}
        | _at(dice.choice((None, *ENVIRONMENTS)))
        | ({"service": service} if (service := dice.choice((None, *SERVICES))) else {})
        for number in range(dice.choice((1, 2, 5, 20)))
    ]
    client.post(f"{url}/api/v1/changes", json={"changes": changes})


def _at(environment: str | None) -> dict[str, str]:
    return {"environment": environment} if environment else {}


def finish(people: People, url: str) -> int:
    """Make the change that ends all histories; return its revision."""
    body = {"changes": [{"key": LAST, "op": "set", "value": 1}]}

    def done() -> int:
        answer = httpx.post(f"{url}/api/v1/changes", json=body, headers=people.headers, timeout=20)
        return int(answer.json()["revision"]) if answer.is_success else 0

    return until(done, "the last change is made")


def come_back(drill: Drill, people: People, result: Result, last: int, number: int) -> None:
    """Let a crowd come at once, with the cursor of 50 revisions ago; hold what it gets."""
    truth = true_changes(drill.postgres.dsn, "writer")
    answer = httpx.get(f"{drill.urls[0]}/config/list", headers=people.headers)
    epoch = answer.headers["x-configsync-revision"].partition("-")[0]
    since = max(last - 50, 0)
    result.storm = storm(
        drill.urls, people.keys["*"], since=f"{epoch}-{since}", last=last, number=number
    )
    wanted = [revision for revision in truth if revision > since]
    missed = [got for got in result.storm.frames if got != wanted]
    result.found += [f"the storm: {len(missed)} of {number} did not get all, each once"] * bool(
        missed
    )


def run(seconds: float, crowd: int) -> Result:
    """Watch, write and break for a while; return what was seen and found wrong."""
    stage, stop, result = Stage(), threading.Event(), Result()
    watchers: list[Watcher] = []
    try:
        drill = Drill(stage)
        people = People(drill.urls[0])
        watchers = people.watchers(drill.urls)
        writers = [
            threading.Thread(target=write, args=(people, drill.urls, stop, seed), daemon=True)
            for seed in range(WRITERS)
        ]
        for thread in (*watchers, *writers):
            thread.start()
        break_things(drill, result.faults, seconds)
        stop.set()
        for writer in writers:
            writer.join()
        last = finish(people, drill.urls[0])
        until(lambda: all(one.done for one in watchers), "all have heard the last", seconds=30)
        truth = true_changes(drill.postgres.dsn, "writer")
        result.commits = len(truth)
        result.histories = [one.history for one in watchers]
        for number, history in enumerate(result.histories):
            result.found += [f"watcher {number}: {one}" for one in violations(history, truth)]
        come_back(drill, people, result, last, crowd)
        return result
    finally:
        stop.set()
        for watcher in watchers:
            watcher.stop.set()
        stage.close()


def break_things(drill: Drill, faults: Faults, seconds: float) -> None:
    """Do everything once at least, in any order, until the time is over."""
    kinds = [
        drill.restart_postgres,
        drill.freeze_postgres,
        drill.pause_server,
        drill.kill_server,
    ]
    end = time.monotonic() + seconds
    while not faults or time.monotonic() < end:
        random.shuffle(kinds)
        for fault in kinds:
            time.sleep(1.5)
            fault()
            faults[fault.__name__] += 1
    time.sleep(2)


def main() -> int:
    """Print what happened; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--crowd", type=int, default=2000)
    options = parser.parse_args()
    result = run(options.seconds, options.crowd)
    say = [
        f"faults: {dict(result.faults)}",
        f"{result.commits} commits, {result.frames} frames to {len(result.histories)} watchers",
        f"on the way: {dict(result.seen)}",
        f"storm: {options.crowd} back in {result.storm.slowest:.1f} s, told to try again: "
        + str(result.storm.refused),
        "\n".join(result.found) or "ordered, unique, complete, atomic, resumed",
    ]
    print("\n".join(say))  # noqa: T201
    return 1 if result.found else 0


if __name__ == "__main__":
    sys.exit(main())
