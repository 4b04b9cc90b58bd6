"""`python -m bench scale`: the same requests to a store and to one a hundredth of its size."""

import http.client
import math
import random
import statistics
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import psycopg2
import psycopg2.extensions
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from app.accounts.service import create_user
from app.auth import crud as auth_crud
from app.auth import keys as api_keys
from app.auth import tokens
from app.core import db
from app.launcher.migrations import migrate
from app.launcher.postgres import embedded_postgres
from app.main import create_app
from app.models import ApiKey
from app.workspaces import crud
from app.workspaces.permissions import Permission
from bench import seed, store
from bench.recording import recorded

KEYS = 50
SMALLER = 100
PROMISED = 2.0
BOUNDED = "q: "
"""Searches go through all names and count up to 10,000 keys: bounded, but not flat."""
ROUNDS = 3
EACH = 40  # requests of a kind, a round
WARM_UP = 5
SAMPLE = 3000  # keys to choose from
CHANGES = 10  # keys of a change set
PATIENCE = 4.0  # seconds for a kind, a round; then fewer requests must do
WORKSPACE = "bench"
STAGE = "production"

SIZES = """
SELECT c.relname, c.relkind = 'i', c.reltuples::bigint, pg_relation_size(c.oid),
    coalesce(pg_relation_size(c.reltoastrelid), 0)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i')
    AND coalesce(i.indrelid::regclass::text, c.relname) = ANY (%s)
ORDER BY coalesce(i.indrelid::regclass::text, c.relname), 2, 1
"""

SAMPLES = """
SELECT k.id, k.name, k.value, s.name, e.name
FROM keys AS k JOIN services AS s ON s.id = k.service_id
JOIN environments AS e ON e.id = k.environment_id
WHERE k.id = ANY (%s) AND k.value_type = 'string' AND k.name NOT LIKE 'service%%'
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; `limited`: with the API key that reaches one environment only."""

    method: str
    path: str
    body: Any = None
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a random service."""

    id: int
    name: str
    value: Any
    service: str
    environment: str


class Side:
    """One store and its server, with what requests need to know."""

    def __init__(self, dsn: str, plan: seed.Plan) -> None:
        self.dsn, self.plan = dsn, plan
        self.token = self.limited = ""
        self.sample: list[Key] = []
        self.port = 0
        self._connection: http.client.HTTPConnection | None = None

    def prepare(self, home: Path) -> None:
        """Migrate and seed the database; create a user and an API key."""
        with store.environment(home, self.dsn):
            migrate()
            workspace_id = seed.fill(WORKSPACE, self.plan)
            self._admit(workspace_id)
            self.sample = self._samples()

    def _admit(self, workspace_id: int) -> None:
        with db.transaction() as session:
            user = create_user(
                session,
                username="reader",
                email="reader@example.org",
                password_hash=store.NO_PASSWORD,
                role="user",
            )
            crud.create_member(session, workspace_id=workspace_id, user_id=user.id, role="editor")
            self.token, token = tokens.new_token(user.id)
            ends = datetime.fromtimestamp(token.expires_at, UTC)
            auth_crud.create_login(session, jti=token.jti, user_id=user.id, expires_at=ends)
            self.limited, prefix = api_keys.new_key()
            session.add(
                ApiKey(
                    workspace_id=workspace_id,
                    name="limited",
                    prefix=prefix,
                    digest=api_keys.digest(self.limited),
                    actions=[Permission.READ],
                    services=["*"],
                    environments=[STAGE],
                    addresses=[],
                    created_by="bench",
                )
            )

    def query(self, statement: str, *values: object) -> list[Any]:
        connection = psycopg2.connect(self.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall()
        finally:
            connection.close()

    def _samples(self) -> list[Key]:
        chance = random.Random(0)
        ((first, last),) = self.query("SELECT min(id), max(id) FROM keys")
        ids = [chance.randint(first, last) for _ in range(SAMPLE)]
        return [
            Key(number, name, orjson.loads(value), service, environment)
            for number, name, value, service, environment in self.query(SAMPLES, ids)
        ]

    def send(self, request: Request) -> float:
        """Return how many seconds an answer took; for ever if the server gave up (503)."""
        body = None if request.body is None else orjson.dumps(request.body)
        headers = self.headers(request)
        begin = time.perf_counter()
        try:
            status, content = self._exchange(request, body, headers)
        except (http.client.RemoteDisconnected, ConnectionError):  # idle for too long
            self._connection = None
            begin = time.perf_counter()
            status, content = self._exchange(request, body, headers)
        took = time.perf_counter() - begin
        if status == 503:
            return math.inf
        if status != 200:
            raise RuntimeError(f"{request.path}: {status} {content[:300]!r}")
        return took

    def _exchange(
        self, request: Request, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self._connection.connect()
        self._connection.request(request.method, request.path, body=body, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def headers(self, request: Request) -> dict[str, str]:
        token = self.limited if request.limited else self.token
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


Make = Callable[[Side, random.Random], Request]


def get(path: str, *, limited: bool = False, **query: str | int) -> Request:
    words = urlencode({**query, "workspace": WORKSPACE})
    return Request("GET", f"{path}?{words}", limited=limited)


def listed(**query: str | int) -> Request:
    return get("/api/v1/configs", limited=False, **query)


def place(key: Key) -> str:
    return urlsafe_b64encode(f"{key.name}\n{key.id}".encode()).decode()


def key_of(side: Side, chance: random.Random) -> Key:
    return chance.choice(side.sample)


def nonce(chance: random.Random) -> str:
    return f"written-{chance.getrandbits(60)}"


def effective(side: Side, chance: random.Random) -> Request:
    key = key_of(side, chance)
    return get(f"/config/{key.service}", environment=key.environment)


def past(side: Side, chance: random.Random) -> Request:
    key = key_of(side, chance)
    at = chance.randint(side.plan.configs, side.plan.revisions)
    return get(f"/config/{key.service}", environment=key.environment, at=at)


def documents(side: Side, chance: random.Random) -> Request:
    return get("/config/list", cursor=chance.randint(1, side.plan.configs))


def versions(side: Side, chance: random.Random) -> Request:
    key = key_of(side, chance)
    return get(f"/config/{key.service}/history", environment=key.environment)


def write(side: Side, chance: random.Random) -> Request:
    path = f"/api/v1/configs/{key_of(side, chance).id}?workspace={WORKSPACE}"
    return Request("PUT", path, {"value": nonce(chance)})


def change_set(side: Side, chance: random.Random) -> Request:
    changes = [
        {
            "service": key.service,
            "environment": key.environment,
            "key": key.name,
            "op": "set",
            "value": nonce(chance),
        }
        for key in {key.id: key for key in chance.sample(side.sample, CHANGES)}.values()
    ]
    return Request("POST", f"/api/v1/changes?workspace={WORKSPACE}", {"changes": changes})


MEASURED: tuple[tuple[str, Make], ...] = (
    ("yardstick: who am I", lambda _side, _chance: Request("GET", "/auth/me")),
    ("effective config", effective),
    ("effective config, at an old revision", past),
    ("versions of a document", versions),
    ("stored documents, a page", documents),
    ("one key", lambda side, chance: get(f"/api/v1/configs/{key_of(side, chance).id}")),
    (
        "history of a key",
        lambda side, chance: get(f"/api/v1/config/{key_of(side, chance).id}/history"),
    ),
    ("keys, first page", lambda _side, _chance: listed()),
    ("keys, page by cursor", lambda side, chance: listed(cursor=place(key_of(side, chance)))),
    ("keys of an environment", lambda _side, _chance: listed(environment=STAGE)),
    (
        "keys of an environment, by cursor",
        lambda side, chance: listed(environment=STAGE, cursor=place(key_of(side, chance))),
    ),
    ("keys that are not active", lambda _side, _chance: listed(is_active="false")),
    ("keys of a service", lambda side, chance: listed(app_id=key_of(side, chance).service)),
    ("keys by prefix of many", lambda _side, chance: listed(prefix=chance.choice(seed.GROUPS))),
    ("keys by prefix of few", lambda side, chance: listed(prefix=key_of(side, chance).service)),
    ("q: names of many", lambda _side, chance: listed(q=chance.choice(seed.GROUPS))),
    ("q: names of few", lambda side, chance: listed(q=key_of(side, chance).service)),
    ("q: a value", lambda side, chance: listed(q=key_of(side, chance).value)),
    ("q: a value of many", lambda _side, _chance: listed(q="true")),
    ("keys, API key of one environment", lambda _side, _chance: listed(limited=True)),
    (
        "the same, by cursor",
        lambda side, chance: listed(limited=True, cursor=place(key_of(side, chance))),
    ),
    ("key write", write),
    (f"change set of {CHANGES} keys", change_set),
)
WRITES = ("key write", f"change set of {CHANGES} keys")


def say(text: str = "") -> None:
    print(text, flush=True)


def measure(sides: tuple[Side, ...], make: Make, round_: int) -> list[list[float]]:
    """Send requests of a kind to both servers in turn; return the seconds of each."""
    took: list[list[float]] = [[], []]
    chance = random.Random(round_)
    for _ in range(WARM_UP + EACH):
        for side, seconds in zip(sides, took, strict=True):
            seconds.append(side.send(make(side, chance)))
        if sum(map(sum, took)) > PATIENCE:
            break
    return [seconds[min(WARM_UP, len(seconds) - 1) :] for seconds in took]


def table(sides: tuple[Side, ...]) -> bool:
    """Measure and print everything; say whether the promise holds."""
    found: dict[str, list[list[float]]] = {name: [[], []] for name, _ in MEASURED}
    for writes in (False, True):
        for round_ in range(ROUNDS):
            for name, make in MEASURED:
                if (name in WRITES) == writes:
                    for so_far, more in zip(found[name], measure(sides, make, round_), strict=True):
                        so_far.extend(more)
    say(f"\nMedians in ms, over HTTP on loopback; promised: at most {PROMISED:.0f} times")
    say(f"  {'':<38}{'small':>9}{'full':>9}{'ratio':>8}")
    good = True
    for name, both in found.items():
        small, full = (statistics.median(one) * 1000 for one in both)
        kept = full / small <= PROMISED or name.startswith(BOUNDED)
        good = good and kept
        mark = "  bounded" if name.startswith(BOUNDED) else "" if kept else "  BROKEN"
        say(f"  {name:<38}{small:9.2f}{full:9.2f}{full / small:8.2f}{mark}")
    say(f"  The promise: {'kept' if good else 'NOT KEPT'}")
    return good


def sizes(sides: tuple[Side, ...]) -> None:
    """Print how large tables and indexes are."""
    say("\nSizes in MiB, small and full (tables with what is stored out of line)")
    say(f"  {'':<38}{'rows':>12}{'small':>9}{'full':>9}")
    both = [{name: rest for name, *rest in side.query(SIZES, list(seed.TABLES))} for side in sides]
    total = [0.0, 0.0]
    for name, (index, rows, *_rest) in both[1].items():
        small, full = (sum(side[name][2:]) / 2**20 for side in both)
        total = [total[0] + small, total[1] + full]
        shown = f"  {name}" if index else name
        count = "" if index else f"{rows:,}"
        say(f"  {shown:<38}{count:>12}{small:9.1f}{full:9.1f}")
    say(f"  {'in all':<38}{'':>12}{total[0]:9.1f}{total[1]:9.1f}")


def plans(side: Side, home: Path) -> None:
    """Print how PostgreSQL does what one request of each kind asks for, in the full store."""
    chance = random.Random(1)
    with store.environment(home, side.dsn), TestClient(create_app()) as client:
        for name, make in MEASURED:
            for _ in range(2):  # the second finds caches warm
                request = make(side, chance)
                with recorded() as recording:
                    answer = client.request(
                        request.method,
                        request.path,
                        content=None if request.body is None else orjson.dumps(request.body),
                        headers=side.headers(request),
                    )
            say(f"\n=== {name}: {request.path}: {answer.status_code}")
            for statement in recording.statements:
                explain(side, statement)


def explain(side: Side, statement: str) -> None:
    """Print a statement and its plan; what it did is undone."""
    if statement.startswith("SET LOCAL"):
        return
    say(f"\n--- {' '.join(statement.split())[:400]}")
    waiting = psycopg2.extensions.get_wait_callback()
    psycopg2.extensions.set_wait_callback(None)  # a plan may take its time
    connection = psycopg2.connect(side.dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {statement}")
            for (line,) in cursor.fetchall():
                say(f"    {line[:160]}")
    except psycopg2.Error as error:
        say(f"    {error}")
    finally:
        connection.rollback()
        connection.close()
        psycopg2.extensions.set_wait_callback(waiting)


@contextmanager
def served(side: Side, home: Path, name: str) -> Iterator[None]:
    """Run a server on a store."""
    side.port = store.free_port()
    with store.process(
        [sys.executable, "-m", "app", "serve"],
        side.port,
        DATABASE_URL=side.dsn,
        SERVICE_PORT=str(side.port),
        AUDIT_LOG_FILE=str(home / f"{name}.log"),
    ):
        yield


@contextmanager
def stores(services: int) -> Iterator[tuple[tuple[Side, Side], Path]]:
    """Make both stores on a PostgreSQL of this run."""
    with tempfile.TemporaryDirectory(prefix="configsync-scale-") as name:
        home = Path(name)
        home.chmod(0o755)
        with embedded_postgres(home / "data", say=lambda _: None) as server:
            sides = []
            for database, count in (("small", max(1, services // SMALLER)), ("large", services)):
                connection = psycopg2.connect(server)
                connection.autocommit = True
                connection.cursor().execute(f"CREATE DATABASE {database}")
                connection.close()
                dsn = make_url(server).set(database=database)
                plan = seed.Plan(count, KEYS, count * seed.VERSIONS_EACH)
                side = Side(dsn.render_as_string(hide_password=False), plan)
                begin = time.monotonic()
                side.prepare(home)
                took = time.monotonic() - begin
                say(
                    f"{count:,} services, {plan.configs * KEYS:,} keys, {plan.versions:,} "
                    f"versions: seeded in {took:.0f} s"
                )
                sides.append(side)
            yield (sides[0], sides[1]), home


def run(services: int, *, show_plans: bool) -> bool:
    """Seed, measure and print; say whether the promise holds."""
    with stores(services) as (sides, home), ExitStack() as stack:
        sizes(sides)
        with store.environment(home, sides[1].dsn):
            for side, name in zip(sides, ("small", "full"), strict=True):
                store.tidy(side.dsn)
                stack.enter_context(served(side, home, name))
            good = table(sides)
            stack.close()
        if show_plans:
            plans(sides[1], home)
    return good
