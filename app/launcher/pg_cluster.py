"""One data directory of PostgreSQL: its files, its address, and whether somebody serves it."""

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg2
import psycopg2.extensions

from app.launcher.pg_user import Account, EmbeddedPostgresError, run_as

MAJOR = "18"
NAME = "configsync"  # of the superuser and of the database


@dataclass(frozen=True, slots=True)
class Postmaster:
    """Describe a living server as it wrote itself down in postmaster.pid."""

    pid: int
    port: str
    socket_dir: str
    status: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Name the files under DATA_DIR/postgres and the account that owns them."""

    base: Path
    account: Account | None

    @property
    def pgdata(self) -> Path:
        """Return PostgreSQL's own data directory."""
        return self.base / "pgdata"

    @property
    def run(self) -> Path:
        """Return the directory of the socket."""
        return self.base / "run"

    @property
    def log(self) -> Path:
        """Return the file that takes what PostgreSQL prints."""
        return self.base / "log"

    @property
    def password(self) -> Path:
        """Return the file that keeps the superuser's password."""
        return self.base / "password"

    def postmaster(self) -> Postmaster | None:
        """Return the living server of these data, if there is one that we started."""
        with suppress(FileNotFoundError):
            lines = (self.pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid, _, _, port, socket_dir, _, _, status, *_ = [*lines, *[""] * 8]
            if pid.isdigit() and self.is_served_by(int(pid)):
                return Postmaster(int(pid), port, socket_dir, status.strip())
        return None

    def is_served_by(self, pid: int) -> bool:
        """Tell whether the process is our server of these data, not a later user of its pid."""
        return f"postgres -D {self.pgdata} -c " in _command_line(pid)

    def dsn(self, running: Postmaster, database: str = NAME) -> str:
        """Return the URL of a database, password included."""
        password = quote(self._read_password(), safe="")
        if running.socket_dir:
            where = urlencode({"host": running.socket_dir, "port": running.port}, quote_via=quote)
            return f"postgresql://{NAME}:{password}@/{database}?{where}"
        # Should another program get the port one day, it must not be told the password.
        only = "sslmode=disable&require_auth=scram-sha-256"
        return f"postgresql://{NAME}:{password}@127.0.0.1:{running.port}/{database}?{only}"

    def answers(self, running: Postmaster, database: str) -> bool:
        """Tell whether the server accepts our connection to the database."""
        try:
            connect(self.dsn(running, database)).close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                raise EmbeddedPostgresError(
                    f"PostgreSQL in {self.base} refuses the password in {self.password}: "
                    "restore the right one, or set DATABASE_URL."
                ) from None
            return False
        return True

    def check_version(self) -> None:
        """Refuse a directory that this PostgreSQL cannot read."""
        if not self.pgdata.exists() or not any(self.pgdata.iterdir()):
            return
        try:
            found = (self.pgdata / "PG_VERSION").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"{self.pgdata} holds something, but no data of PostgreSQL: move it away."
            ) from None
        if found != MAJOR:
            raise EmbeddedPostgresError(
                f"{self.pgdata} was written by PostgreSQL {found}, and this release runs "
                f"PostgreSQL {MAJOR}: dump the database with the release of ConfigSync that wrote "
                "it (pg_dump), move the directory away, start this release and load the dump."
            )

    def create_data(self, programs: Path) -> None:
        """Create the data aside and rename them, so that a half-made directory is never used."""
        fresh = self.base / "pgdata.new"
        write_private(self.password, secrets.token_urlsafe(32), self.account)
        for locale in ("C.UTF-8", "C"):  # the second for systems without the first
            shutil.rmtree(fresh, ignore_errors=True)
            made = run_as(
                self.account,
                *(programs / "initdb", "-D", fresh, f"--username={NAME}"),
                *("--encoding=UTF8", f"--locale={locale}"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--auth=scram-sha-256", f"--pwfile={self.password}"),
                env=environment(locale),
            )
            if made.returncode == 0:
                break
        else:
            message = made.stderr.decode(errors="replace").strip()
            raise EmbeddedPostgresError(f"PostgreSQL could not create its data: {message}")
        fresh.replace(self.pgdata)
        parent = os.open(self.base, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)

    def disown_reused_pids(self) -> None:
        """Let PostgreSQL start although its stale lock files name a process that still exists."""
        for path in (self.pgdata / "postmaster.pid", *self.run.glob("*.lock")):
            with suppress(FileNotFoundError):
                first, *rest = path.read_text(encoding="utf-8").split("\n")
                if not first.isdigit():
                    return
                if self._may_be_in_use_by(int(first)):
                    raise EmbeddedPostgresError(
                        f"Process {first}, a PostgreSQL that this launcher did not start, "
                        f"uses {self.base}: stop it first."
                    )
                # PostgreSQL excepts its parent's pid, and with the rest of the file in place still
                # sees whether children of the old server hold the shared memory.
                descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write("\n".join([str(os.getpid()), *rest]))

    def create_database(self, running: Postmaster) -> None:
        """Create our database unless it is there."""
        connection = connect(self.dsn(running, "postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", (NAME,))
                if cursor.rowcount == 0:
                    cursor.execute(f"CREATE DATABASE {NAME}")
        finally:
            connection.close()

    def _read_password(self) -> str:
        try:
            return self.password.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"The password of the data in {self.pgdata} is missing: restore {self.password}."
            ) from None

    def _may_be_in_use_by(self, pid: int) -> bool:
        # A server that somebody started by hand stops at once if its lock file changes.
        if "postgres" not in _command_line(pid):
            return False
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.pgdata
        except OSError:
            return True


def connect(dsn: str) -> psycopg2.extensions.connection:
    """Connect, or fail within seconds."""
    return psycopg2.connect(dsn, connect_timeout=10)


def environment(locale: str = "C.UTF-8") -> dict[str, str]:
    """Return all that PostgreSQL's programs may see of the environment."""
    return {"LC_ALL": locale, "PATH": os.environ.get("PATH", os.defpath)}


def write_private(path: Path, text: str, account: Account | None) -> None:
    """Put a line into a file of mode 0600 at once, or leave the old one."""
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
