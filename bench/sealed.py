"""`python -m bench secrets` and `rotation`: what secrets cost those who read, and new data keys."""

import http.client
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
import psycopg2
import psycopg2.extensions

from bench import load, store
from bench.load import Load
from bench.scale import say

KEYS, SECRETS = 20, 10  # of a service that is fetched, and how many of them are secrets
CONNECTIONS = (1, 32)
PLAIN, SEALED = "plain", "sealed"
READ, REVEAL = ["read"], ["read", "read_secrets"]
BULLETS = "••••••••"

EACH = 200  # secrets of a service whose keys are rotated
READERS = 4
BATCH = 200  # rows of one transaction, as in app/secrets/rotation.py
STAGES = (None, "development", "staging", "production")  # each has a data key of its own
SHOWN = 5  # failures

READS = """
SELECT count(*), count(DISTINCT xmin::text) FROM events WHERE action = 'read_secret' AND id > %s
"""
LEFT = """
SELECT count(*) FROM secrets AS s JOIN yardstick AS y USING (handle)
WHERE s.data_key_id = abs(y.data_key_id)
"""
NEXT = "SELECT handle, ciphertext FROM yardstick WHERE handle > %s ORDER BY handle LIMIT %s"
UPDATE = """
UPDATE yardstick AS y SET data_key_id = -y.data_key_id, ciphertext = new.ciphertext
FROM unnest(%s::text[], %s::bytea[]) AS new (handle, ciphertext) WHERE y.handle = new.handle
"""


class Client:
    """One keep-alive connection of somebody who looks at the answers."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        content = None if body is None else orjson.dumps(body)
        try:
            self._connection.request(method, path, body=content, headers=self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next call opens it again
            raise

    def post(self, path: str, body: Any) -> Any:
        status, content = self.send("POST", path, body)
        if status not in {200, 201}:
            raise RuntimeError(f"{path}: {status} {content[:300]!r}")
        return orjson.loads(content)

    def new_key(self, actions: list[str]) -> str:
        """Return the text of a new API key."""
        new = {"name": "-".join(actions), "scopes": {"actions": actions}}
        made = self.post("/api/v1/api-keys", new)
        return str(made["key"])


@contextmanager
def connected(dsn: str) -> Iterator[psycopg2.extensions.connection]:
    """Connect to the database, without the deadlines of the application."""
    waiting = psycopg2.extensions.get_wait_callback()
    psycopg2.extensions.set_wait_callback(None)
    connection = psycopg2.connect(dsn)
    try:
        yield connection
    finally:
        connection.close()
        psycopg2.extensions.set_wait_callback(waiting)


def query(dsn: str, statement: str, *values: object) -> tuple[Any, ...]:
    """Return the one row that a statement finds."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone() or ()


def settle(dsn: str) -> None:
    """Let the audit log catch up, then tidy: no measurement pays for the one before."""
    deadline = time.monotonic() + 30
    while query(dsn, "SELECT count(*) FROM event_pending")[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    store.tidy(dsn)


# What a fetch costs


Route = Callable[[str, str], bytes]


def fetch(service: str, key: str) -> bytes:
    return load.post("/api/v1/configs/fetch", key, orjson.dumps({"app_id": service}))


def effective(service: str, key: str) -> bytes:
    return load.get(f"/config/{service}", key)


ROUTES: dict[str, Route] = {"POST fetch": fetch, "GET config": effective}


class Repeated:
    """The same request again and again, counted."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.sent = 0

    def __call__(self, number: int) -> bytes:
        self.sent = number + 1
        return self._request


@dataclass(frozen=True, slots=True)
class Fetched:
    """A measurement, with the events of reads that it left, and the commits that wrote them."""

    result: Load
    sent: int
    events: int
    commits: int

    def __add__(self, other: "Fetched") -> "Fetched":
        return Fetched(
            self.result + other.result,
            self.sent + other.sent,
            self.events + other.events,
            self.commits + other.commits,
        )


class Fetches:
    """Two services with the same values, one with secrets, on a server that fetches them."""

    def __init__(self, server: store.Server, person: store.Person, dsn: str) -> None:
        self._port, self._dsn = server.port, dsn
        owner = Client(server.port, person.token)
        values = {f"key_{number:02}": value_of(0, number) for number in range(KEYS)}
        some = {
            name: {"$secret": value} if number < SECRETS else value
            for number, (name, value) in enumerate(values.items())
        }
        masked = {name: BULLETS if some[name] != value else value for name, value in values.items()}
        for service, config in ((PLAIN, values), (SEALED, some)):
            owner.post("/config/update", {"name": service, "config": config})
        reader, revealer = owner.new_key(READ), owner.new_key(REVEAL)
        self._cases = {
            "no secrets": (PLAIN, revealer, values),
            "masked": (SEALED, reader, masked),
            "revealed": (SEALED, revealer, values),
        }
        for service, key, expected in self._cases.values():
            got = Client(server.port, key).post("/api/v1/configs/fetch", {"app_id": service})
            assert got["configs"] == expected

    def measure(self, case: str, route: Route, *, connections: int, seconds: float) -> Fetched:
        """Fetch for a while."""
        settle(self._dsn)
        (last,) = query(self._dsn, "SELECT coalesce(max(id), 0) FROM events")
        service, key, _ = self._cases[case]
        make = Repeated(route(service, key))
        sockets = load.connect(self._port, connections)
        try:
            result = load.run(sockets, make, seconds=seconds)
        finally:
            load.close(sockets)
        if result.failed:
            raise RuntimeError(f"calls failed; answers by status: {result.statuses}")
        return Fetched(result, make.sent, *query(self._dsn, READS, last))

    def compare(self, route: Route, *, connections: int, seconds: float) -> dict[str, Fetched]:
        """Measure all cases, that without secrets in two halves around the others."""

        def measure(case: str, seconds: float) -> Fetched:
            return self.measure(case, route, connections=connections, seconds=seconds)

        first = measure("no secrets", seconds / 2)
        found = {case: measure(case, seconds) for case in ("masked", "revealed")}
        return {"no secrets": first + measure("no secrets", seconds / 2), **found}


def fetches(person: store.Person, dsn: str, *, seconds: float, brief: bool) -> bool:
    """Print what secrets cost a fetch; say whether each read that reveals has its event."""
    say(f"\nFetches: 1 process, {KEYS} keys of which {SECRETS} are secrets, beside none; API keys")
    say("  route       conn.  answer         req/s  p50 ms  p99 ms   ratio  commits  reads/commit")
    good = True
    with store.configsync(1) as server:
        both = Fetches(server, person, dsn)
        for name, route in list(ROUTES.items())[: 1 if brief else None]:
            for connections in CONNECTIONS:
                found = both.compare(route, connections=connections, seconds=seconds)
                yardstick = found["no secrets"].result.per_second
                for case, one in found.items():
                    good = good and one.events == (one.sent if case == "revealed" else 0)
                    say(f"  {name:<12}{connections:5}  {case:<11}{_figures(one, yardstick)}")
    say(f"  Exactly one event for each read that reveals: {'kept' if good else 'NOT KEPT'}")
    return good


def _figures(one: Fetched, yardstick: float) -> str:
    result = one.result
    shared = f"{one.commits:9}{one.events / one.commits:14.1f}" if one.commits else ""
    return (
        f"{result.per_second:9.0f}{result.percentile(50):8.2f}{result.percentile(99):8.2f}"
        f"{result.per_second / yardstick:8.3f}{shared}"
    )


# New data keys under everything, while readers read


def value_of(service: int, key: int) -> str:
    """Return what is stored; no two are equal."""
    return f"value-{service:05}-{key:03}-{'0123456789' * 2}"


def address(service: int) -> dict[str, str]:
    """Return the name of a service and the environment that it is stored in."""
    stage = STAGES[service % len(STAGES)]
    return {"app_id": f"service-{service:05}"} | ({"environment": stage} if stage else {})


def document(service: int) -> dict[str, str]:
    return {f"key_{key:03}": value_of(service, key) for key in range(EACH)}


def wrong(service: int, status: int, content: bytes) -> str | None:
    """Say what is wrong with an answer, if anything is."""
    if status != 200:
        return f"{status} {content[:200]!r}"
    got, expected = orjson.loads(content)["configs"], document(service)
    if got.keys() != expected.keys():
        return f"service {service}: {len(got)} keys"
    differing = [name for name, value in expected.items() if got[name] != value]
    return f"service {service}: wrong values of {differing[:SHOWN]}" if differing else None


@dataclass(slots=True)
class Span:
    """What happened from one moment to another."""

    begin: float = field(default_factory=time.perf_counter)
    end: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@contextmanager
def timed() -> Iterator[Span]:
    span = Span()
    yield span
    span.end = time.perf_counter()


class Readers:
    """Threads that fetch random services and look at every value until the block ends."""

    def __init__(self, port: int, token: str, services: int) -> None:
        self._port, self._token, self._services = port, token, services
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(READERS)
        ]
        self.reads: list[tuple[float, float]] = []  # when each ended, and its seconds
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        client = Client(self._port, self._token)
        while not self._ended.is_set():
            self.read(client, chance.randrange(self._services))

    def read(self, client: Client, service: int) -> None:
        """Fetch a service once and look at it."""
        begin = time.perf_counter()
        try:
            answer = client.send("POST", "/api/v1/configs/fetch", address(service))
            end = time.perf_counter()
            reason = wrong(service, *answer)
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError, LookupError) as error:
            end = time.perf_counter()
            reason = f"service {service}: {error!r}"
        self.reads.append((end, end - begin))
        if reason:
            self.failures.append(reason)

    def read_all(self) -> None:
        """Fetch every service once."""
        client = Client(self._port, self._token)
        for service in range(self._services):
            self.read(client, service)

    def during(self, spans: Sequence[Span]) -> Load:
        """Return the reads that ended in one of these spans."""
        took = [
            seconds
            for at, seconds in list(self.reads)
            if any(span.begin <= at < span.end for span in spans)
        ]
        return Load(sum(span.seconds for span in spans), took, {}, 0.0)


class Yardstick:
    """Plain SQL: rows with other bytes of the same sizes, as many to a transaction, no crypto.

    The table has the columns and indexes of `secrets`.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._after = ""
        with connected(dsn) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE yardstick (LIKE secrets INCLUDING ALL)")
            cursor.execute("INSERT INTO yardstick SELECT * FROM secrets")
            connection.commit()

    def update(self, rows: int) -> None:
        """Update the next rows, rounded up to whole batches."""
        with connected(self._dsn) as connection, connection.cursor() as cursor:
            for _ in range(0, rows, BATCH):
                cursor.execute(NEXT, (self._after, BATCH))
                found = [(handle, bytes(ciphertext)) for handle, ciphertext in cursor.fetchall()]
                if not found:
                    return
                others = [ciphertext[::-1] for _, ciphertext in found]
                cursor.execute(UPDATE, ([handle for handle, _ in found], others))
                connection.commit()
                self._after = found[-1][0]


def write_all(port: int, person: store.Person, services: int) -> str:
    """Write the services, every value a secret; return an API key that reads them."""
    owner = Client(port, person.token)
    for service in range(services):
        place = address(service)
        config = {name: {"$secret": value} for name, value in document(service).items()}
        body = {"name": place.pop("app_id"), "config": config, **place}
        owner.post("/config/update", body)
    return owner.new_key(REVEAL)


def keys(action: str) -> str:
    """Run `python -m app keys …` in a process of its own; return what it says."""
    command = [sys.executable, "-m", "app", "keys", action]
    done = subprocess.run(command, cwd=store.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"keys {action} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stderr


@dataclass(frozen=True, slots=True)
class Rotated:
    """What happened, and when."""

    before: Span
    start: Span
    plain: tuple[Span, Span]
    rotation: Span
    said: str


def rotate(dsn: str, secrets: int, seconds: float) -> Rotated:
    """Rotate between two halves of the yardstick."""
    half = secrets // 2
    yardstick = Yardstick(dsn)
    settle(dsn)
    with timed() as before:
        time.sleep(seconds)
    with timed() as start:
        keys("status")
    with timed() as first:
        yardstick.update(half)
    with timed() as rotation:
        said = keys("rotate")
    with timed() as second:
        yardstick.update(secrets - half)
    return Rotated(before, start, (first, second), rotation, said)


def report(readers: Readers, found: Rotated, secrets: int) -> None:
    """Print the figures."""
    plain = sum(span.seconds for span in found.plain)
    took = found.rotation.seconds
    say(
        f"\nNew data keys under {secrets:,} secrets; {READERS} readers without a pause, {EACH} each"
    )
    say("                   seconds  secrets/s    reads  reads/s  p50 ms  p99 ms")
    for name, spans, rows in (
        ("before", [found.before], 0),
        ("plain UPDATE", found.plain, secrets),
        ("keys rotate", [found.rotation], secrets),
    ):
        read = readers.during(spans)
        rate = f"{rows / read.seconds:11.0f}" if rows else f"{'':11}"
        say(
            f"  {name:<14}{read.seconds:10.1f}{rate}{len(read.latencies):9}"
            f"{read.per_second:9.1f}{read.percentile(50):8.1f}{read.percentile(99):8.1f}"
        )
    say(
        f"  ratio {plain / took:.2f}. Of the seconds, the start of the process took about "
        f"{found.start.seconds:.1f} (`keys status` beside\n  the same readers). Plain UPDATE: rows "
        "of the same sizes, as many to a transaction, the same\n  indexes, no crypto; half of it "
        "before, half after."
    )


def verdict(readers: Readers, found: Rotated, dsn: str, secrets: int) -> bool:
    """Print what went wrong; say whether nothing did."""
    told = re.search(r"Sealed (\d+) secrets anew", found.said)
    sealed = int(told[1]) if told else 0
    (left,) = query(dsn, LEFT)
    for reason in readers.failures[:SHOWN]:
        say(f"  failure: {reason}")
    say(
        f"  sealed anew: {sealed:,}; under old keys: {left}; failures: {len(readers.failures)} "
        f"of {len(readers.reads):,} reads (every service again at the end)"
    )
    good = sealed == secrets and left == 0 and not readers.failures
    say(f"  No read fails while keys rotate: {'kept' if good else 'NOT KEPT'}")
    return good


def rotation(count: int, *, seconds: float) -> bool:
    """Write secrets, rotate their keys while readers read; say whether nothing failed."""
    services = max(1, count // EACH)
    secrets = services * EACH
    with store.prepared() as (dsn, people, _), store.configsync(1) as server:
        with timed() as writing:
            key = write_all(server.port, people[0], services)
        say(f"{secrets:,} secrets in {services} services: written in {writing.seconds:.0f} s")
        with Readers(server.port, key, services) as readers:
            found = rotate(dsn, secrets, seconds)
        readers.read_all()
        report(readers, found, secrets)
        return verdict(readers, found, dsn, secrets)
