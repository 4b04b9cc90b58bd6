"""The embedded PostgreSQL: started on the data directory, found again, stopped by its owner."""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg2

from app.launcher.pg_user import (
    FALLBACK_HOME,
    Account,
    EmbeddedPostgresError,
    account_for,
    binary,
    data_home,
    identity,
    make_home,
    open_private,
    own_directory,
    programs_for,
    run_as,
    take_over,
)

__all__ = ["EmbeddedPostgresError", "binary", "data_home", "dsn_file", "embedded_postgres"]

MAJOR = "18"
NAME = "configsync"  # of the superuser and of the database
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


@dataclass(frozen=True, slots=True)
class _Postmaster:
    pid: int
    port: str
    socket_dir: str
    status: str


@dataclass(frozen=True, slots=True)
class _Cluster:
    base: Path
    account: Account | None

    @property
    def pgdata(self) -> Path:
        return self.base / "pgdata"

    @property
    def run(self) -> Path:
        return self.base / "run"

    @property
    def log(self) -> Path:
        return self.base / "log"

    @property
    def password(self) -> Path:
        return self.base / "password"

    def postmaster(self) -> _Postmaster | None:
        """Return the living postmaster of these data, from what it wrote down itself."""
        try:
            lines = (self.pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        pid, _, _, port, socket_dir, _, _, status, *_ = [*lines, *[""] * 8]
        if not pid.isdigit() or not self.is_served_by(int(pid)):
            return None
        return _Postmaster(int(pid), port, socket_dir, status.strip())

    def is_served_by(self, pid: int) -> bool:
        """Tell whether the process is a postmaster of these data, not a later user of its pid."""
        return f"postgres -D {self.pgdata} -c " in _command_line(pid)


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
    process: subprocess.Popen[bytes] | None = None
    owner = 0
    try:
        with _as_a_sentence():
            running = _wait_for_other_owner(cluster, lock, say)
            if running is None:
                owner = os.getpid()
                process = _start_or_find(cluster, say)
                running = _wait_until_ready(cluster, process, say)
            dsn = _publish(cluster, running, owns=bool(owner))
        yield dsn
    finally:
        if owner == os.getpid():  # not a child that was forked inside the with block
            _stop(cluster, process, say)
        os.close(lock)


@contextmanager
def _as_a_sentence() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot be used: {error}") from error


def _prepare(data_dir: Path, say: Callable[[str], None], fallback: Path) -> _Cluster:
    home = data_home(data_dir, fallback=fallback)
    if home != data_dir.resolve():
        say(
            f"The user who runs PostgreSQL cannot reach {data_dir.resolve()}; "
            f"the data of PostgreSQL are in {home}."
        )
    make_home(home)
    cluster = _Cluster(home / "postgres", account_for(home))
    own_directory(cluster.base, cluster.account)
    own_directory(cluster.run, cluster.account)
    _check_version(cluster.pgdata)
    return cluster


def _check_version(pgdata: Path) -> None:
    if not pgdata.exists() or not any(pgdata.iterdir()):
        return
    try:
        found = (pgdata / "PG_VERSION").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise EmbeddedPostgresError(
            f"{pgdata} holds something, but no data of PostgreSQL (no PG_VERSION): move it away."
        ) from None
    if found != MAJOR:
        raise EmbeddedPostgresError(
            f"{pgdata} was written by PostgreSQL {found}, and this release runs PostgreSQL {MAJOR}: "
            "dump the database with the release of ConfigSync that wrote it (pg_dump), move the "
            "directory away, start this release and load the dump."
        )


def _wait_for_other_owner(
    cluster: _Cluster, lock: int, say: Callable[[str], None]
) -> _Postmaster | None:
    """Return another launcher's PostgreSQL once it is ready, or None as soon as we own the lock."""
    patience = _Patience(cluster, say)
    while not _locked(lock):
        running = cluster.postmaster()
        if running and running.status == "ready" and _answers(cluster, running, NAME):
            return running
        patience.wait(running)
    return None


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Patience:
    """Wait in small steps, say so once, and give up unless PostgreSQL is recovering."""

    def __init__(self, cluster: _Cluster, say: Callable[[str], None]) -> None:
        self._cluster, self._say = cluster, say
        self._began = time.monotonic()
        self._said = False

    def wait(self, running: _Postmaster | None) -> None:
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


def _start_or_find(cluster: _Cluster, say: Callable[[str], None]) -> subprocess.Popen[bytes] | None:
    """Start PostgreSQL, creating its data at first; None if one runs that lost its launcher."""
    patience = _Patience(cluster, say)
    while (running := cluster.postmaster()) is not None:
        if running.status != "stopping":
            return None
        patience.wait(running)
    programs = programs_for(cluster.account, cluster.base)
    if not (cluster.pgdata / "PG_VERSION").exists():
        _create_data(cluster, programs)
    own_directory(cluster.pgdata, None)
    if cluster.account is not None:
        take_over(cluster.pgdata, cluster.account)
    _disown_reused_pid(cluster.pgdata)
    return _start(cluster, programs)


def _create_data(cluster: _Cluster, programs: Path) -> None:
    """Create the data aside and rename them, so that a half-made directory is never used."""
    fresh = cluster.base / "pgdata.new"
    _write_private(cluster.password, secrets.token_urlsafe(32), cluster.account)
    for locale in ("C.UTF-8", "C"):  # the second for systems without the first
        shutil.rmtree(fresh, ignore_errors=True)
        made = run_as(
            cluster.account,
            *(programs / "initdb", "-D", fresh, f"--username={NAME}"),
            *("--encoding=UTF8", f"--locale={locale}"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth=scram-sha-256", f"--pwfile={cluster.password}"),
            env=_environment(locale),
        )
        if made.returncode == 0:
            break
    else:
        message = made.stderr.decode(errors="replace").strip()
        raise EmbeddedPostgresError(f"PostgreSQL could not create its data: {message}")
    fresh.replace(cluster.pgdata)
    parent = os.open(cluster.base, os.O_RDONLY)
    os.fsync(parent)
    os.close(parent)


def _environment(locale: str = "C.UTF-8") -> dict[str, str]:
    # Nothing else: PGDATA, PGOPTIONS and their like would change what is started.
    return {"LC_ALL": locale, "PATH": os.environ.get("PATH", os.defpath)}


def _disown_reused_pid(pgdata: Path) -> None:
    # PostgreSQL refuses to start while any process has the pid of its stale lock file. It excepts
    # its parent's, and so still sees whether children of the old server hold the shared memory.
    with suppress(FileNotFoundError):
        path = pgdata / "postmaster.pid"
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            _, *rest = file.read().split("\n")
            file.seek(0)
            file.truncate()
            file.write("\n".join([str(os.getpid()), *rest]))


def _start(cluster: _Cluster, programs: Path) -> subprocess.Popen[bytes]:
    log = open_private(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, cluster.account)
    if os.fstat(log).st_size > LARGEST_LOG:
        os.ftruncate(log, 0)
    settings = [f"{name}={value}" for name, value in (SETTINGS | _address(cluster.run)).items()]
    try:
        return subprocess.Popen(  # noqa: S603  the command is our own
            [
                programs / "postgres",
                *("-D", cluster.pgdata),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,
            **identity(cluster.account),
        )
    finally:
        os.close(log)


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


def _wait_until_ready(
    cluster: _Cluster, process: subprocess.Popen[bytes] | None, say: Callable[[str], None]
) -> _Postmaster:
    patience = _Patience(cluster, say)
    while True:
        running = cluster.postmaster()
        if running and running.status == "ready" and _answers(cluster, running, "postgres"):
            return running
        if running is None and (process is None or process.poll() is not None):
            raise EmbeddedPostgresError(
                f"PostgreSQL did not start: {_last_words(cluster.log)} (from {cluster.log})"
            )
        patience.wait(running)


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines or [""]
    return telling[-1]


def _answers(cluster: _Cluster, running: _Postmaster, database: str) -> bool:
    try:
        _connect(_dsn(cluster, running, database)).close()
    except psycopg2.OperationalError as error:
        if "authentication failed" in str(error):
            raise EmbeddedPostgresError(
                f"PostgreSQL in {cluster.base} refuses the password in {cluster.password}: "
                "put the right one there, or set DATABASE_URL."
            ) from None
        return False
    return True


def _connect(dsn: str) -> "psycopg2.extensions.connection":
    return psycopg2.connect(dsn, connect_timeout=10)


def _dsn(cluster: _Cluster, running: _Postmaster, database: str) -> str:
    try:
        password = quote(cluster.password.read_text(encoding="utf-8").strip(), safe="")
    except FileNotFoundError:
        raise EmbeddedPostgresError(
            f"The password of the data in {cluster.pgdata} is missing: restore {cluster.password}."
        ) from None
    if running.socket_dir:
        where = urlencode({"host": running.socket_dir, "port": running.port}, quote_via=quote)
        return f"postgresql://{NAME}:{password}@/{database}?{where}"
    # Should another program get the port one day, it must not be told the password.
    only = "sslmode=disable&require_auth=scram-sha-256"
    return f"postgresql://{NAME}:{password}@127.0.0.1:{running.port}/{database}?{only}"


def _publish(cluster: _Cluster, running: _Postmaster, *, owns: bool) -> str:
    dsn = _dsn(cluster, running, NAME)
    if owns:
        _create_database(_dsn(cluster, running, "postgres"))
        _write_private(cluster.base / "dsn", dsn, cluster.account)
    return dsn


def _create_database(dsn: str) -> None:
    connection = _connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (NAME,))
            if cursor.rowcount == 0:
                cursor.execute(f"CREATE DATABASE {NAME}")
    finally:
        connection.close()


def _write_private(path: Path, text: str, account: Account | None) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
    Path(name).replace(path)


def _command_line(pid: int) -> str:
    if not Path("/proc/self/cmdline").exists():
        return run_as(None, "ps", "-ww", "-o", "command=", "-p", str(pid)).stdout.decode()
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _stop(
    cluster: _Cluster, process: subprocess.Popen[bytes] | None, say: Callable[[str], None]
) -> None:
    running = cluster.postmaster()
    pid = process.pid if process is not None else running.pid if running is not None else 0
    for number, seconds in (
        (signal.SIGINT, FAST_SHUTDOWN),
        (signal.SIGQUIT, IMMEDIATE_SHUTDOWN),
    ):
        if not cluster.is_served_by(pid):
            break
        os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while cluster.is_served_by(pid) and time.monotonic() < deadline:
            time.sleep(POLL)
    if cluster.is_served_by(pid):
        say(f"PostgreSQL (process {pid}) in {cluster.base} does not stop.")
    elif process is not None:
        process.wait()
