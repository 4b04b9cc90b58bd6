"""Real PostgreSQL for every test: one server a run, one migrated template, one copy a test."""

import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Dialect, Engine, event, make_url
from sqlalchemy.util import LRUCache
from starlette.routing import BaseRoute

from app import api
from app.auth import passwords, tokens
from app.background import sweep
from app.core import db
from app.core.settings import Settings, get_settings
from app.launcher.migrations import migrate
from app.launcher.postgres import embedded_postgres
from app.main import create_server
from app.outbox import broker
from app.outbox.recorder import recorder
from app.secrets.keyring import get_keyring
from app.usage.recorder import usage
from tests.client import Briefly, Person, first_admin, register

TEMPLATE = "configsync_template"
KEY = pytest.StashKey[ExitStack]()
UNMEASURED = (
    *("tests/bench/", "tests/canary/", "tests/cli/", "tests/docs/", "tests/external/"),
    *("tests/matrix/", "tests/model/", "tests/sdk/", "tests/core/test_openapi.py"),
    *("tests/process/test_faults.py", "tests/process/test_histories.py"),
    *("tests/process/test_serving_faults.py", "tests/process/test_database_faults.py"),
    *("tests/process/test_secret_keys_by_command.py", "tests/process/test_streams.py"),
    *("tests/rotators/test_killed_rotations.py", "tests/serving/test_same_answer.py"),
    "tests/serving/test_memory.py",
)
"""What makes many calls of lines that other tests reach too: being measured doubles its time."""
LONGEST = (
    *("tests/process/test_serving_faults.py", "tests/process/test_commands.py"),
    *("tests/canary/", "tests/model/", "tests/process/", "tests/matrix/"),
    *("tests/serving/test_memory.py", "tests/core/test_openapi.py", "tests/rotators/"),
    *("tests/serving/", "tests/sdk/", "tests/cli/"),
)
"""What comes first, so that no worker is left with much at the end."""


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the process that hands out the tests."""
    if hasattr(config, "workerinput"):
        os.environ["CONFIGSYNC_TEST_DSN"] = config.workerinput["dsn"]
        return
    stack = config.stash[KEY] = ExitStack()
    home = Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="configsync-", dir=memory()))
    )
    home.chmod(0o755)
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Otherwise every process that a test starts compiles all it imports.
        os.environ["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
    dsn = stack.enter_context(embedded_postgres(home / "data", say=lambda _: None))
    os.environ["CONFIGSYNC_TEST_DSN"] = dsn
    execute("ALTER ROLE ALL SET wal_compression = off")  # it costs more than memory is worth
    execute(f"CREATE DATABASE {TEMPLATE}")
    with environment(DATABASE_URL=url_of(TEMPLATE)):
        migrate()
        make_partitions()


def make_partitions() -> None:
    """Have the months to come in the template, so that no test's server needs to make them."""
    with db.transaction() as session:
        for table in sweep.PARTITIONED:
            sweep.make_partitions(session, table=table, today=datetime.now(UTC))


def memory() -> str | None:
    """Return a file system in memory with room for the databases, where fsync costs nothing."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > 2 * 1024**3
    return str(shared) if roomy and os.access(shared, os.W_OK) else None


def pytest_configure_node(node) -> None:
    """Tell a worker process where PostgreSQL is."""
    node.workerinput["dsn"] = os.environ["CONFIGSYNC_TEST_DSN"]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop PostgreSQL."""
    if KEY in config.stash:
        config.stash[KEY].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first."""

    def place(item: pytest.Item) -> int:
        found = (n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start))
        return next(found, len(LONGEST))

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Do not measure what would measure the same again, nor the processes that it starts."""
    plugin = item.config.pluginmanager.get_plugin("_cov")
    measuring = plugin.cov_controller if plugin else None
    if measuring is None or not item.nodeid.startswith(UNMEASURED):
        return (yield)
    inherited = os.environ.pop("COVERAGE_PROCESS_CONFIG")
    measuring.pause()
    try:
        return (yield)
    finally:
        os.environ["COVERAGE_PROCESS_CONFIG"] = inherited
        measuring.resume()


def url_of(name: str) -> str:
    """Return the URL of a database of the test server."""
    url = make_url(os.environ["CONFIGSYNC_TEST_DSN"]).set(database=name)
    return url.render_as_string(hide_password=False)


def execute(statement: str) -> None:
    """Run a statement for the whole server."""
    connection = psycopg2.connect(os.environ["CONFIGSYNC_TEST_DSN"])
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()


def copy_template(name: str) -> None:
    """Create a migrated, empty database; copied as files, it costs half of what the log does."""
    execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")


def forget_settings() -> None:
    """Let the next use read the settings anew."""
    db.dispose_engines()
    for cached in (get_settings, broker.get_celery, passwords._places, get_keyring):
        cached.cache_clear()
    tokens._verified.clear()


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables, and nothing from outside, for a while."""
    known = {name.upper() for name in Settings.model_fields}
    saved = {name: os.environ.pop(name) for name in known if name in os.environ}
    os.environ.update(variables)
    forget_settings()
    try:
        yield
    finally:
        forget_settings()
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(saved)


@pytest.fixture(scope="session", autouse=True)
def _routes() -> Iterator[None]:
    """Let all applications share their routes, which FastAPI works out at the first request."""
    routes: list[BaseRoute] = []
    mount = api.mount

    def mount_once(app: FastAPI) -> None:
        if not routes:
            own = len(app.router.routes)
            mount(app)
            routes.extend(app.router.routes[own:])
        else:
            app.router.routes.extend(routes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "mount", mount_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _statements() -> Iterator[None]:
    """Let the engines of all tests share what SQLAlchemy compiles for this server."""
    server = make_url(os.environ["CONFIGSYNC_TEST_DSN"]).set(drivername="postgresql+psycopg2")
    dialects: dict[str | None, Dialect] = {}
    compiled: LRUCache[Any, Any] = LRUCache(2000)
    create = db.create_engine

    def create_sharing(*args: Any, **options: Any) -> Engine:
        engine = create(*args, **options)
        level = options.get("isolation_level")
        if level not in dialects:
            known = create(server, isolation_level=level)
            known.connect().close()
            known.dispose()
            dialects[level] = known.dialect
        engine.dialect = dialects[level]
        engine._compiled_cache = compiled
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "create_engine", create_sharing)
        yield


@pytest.fixture
def database() -> Iterator[str]:
    """Return the URL of a database of this test's own, migrated and empty."""
    name = f"test_{uuid.uuid4().hex}"
    copy_template(name)
    yield url_of(name)
    execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def variables() -> dict[str, str]:
    """Return settings that a module or test overrides."""
    return {}


@pytest.fixture
def settings(database: str, variables: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    """Return the settings of this test."""
    with environment(
        **{
            "DATABASE_URL": database,
            "DATA_DIR": str(tmp_path / "data"),
            "AUDIT_LOG_FILE": str(tmp_path / "audit.log"),
            "DB_STATEMENT_TIMEOUT_MS": "20000",  # a busy machine is no reason to fail
            "REQUEST_DEADLINE_MS": "30000",
            "SECRET_KEY": "test-signing-key-0123456789-abcdefghijkl",
            "ENCRYPTION_KEY": "test-encryption-key-0123456789-abcdefgh",
            **variables,
        }
    ):
        yield get_settings()


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords at the least cost; tests of accounts pay the whole."""
    least = passwords._context.copy(argon2__memory_cost=8, argon2__time_cost=1)
    monkeypatch.setattr(passwords, "_context", least)


@pytest.fixture
def client(settings: Settings, hashing: None) -> Iterator[TestClient]:
    """Return a client of the whole application, its background thread running."""
    recorder.__init__()
    usage.__init__()
    with TestClient(Briefly(create_server()), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ada(client: TestClient) -> Person:
    """Return an ordinary user, logged in."""
    return register(client, "ada")


@pytest.fixture
def bob(client: TestClient) -> Person:
    """Return another one."""
    return register(client, "bob")


@pytest.fixture
def admin(client: TestClient) -> Person:
    """Return the first admin, who acts in `default`."""
    return first_admin(client)


QueryRecorder = Callable[[], AbstractContextManager[list[str]]]


@contextmanager
def record_queries() -> Iterator[list[str]]:
    """Collect the statements that requests send, without those of the background thread."""
    statements: list[str] = []

    def note(_connection, _cursor, statement: str, *_: object) -> None:
        if not threading.current_thread().name.startswith("background"):
            statements.append(statement)

    engine = db.get_engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def query_recorder(settings: Settings) -> QueryRecorder:
    """Return what counts statements: `with query_recorder() as queries:`."""
    return record_queries
