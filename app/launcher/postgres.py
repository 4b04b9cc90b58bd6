"""The embedded PostgreSQL: started on the data directory, found again, stopped by its owner."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from app.launcher.pg_cluster import NAME, Cluster, Postmaster, environment, write_private
from app.launcher.pg_user import (
    FALLBACK_HOME,
    EmbeddedPostgresError,
    account_for,
    binary,
    data_home,
    identity,
    make_home,
    open_private,
    own_directory,
    programs_for,
    take_over,
)

__all__ = ["EmbeddedPostgresError", "binary", "data_home", "dsn_file", "embedded_postgres"]

PORT = 5432  # only part of the socket's name
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103  # bytes in sockaddr_un
LARGEST_LOG = 10 * 1024 * 1024
PATIENCE = 120.0  # seconds; crash recovery may take as long as it needs
QUIET = 3.0  # seconds before we say that we wait
FAST_SHUTDOWN, IMMEDIATE_SHUTDOWN = 30.0, 10.0  # seconds
POLL = 0.05

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "jit": "off",
    "log_error_verbosity": "terse",  # DETAIL quotes rows and other sessions' queries
    "log_min_error_statement": "panic",  # psycopg2 puts the values into the statement
    "log_min_messages": "warning",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
    "wal_compression": "on",
}


def dsn_file(data_dir: Path, *, fallback: Path = FALLBACK_HOME) -> Path:
    """Return the file where other processes find the DSN of the running PostgreSQL."""
    return data_home(data_dir, fallback=fallback) / "postgres" / "dsn"


@contextmanager
def embedded_postgres(
    data_dir: Path, *, say: Callable[[str], None], fallback: Path = FALLBACK_HOME
) -> Iterator[str]:
    """Yield the DSN of a running PostgreSQL on data_dir; stop it at the end if we own it."""
    with _as_a_sentence():
        cluster = _prepare(data_dir, say, fallback)
        lock = open_private(cluster.base / "launcher.lock", os.O_RDWR | os.O_CREAT, cluster.account)
    server = _Server(cluster, say)
    owner = 0
    try:
        with _as_a_sentence():
            running = server.wait_for_another_owner(lock)
            if running is None:
                owner = os.getpid()
                running = server.start()
                cluster.create_database(running)
                write_private(cluster.base / "dsn", cluster.dsn(running), cluster.account)
            dsn = cluster.dsn(running)
        yield dsn
    finally:
        if owner == os.getpid():  # not a child that was forked inside the with block
            server.stop()
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough while such a child lives
        os.close(lock)


@contextmanager
def _as_a_sentence() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError, psycopg2.Error) as error:
        raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot be used: {error}") from error


def _prepare(data_dir: Path, say: Callable[[str], None], fallback: Path) -> Cluster:
    home = data_home(data_dir, fallback=fallback)
    if home != data_dir.resolve():
        say(
            f"The user who runs PostgreSQL cannot reach {data_dir.resolve()}; "
            f"the data of PostgreSQL are in {home}."
        )
    make_home(home)
    cluster = Cluster(home / "postgres", account_for(home))
    own_directory(cluster.base, cluster.account)
    own_directory(cluster.run, cluster.account)
    cluster.check_version()
    return cluster


class _Patience:
    """Wait in small steps, say so once, and give up unless PostgreSQL is recovering."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._cluster, self._say = cluster, say
        self._began = time.monotonic()
        self._said = False

    def wait(self, running: Postmaster | None) -> None:
        """Let a little time pass."""
        waited = time.monotonic() - self._began
        starting = running is not None and running.status == "starting"
        if waited > PATIENCE and not starting:
            raise EmbeddedPostgresError(
                f"PostgreSQL in {self._cluster.base} accepted no connection for {PATIENCE:.0f} "
                f"seconds; its log is {self._cluster.log}."
            )
        if waited > QUIET and not self._said:
            self._said = True
            what = "is recovering" if starting else "is not ready yet"
            self._say(f"PostgreSQL in {self._cluster.base} {what}; waiting.")
        time.sleep(POLL)


class _Server:
    """Start, find and stop the one PostgreSQL of a cluster."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._cluster, self._say = cluster, say
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def wait_for_another_owner(self, lock: int) -> Postmaster | None:
        """Return the other owner's PostgreSQL once it is ready, or None once the lock is ours."""
        patience = _Patience(self._cluster, self._say)
        while not _locked(lock):
            running = self._ready(NAME)
            if running is not None:
                return running
            patience.wait(self._cluster.postmaster())
        return None

    def start(self) -> Postmaster:
        """Return our PostgreSQL, ready: the one that lost its launcher, or else a new one."""
        patience = _Patience(self._cluster, self._say)
        while (ready := self._ready("postgres")) is None:
            running = self._cluster.postmaster()
            ended = self._process is None or self._process.poll() is not None
            if running is None and ended:
                self._check_end()
                self._process = self._spawn()
            patience.wait(running)
        return ready

    def stop(self) -> None:
        """Stop PostgreSQL, its clients disconnected, its data written."""
        running = self._cluster.postmaster()
        process = self._process
        pid = running.pid if running else process.pid if process else 0
        for number, seconds in (
            (signal.SIGINT, FAST_SHUTDOWN),
            (signal.SIGQUIT, IMMEDIATE_SHUTDOWN),
        ):
            if self._cluster.is_served_by(pid):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while self._cluster.is_served_by(pid) and time.monotonic() < deadline:
                time.sleep(POLL)
        if self._cluster.is_served_by(pid):
            self._say(f"PostgreSQL (process {pid}) in {self._cluster.base} does not stop.")
        elif process is not None:
            process.wait()

    def _ready(self, database: str) -> Postmaster | None:
        running = self._cluster.postmaster()
        if running and running.status == "ready" and self._cluster.answers(running, database):
            return running
        return None

    def _check_end(self) -> None:
        """Refuse to start again what ended by itself, unless it only came too early."""
        if self._process is None:
            return
        printed = self._cluster.log.read_bytes()[self._log_start :]
        lines = printed.decode(errors="replace").splitlines()
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines
        words = telling[-1] if telling else f"exit code {self._process.returncode}"
        # The children of a killed server take a moment to notice.
        if "shared memory block" not in words:
            raise EmbeddedPostgresError(
                f"PostgreSQL did not start: {words} (its log is {self._cluster.log})"
            )

    def _spawn(self) -> subprocess.Popen[bytes]:
        cluster = self._cluster
        programs = programs_for(cluster.account, cluster.base)
        if not (cluster.pgdata / "PG_VERSION").exists():
            cluster.create_data(programs)
        if cluster.account is not None:
            take_over(cluster.pgdata, cluster.account)
        own_directory(cluster.pgdata, cluster.account)
        cluster.disown_reused_pids()
        log = open_private(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, cluster.account)
        if os.fstat(log).st_size > LARGEST_LOG:
            os.ftruncate(log, 0)
        self._log_start = os.fstat(log).st_size
        settings = [f"{name}={value}" for name, value in (SETTINGS | _address(cluster.run)).items()]
        options = [part for setting in settings for part in ("-c", setting)]
        try:
            return subprocess.Popen(  # noqa: S603  the command is our own
                [programs / "postgres", "-D", cluster.pgdata, *options],
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
                **identity(cluster.account),
            )
        finally:
            os.close(log)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _address(run: Path) -> dict[str, str]:
    """Listen on a socket in our own directory, or, where its path does not do, on 127.0.0.1."""
    path = os.fsencode(run / f".s.PGSQL.{PORT}")
    if len(path) <= LONGEST_SOCKET_PATH and b"," not in path:  # libpq splits hosts at commas
        quoted = str(run).replace('"', '""')
        return {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": f'"{quoted}"',
        }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
