"""Reads while PostgreSQL, Redis and servers fail: real processes, several of them."""

import http.client
import json
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from tests.client import Person, create_key, login, register
from tests.conftest import copy_template, execute, url_of
from tests.processes import KEYS, Postgres, Server, Stage, until

PATHS = ("/config/billing", "/config/get?service=billing", "/api/v1/config/n?service_name=billing")
SETTINGS = {
    **KEYS,
    "REQUEST_DEADLINE_MS": "3000",
    "DB_STATEMENT_TIMEOUT_MS": "1500",
    "DB_CONNECT_TIMEOUT_S": "1",
}
STALE = "x-configsync-stale"
NUMBERS = count()
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Reader:
    """A program that reads from one server."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        headers = {"Authorization": f"Bearer {token}"}
        self.client = server.client(headers=headers, timeout=30)

    def get(self, path: str = PATHS[0]) -> httpx.Response:
        return self.client.get(path)

    def fetch(self, **more: Any) -> httpx.Response:
        return self.client.post("/api/v1/configs/fetch", json={"app_id": "billing", **more})

    def value(self) -> Any:
        """Return `n`."""
        answer = self.get()
        assert answer.status_code == 200, answer.text
        return answer.json()["config"]["n"]

    def all(self) -> list[httpx.Response]:
        return [*map(self.get, PATHS), self.fetch()]


def start(stage: Stage, dsn: str, number: int, **settings: str) -> list[Server]:
    """Start servers of one database."""
    settings = {**SETTINGS, "DATABASE_URL": dsn, **settings}
    servers = [stage.start_server(**settings) for _ in range(number)]
    return [server.ready() for server in servers]


class Setting:
    """Servers on one database, a person who writes and a program that reads."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.clients = [one.client(timeout=30) for one in servers]
        self.ada = register(self.clients[0], f"ada{next(NUMBERS)}")
        self.write(0)
        made = create_key(self.ada, scopes={"actions": ["read"]})
        self.key_id = made["id"]
        self.readers = [Reader(server, made["key"]) for server in self.servers]
        for reader in self.readers:
            for answer in reader.all():
                assert answer.status_code == 200, answer.text

    def close(self) -> None:
        for client in (*self.clients, *(reader.client for reader in self.readers)):
            client.close()

    def at(self, place: int) -> Person:
        """Return the person at another server."""
        return Person(self.clients[place], self.ada.token, self.ada.id, self.ada.username)

    def write(self, number: Any, *, place: int = 0) -> httpx.Response:
        answer = self.at(place).update("billing", {"n": number})
        assert answer.status_code == 200, answer.text
        return answer


def is_stale(answer: httpx.Response) -> bool:
    """Check the labels of an answer; say whether it has them."""
    assert answer.status_code == 200, answer.text
    assert (STALE in answer.headers) == ("warning" in answer.headers)
    if STALE in answer.headers:
        assert answer.headers["warning"].startswith("110 ")
        assert int(answer.headers[STALE]) >= 1
    return STALE in answer.headers


def timed(ask: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    """Return an answer and the seconds that it took."""
    began = time.monotonic()
    answer = ask()
    return answer, time.monotonic() - began


@pytest.fixture(scope="module")
def house() -> Iterator[Stage]:
    """Give a place for what several tests use, each as somebody else."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def postgres(house: Stage) -> Postgres:
    """Give a PostgreSQL that may be stopped and frozen."""
    postgres = house.postgres()
    migrated = house.run("migrate", DATABASE_URL=postgres.dsn, **KEYS)
    assert migrated.returncode == 0, migrated.stderr
    return postgres


@pytest.fixture(scope="module")
def alone(house: Stage, postgres: Postgres) -> list[Server]:
    """Give a server on that PostgreSQL."""
    return start(house, postgres.dsn, 1)


@pytest.fixture
def own(postgres: Postgres, alone: list[Server]) -> Iterator[tuple[Postgres, Setting]]:
    """Give somebody at a server on a PostgreSQL of its own, which is well again afterwards."""
    setting = Setting(alone)
    yield postgres, setting
    setting.close()


def test_stopped_and_started_again(own):
    postgres, setting = own
    [reader] = setting.readers
    postgres.stop_immediately()
    until(lambda: is_stale(reader.get()), "it says that it is stale", seconds=5)
    for _ in range(3):
        for answer in reader.all():
            assert is_stale(answer)
    tag = reader.get().headers["etag"]
    unchanged = reader.client.get(PATHS[0], headers={"If-None-Match": tag})
    assert unchanged.status_code == 304
    assert STALE in unchanged.headers
    for unknown in (
        reader.get("/config/other"),
        reader.get("/config/billing?environment=staging"),
        setting.ada.get("/config/billing"),
        httpx.get(f"{setting.servers[0].url}/config/billing", headers={"X-API-Key": "cs_unknown"}),
    ):
        assert unknown.status_code == 503, unknown.text
        assert unknown.json()["code"] == "database_unavailable"
        assert int(unknown.headers["retry-after"]) >= 1
    late = reader.get("/config/billing?min_revision=99")
    assert (late.status_code, late.json()["code"]) == (503, "revision_not_reached")
    ages = [int(reader.get().headers[STALE])]
    time.sleep(1.1)
    ages.append(int(reader.get().headers[STALE]))
    assert ages[1] > ages[0]
    postgres.start()
    until(lambda: not is_stale(reader.get()), "it is fresh again", seconds=15)
    assert setting.write(1).json()["version"] == 2
    for answer in reader.all():
        assert not is_stale(answer)
    assert reader.value() == 1
    until(lambda: reader.get("/config/_global").status_code == 404, "what is not there is not")


def test_frozen(own):
    postgres, setting = own
    [reader] = setting.readers
    postgres.freeze()
    try:
        time.sleep(2.1)  # what was confirmed before that may be passed on without a word
        answer, took = timed(reader.get)
        assert is_stale(answer)
        assert took < 1.5
        until(lambda: timed(reader.get)[1] < 0.1, "it is known not to answer", seconds=5)
        for path in PATHS:
            answer, took = timed(lambda path=path: reader.get(path))
            assert is_stale(answer)
            assert took < 0.3
        unknown, took = timed(lambda: reader.get("/config/other"))
        assert (unknown.status_code, unknown.json()["code"]) == (503, "database_unavailable")
        assert took < 5
        unknown, took = timed(lambda: setting.ada.get("/config/billing"))
        assert unknown.status_code == 503
        assert took < 5
    finally:
        postgres.thaw()
    until(lambda: not is_stale(reader.get()), "it is fresh again", seconds=15)
    setting.write(1)
    assert reader.value() == 1


@pytest.fixture(scope="module")
def two(house: Stage) -> Iterator[list[Server]]:
    """Give two servers of one database."""
    name = f"test_{uuid.uuid4().hex}"
    copy_template(name)
    yield start(house, url_of(name), 2)
    house.close()
    execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def pair(two: list[Server]) -> Iterator[Setting]:
    """Give somebody at two servers that other tests use too."""
    setting = Setting(two)
    yield setting
    setting.close()


@pytest.fixture
def doomed(stage: Stage, database: str) -> Iterator[Setting]:
    """Give two servers whose database another one takes the place of."""
    setting = Setting(start(stage, database, 2))
    yield setting
    setting.close()


def follows(reader: Reader, number: Any, *, seconds: float = 2) -> None:
    """Check that a server gets to a value."""
    until(lambda: reader.value() == number, f"{number} is read", seconds=seconds)


def test_a_process_that_was_paused(pair):
    """Its first answer is the newest or labelled, however long it was away."""
    for pause in (0.0, 0.3, 1.0, 2.5):
        first, second = pair.readers
        assert not is_stale(second.get())
        pair.servers[1].signal(signal.SIGSTOP)
        pair.write(f"while it slept {pause}")
        time.sleep(pause)
        pair.servers[1].signal(signal.SIGCONT)
        answer = second.get()
        is_new = answer.json()["config"]["n"] == first.value()
        assert is_new or is_stale(answer) or pause == 0, pause
        follows(second, first.value())


def test_a_write_is_read_in_the_other_process(pair):
    took = []
    for number in range(1, 21):
        pair.write(number)
        began = time.monotonic()
        until(lambda number=number: pair.readers[1].value() == number, "read there", seconds=1)
        took.append(time.monotonic() - began)
    assert sorted(took)[len(took) // 2] < 0.25


def test_a_person_reads_the_own_write_in_the_other_process(pair):
    for number in range(1, 31):
        here, there = number % 2, (number + 1) % 2
        revision = pair.write(number, place=here).headers["x-configsync-revision"]
        answer = pair.at(there).get("/config/billing")
        assert answer.json()["config"] == {"n": number}
        assert answer.headers["x-configsync-revision"] == revision
        answer = pair.at(there).post("/api/v1/configs/fetch", {"app_id": "billing"})
        assert answer.json()["configs"] == {"n": number}
    for number in range(10):
        old, new = ("billing", "payments") if number % 2 == 0 else ("payments", "billing")
        here, there = number % 2, (number + 1) % 2
        assert pair.at(there).get(f"/config/{old}").status_code == 200
        path = f"/api/v1/workspaces/{pair.ada.username}/services/{old}"
        renamed = pair.at(here).request("PATCH", path, json={"name": new})
        assert renamed.status_code == 200, renamed.text
        assert pair.at(there).get(f"/config/{old}").status_code == 404, number
        assert pair.at(there).get(f"/config/{new}").status_code == 200


def test_a_key_revoked_there_is_refused_here(pair):
    first, second = pair.readers
    for _ in range(3):
        assert second.get().status_code == 200
    path = f"/api/v1/api-keys/{pair.key_id}"
    assert pair.ada.request("DELETE", path).status_code == 204
    assert first.get().status_code == 401
    until(lambda: second.get().status_code == 401, "refused", seconds=1)
    for answer in second.all():
        assert answer.status_code == 401


def test_long_polls_in_the_other_process(pair):
    """Also with a body that comes in pieces."""
    version = pair.readers[1].fetch().json()["version"]
    body = json.dumps({"app_id": "billing", "version": version, "wait": 20}).encode()
    with socket.create_connection(("127.0.0.1", pair.servers[1].port), timeout=20) as link:
        token = pair.readers[1].client.headers["authorization"]
        link.sendall(
            f"POST /api/v1/configs/fetch HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        for place in range(0, len(body), 10):
            link.sendall(body[place : place + 10])
            time.sleep(0.01)
        link.settimeout(1)
        with pytest.raises(TimeoutError):
            link.recv(1)
        link.settimeout(20)
        pair.write("polled")
        answer = http.client.HTTPResponse(link)
        answer.begin()
        assert json.loads(answer.read())["configs"] == {"n": "polled"}


def epoch_of(answer: httpx.Response) -> str:
    """Return the epoch that an answer names."""
    return answer.headers["x-configsync-revision"].rpartition("-")[0]


def restored(pair: Setting, expected: Any, before: str, head: int) -> None:
    """Check that both servers answer what was restored, in a new epoch."""
    for reader in pair.readers:

        def is_new(reader: Reader = reader) -> bool:
            answer = reader.get()
            if answer.status_code != 200 or epoch_of(answer) == before:
                return False
            assert answer.json()["config"] == {"n": expected}, "a new epoch with old values"
            return True

        until(is_new, "a new epoch", seconds=4)
        for path in PATHS:
            answer = reader.get(path)
            assert epoch_of(answer) != before
            assert int(answer.headers["x-configsync-revision"].rpartition("-")[2]) == head
        old = reader.get(f"/config/billing?min_revision={before}-1")
        assert (old.status_code, old.json()["code"]) == (410, "unknown_epoch")
    assert len({epoch_of(reader.get()) for reader in pair.readers}) == 1, "one epoch for all"
    pair.ada = login(pair.clients[0], pair.ada.username)
    pair.write("after")
    until(lambda: {one.value() for one in pair.readers} == {"after"}, "goes on", seconds=2)


def test_an_older_dump_is_loaded_under_running_servers(stage, doomed, database):
    file = stage.place / "older.dump"
    doomed.write("dumped")
    done = stage.run("dump", str(file), DATABASE_URL=database, **KEYS)
    assert done.returncode == 0, done.stderr
    for number in range(3):
        answer = doomed.write(number)
    for reader in doomed.readers:
        until(lambda reader=reader: reader.value() == 2, "read", seconds=2)
    done = stage.run("load", str(file), "--replace", DATABASE_URL=database, **KEYS)
    assert done.returncode == 0, done.stderr
    restored(doomed, "dumped", epoch_of(answer), 2)


def swap(database: str, other: str) -> None:
    """Put another database in the place of one, and leave the first aside."""
    name, copy = (url.rpartition("/")[2].partition("?")[0] for url in (database, other))
    for one in (name, copy):
        execute(f"ALTER DATABASE {one} ALLOW_CONNECTIONS false")
        execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{one}'")
    aside = f"test_{uuid.uuid4().hex}"
    execute(f"ALTER DATABASE {name} RENAME TO {aside}")
    execute(f"ALTER DATABASE {copy} RENAME TO {name}")
    execute(f"ALTER DATABASE {aside} RENAME TO {copy}")
    execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_an_older_copy_takes_the_place_of_the_database(doomed, database):
    """Nobody begins a new epoch for it: the servers notice and do."""
    doomed.write("copied")
    name = database.rpartition("/")[2].partition("?")[0]
    copy = f"test_{uuid.uuid4().hex}"
    for _ in range(100):  # while nobody is connected for a moment
        execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
            break
        except psycopg2.errors.ObjectInUse:
            continue
    try:
        for number in range(3):
            until(lambda: doomed.readers[0].get().status_code == 200, "it is there again")
            answer = until(lambda number=number: written(doomed, number), "written", seconds=10)
        for reader in doomed.readers:
            until(lambda reader=reader: reader.get().json()["config"] == {"n": 2}, "read")
        swap(database, url_of(copy))
        restored(doomed, "copied", epoch_of(answer), 2)
    finally:
        execute(f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")


def written(pair: Setting, number: int) -> httpx.Response | None:
    answer = pair.ada.update("billing", {"n": number})
    return answer if answer.status_code == 200 else None


def test_redis_has_nothing_to_do_with_reads(stage, database):
    redis = stage.redis()
    setting = Setting(start(stage, database, 1, REDIS_URL=redis.url))
    [reader] = setting.readers

    def works(what: str) -> None:
        setting.write(what)
        for _ in range(2):
            for answer in reader.all():
                assert not is_stale(answer)
        answer, took = timed(reader.get)
        assert (answer.json()["config"], took < 0.5) == ({"n": what}, True)

    works("with it")
    with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as link:
        link.sendall(b"FLUSHALL\r\n")
        assert link.recv(16).startswith(b"+OK")
    works("wiped")
    redis.signal(signal.SIGSTOP)
    works("silent")
    redis.signal(signal.SIGCONT)
    redis.kill()
    works("killed")
    setting.close()


@pytest.mark.skipif(not FAKETIME, reason="there is no libfaketime")
@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_a_clock_an_hour_off(stage, pair, offset):
    """Only the database's clock counts: for keys, for what is fresh, for what is stale."""
    wrong = stage.server(
        **pair.servers[0].settings,
        LD_PRELOAD=str(FAKETIME[0]),
        FAKETIME=offset,
        DONT_FAKE_MONOTONIC="1",
    )
    ends = datetime.now(UTC) + timedelta(seconds=6)
    scopes = {"actions": ["read"]}
    short = create_key(pair.ada, scopes=scopes, expires_at=ends.isoformat())
    half = datetime.now(UTC) + timedelta(minutes=30)
    long = create_key(pair.ada, scopes=scopes, expires_at=half.isoformat())
    readers = [Reader(wrong, one["key"]) for one in (short, long)]
    for number in range(3):
        pair.write(number)
        for reader in readers:
            follows(reader, number, seconds=1)
            assert not is_stale(reader.get())
    until(lambda: readers[0].get().status_code == 401, "it ends when the database says")
    assert datetime.now(UTC) > ends
    assert readers[0].get().json()["code"] == "api_key_expired"
    assert pair.ada.request("DELETE", f"/api/v1/api-keys/{long['id']}").status_code == 204
    until(lambda: readers[1].get().status_code == 401, "it is revoked", seconds=1)
    for reader in readers:
        reader.client.close()
