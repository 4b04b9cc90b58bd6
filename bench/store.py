"""What is measured: a PostgreSQL of this run, a hundred users with documents, server processes."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psycopg2
from sqlalchemy import make_url

from app.accounts.service import create_user
from app.auth import crud, tokens
from app.core import db
from app.core.settings import Settings, get_settings
from app.launcher.migrations import migrate
from app.launcher.postgres import embedded_postgres

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = 100
SERVICE = "billing"
NONCE = "100000000"  # as many digits as every other one, so that lengths stay the same
NO_PASSWORD = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAA"
START_SECONDS = 90.0  # the machine may be busy


@dataclass(slots=True)
class Person:
    """A user with a workspace of their own."""

    username: str
    token: str
    version_ids: list[int] = field(default_factory=list)


def document(nonce: str = NONCE) -> dict[str, dict[str, str | int]]:
    """Return a document of about 2 KB that looks like a config."""
    parts: dict[str, dict[str, str | int]] = {"release": {"build": nonce}}
    for number in range(16):
        parts[f"upstream_{number:02}"] = {
            "host": f"node-{number:02}.internal.example.org",
            "port": 5432 + number,
            "timeout": 30,
            "retries": 3,
            "mode": "active" if number % 2 else "standby",
            "region": "eu-central",
        }
    return parts


def body(nonce: str = NONCE) -> bytes:
    """Return the body of an update."""
    return orjson.dumps({"name": SERVICE, "config": document(nonce), "message": "bench"})


@contextmanager
def environment(home: Path, dsn: str) -> Iterator[None]:
    """Set the settings of this run, and nothing from outside."""
    known = {name.upper() for name in Settings.model_fields}
    saved = {name: os.environ.pop(name) for name in known if name in os.environ}
    own = {
        "DATABASE_URL": dsn,
        "DATA_DIR": str(home / "server"),
        "AUDIT_LOG_FILE": str(home / "audit.log"),
        "SECRET_KEY": "bench-signing-key-0123456789-abcdefghijkl",
        "ENCRYPTION_KEY": "bench-encryption-key-0123456789-abcdefgh",
        "LOG_LEVEL": "WARNING",
        "ACCESS_TOKEN_EXPIRE_MINUTES": "600",
    }
    os.environ.update(own)
    get_settings.cache_clear()
    try:
        yield
    finally:
        db.dispose_engines()
        get_settings.cache_clear()
        for name in own:
            os.environ.pop(name, None)
        os.environ.update(saved)


@contextmanager
def prepared() -> Iterator[tuple[str, list[Person], Path]]:
    """Yield a migrated database with people in it, and a directory for scratch files."""
    with tempfile.TemporaryDirectory(prefix="configsync-bench-") as name:
        home = Path(name)
        home.chmod(0o755)
        with embedded_postgres(home / "data", say=lambda _: None) as server:
            connection = psycopg2.connect(server)
            connection.autocommit = True
            connection.cursor().execute("CREATE DATABASE bench")
            connection.close()
            dsn = make_url(server).set(database="bench").render_as_string(hide_password=False)
            with environment(home, dsn):
                migrate()
                yield dsn, create_people(), home


def create_people() -> list[Person]:
    """Create users, logged in, without hashing any password."""
    people = []
    with db.transaction() as session:
        for number in range(PEOPLE):
            name = f"bench{number:03}"
            user = create_user(
                session,
                username=name,
                email=f"{name}@example.org",
                password_hash=NO_PASSWORD,
                role="user",
            )
            text, token = tokens.new_token(user.id)
            ends = datetime.fromtimestamp(token.expires_at, UTC)
            crud.create_login(session, jti=token.jti, user_id=user.id, expires_at=ends)
            people.append(Person(name, text))
    db.dispose_engines()
    return people


def tidy(dsn: str) -> None:
    """Vacuum and checkpoint, so that no measurement pays for the one before."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    connection.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Server:
    """A server process and where it listens."""

    pid: int
    port: int


@contextmanager
def process(command: list[str], port: int, **variables: str) -> Iterator[Server]:
    """Run a server until the block ends; its own process is told to stop."""
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **variables}, stdout=said, stderr=said
        )
        try:
            _await(running, port)
            yield Server(running.pid, port)
        except BaseException:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 2000))
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            running.terminate()
            try:
                running.wait(15)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _await(running: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running.poll() is not None:
            raise RuntimeError(f"the server ended with {running.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                probe.sendall(b"GET /docs HTTP/1.0\r\n\r\n")
                if probe.recv(1):
                    return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the server does not start")


@contextmanager
def configsync(workers: int) -> Iterator[Server]:
    """Run ConfigSync."""
    port = free_port()
    with process(
        [sys.executable, "-m", "app", "serve"], port, SERVICE_PORT=str(port), WORKERS=str(workers)
    ) as server:
        yield server


@contextmanager
def bare() -> Iterator[Server]:
    """Run the bare application the way ConfigSync runs itself."""
    port = free_port()
    code = (
        "import uvicorn; uvicorn.run('bench.bare:app', host='127.0.0.1', "
        f"port={port}, log_config=None, access_log=False, server_header=False)"
    )
    with process([sys.executable, "-c", code], port) as server:
        yield server
