"""A PostgreSQL on loopback that demands passwords and writes down every statement."""

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from app.launcher.pg_cluster import NAME, Cluster, environment
from app.launcher.pg_user import account_for, identity, own_directory, programs_for
from tests.conftest import memory
from tests.processes import connect, free_port, until


@dataclass
class ScramPostgres:
    """A running server: `url` is its superuser's, with the password."""

    port: int
    password: str
    log: Path
    pgdata: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Return the URL of the superuser."""
        return self.url_of(NAME, self.password)

    def url_of(self, user: str, password: str) -> str:
        """Return the URL of somebody."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/postgres"

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return its rows."""
        connection = connect(self.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def lets_in(self, user: str, password: str) -> bool:
        """Tell whether somebody can log in."""
        try:
            connect(self.url_of(user, password)).close()
        except psycopg2.OperationalError:
            return False
        return True

    def answers(self) -> bool:
        """Tell whether it serves; a server that ended fails the test."""
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        return self.lets_in(NAME, self.password)


@contextmanager
def scram_postgres() -> Iterator[ScramPostgres]:
    """Start one on a free port of loopback; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="scram-", dir=memory()) as name:
        home = Path(name)
        home.chmod(0o755)  # so that the user who runs PostgreSQL gets there
        cluster = Cluster(home / "postgres", account_for(home / "postgres"))
        own_directory(cluster.base, cluster.account)
        programs = programs_for(cluster.account, cluster.base)
        cluster.create_data(programs)  # its pg_hba.conf demands SCRAM of everybody
        server = _start(cluster, programs)
        try:
            until(server.answers, "the PostgreSQL of the test answers")
            yield server
        finally:
            _stop(server)


def _start(cluster: Cluster, programs: Path) -> ScramPostgres:
    port = free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "off",
        "log_statement": "all",
        "shared_buffers": "16MB",
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    with cluster.log.open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", cluster.pgdata, *options],
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
            **identity(cluster.account),
        )
    password = cluster.password.read_text().strip()
    return ScramPostgres(port, password, cluster.log, cluster.pgdata, process)


def _stop(server: ScramPostgres) -> None:
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGINT)  # fast shutdown
    server.process.wait(60)
