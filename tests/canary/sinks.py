"""Where a secret could end up: all of it as bytes, by name."""

import socket
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
import redis

from tests.canary.needles import Canary
from tests.processes import rows

Sink = tuple[str, bytes]


def tables(dsn: str) -> Iterator[Sink]:
    """Yield every row of every table as text; bytes are in hex."""
    found = rows(
        dsn,
        "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname <> ALL (%s)",
        ["pg_catalog", "information_schema"],
    )
    for (name,) in found:
        every = rows(dsn, f"SELECT t::text FROM {name} t")
        yield f"table {name}", "\n".join(row for (row,) in every).encode()


def statistics(dsn: str) -> Iterator[Sink]:
    """Yield what PostgreSQL keeps of contents beside the tables."""
    for view in ("pg_stats", "pg_stat_activity", "pg_prepared_statements", "pg_settings"):
        every = rows(dsn, f"SELECT t::text FROM {view} t")
        yield f"view {view}", "\n".join(row for (row,) in every).encode()


def files(place: Path, *, since: float = 0) -> Iterator[Sink]:
    """Yield every file under a directory that changed: data, WAL, logs, output of processes."""
    for file in sorted(place.rglob("*")):
        with suppress(FileNotFoundError):
            if file.is_file() and file.stat().st_mtime >= since:
                yield f"file {file.relative_to(place)}", file.read_bytes()


def dump(file: Path) -> Iterator[Sink]:
    """Yield the members of a dump."""
    with zipfile.ZipFile(file) as bundle:
        for name in bundle.namelist():
            yield f"dump {name}", bundle.read(name)


READ = {
    "string": lambda client, name: client.get(name),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "set": lambda client, name: client.smembers(name),
    "zset": lambda client, name: client.zrange(name, 0, -1),
    "hash": lambda client, name: client.hgetall(name),
    "stream": lambda client, name: client.xrange(name),
}


def keys(url: str) -> Iterator[Sink]:
    """Yield what Redis holds."""
    with redis.Redis.from_url(url) as client:
        for name in client.scan_iter():
            held = READ[client.type(name).decode()](client, name)
            yield f"redis {name.decode(errors='replace')}", name + repr(held).encode()


class Watched:
    """What passes by: statements as PostgreSQL shows them at work, and commands to Redis."""

    def __init__(self, dsn: str, redis_url: str) -> None:
        self._dsn = dsn
        host, _, port = redis_url.removeprefix("redis://").partition("/")[0].partition(":")
        self._redis = (host, int(port))
        self._stopping = threading.Event()
        self._statements: set[str] = set()
        self._commands = bytearray()

    def _look(self) -> None:
        connection = psycopg2.connect(self._dsn, application_name="watcher")
        connection.autocommit = True
        cursor = connection.cursor()
        while not self._stopping.wait(0.02):
            cursor.execute("SELECT query FROM pg_stat_activity WHERE application_name <> 'watcher'")
            self._statements.update(query for (query,) in cursor.fetchall() if query)
        connection.close()

    def _listen(self) -> None:
        with socket.create_connection(self._redis, timeout=0.2) as link:
            link.sendall(b"MONITOR\r\n")
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    self._commands += link.recv(65536)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch meanwhile."""
        threads = [threading.Thread(target=work) for work in (self._look, self._listen)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def sinks(self) -> Iterator[Sink]:
        """Yield what was seen."""
        yield "statements at work", "\n".join(self._statements).encode()
        yield "commands to Redis", bytes(self._commands)


def leaks(canary: Canary, sinks: Iterable[Sink]) -> dict[str, list[str]]:
    """Return what was found, by sink."""
    found = {}
    for name, data in sinks:
        digests = [] if "/postgres/" in name else canary.find_digests(data)
        if here := canary.find(data) + digests:
            found[name] = here
    return found
