"""`python -m bench.seed`: fill a new workspace with services, keys and a long history, in minutes.

Everything is as if it had been written through the server, one document a revision: first every
document once, then round after round each of them with one key changed.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import psycopg2
import psycopg2.extensions
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.settings import get_settings
from app.formats import json
from app.formats.values import ValueType
from app.launcher.commands import CommandError, database
from app.launcher.migrations import migrate
from app.launcher.postgres import EmbeddedPostgresError
from app.workspaces import crud
from app.workspaces.names import Slug
from app.workspaces.service import ENVIRONMENTS, create_workspace

ACTOR = "seed"
STAGES = (*ENVIRONMENTS, "testing")
WIDE = 1 + len(STAGES)  # documents that reach more than one service
GROUPS = ("cache", "database", "feature", "http", "limits", "log", "mail", "queue", "search")
TYPES = (
    ValueType.STRING,
    ValueType.NUMBER,
    ValueType.BOOLEAN,
    ValueType.STRING,
    ValueType.JSON,
)
SPAN = timedelta(days=30)  # of the history
VERSIONS_EACH = 100  # of a service, unless said otherwise
WIDTH = 30  # of the progress bar
CHUNK = 1 << 18
TABLES = (
    "workspace_heads",
    "environments",
    "services",
    "objects",
    "configs",
    "revisions",
    "versions",
    "keys",
    "key_versions",
)

Rows = Iterator[str]


class SeedError(Exception):
    """A sentence for the operator; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. Documents count from 0: global, the environments', the services'."""

    services: int
    keys: int
    versions: int  # rows, those of the environments included
    ends: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def configs(self) -> int:
        return WIDE + self.services * len(STAGES)

    @property
    def revisions(self) -> int:
        return self.versions - len(STAGES)

    def level(self, config: int) -> tuple[int | None, int | None]:
        """Return the service and the environment of a document, counted from 0."""
        if config < WIDE:
            return None, config - 1 if config else None
        service, environment = divmod(config - WIDE, len(STAGES))
        return service, environment

    def config(self, service: int, environment: int) -> int:
        """Return the number of a service's document in an environment."""
        return WIDE + service * len(STAGES) + environment

    def last(self, config: int) -> int:
        """Return the current version of a document."""
        return (self.revisions - 1 - config) // self.configs + 1

    def revision(self, config: int, version: int) -> int:
        """Return the revision that made a version."""
        return (version - 1) * self.configs + config + 1

    def changed(self, version: int) -> int:
        """Return which key a version from the second on changes."""
        return (version - 2) % self.keys

    def key_version(self, key: int, version: int) -> int:
        """Return the version that a key has in a version of its document."""
        return 1 + (version - 2 - key + self.keys) // self.keys

    def key_revision(self, config: int, key: int, key_version: int) -> int:
        """Return the revision that made a version of a key."""
        made = 1 if key_version == 1 else 2 + key + (key_version - 2) * self.keys
        return self.revision(config, made)

    def at(self, revision: int) -> datetime:
        """Return when a revision was made."""
        return self.ends - SPAN * (1 - revision / self.revisions)

    def value(self, config: int, key: int, key_version: int) -> str:
        """Return a key's value as canonical JSON; no two versions in a row are equal."""
        match key % len(TYPES):
            case 0:
                return f'"value-{config}-{key}-{key_version}"'
            case 1:
                return str(config * 1000 + key * 10 + key_version)
            case 2:
                return "true" if (config + key_version) % 2 else "false"
            case 3:
                return f'"https://node-{config % 97:02}.example.org/{key}/{key_version}"'
            case _:
                return f'{{"burst":{key_version},"limit":{config % 1000}}}'

    def document(self, config: int, version: int) -> str:
        """Return a document as canonical JSON."""
        members = (
            f"{name}:{self.value(config, key, self.key_version(key, version))}"
            for name, key in member_names(self, self.level(config)[0])
        )
        return f"{{{','.join(members)}}}"


def service_name(service: int) -> str:
    """Return the name of a service, counted from 0."""
    return f"service-{service:05}"


def key_name(service: int | None, key: int) -> str:
    """Return the name of a key of a service: nine of ten are known to every one."""
    group = key % (len(GROUPS) + 1)
    if group < len(GROUPS):
        return f"{GROUPS[group]}_{key:03}"
    return f"{'shared' if service is None else service_name(service)}_{key:03}"


@cache
def member_names(plan: Plan, service: int | None) -> list[tuple[str, int]]:
    """Return the keys of a service's documents in their order there, the names as JSON."""
    names = sorted((key_name(service, key), key) for key in range(plan.keys))
    return [(f'"{name}"', key) for name, key in names]


def digest(canonical: str) -> str:
    """Return the checksum of what is canonical already."""
    return hashlib.sha256(canonical.encode()).hexdigest()


class Progress:
    """A bar on a terminal, a line a table elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = -1

    def begin(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._shown = what, max(1, total), 0, -1

    def step(self, rows: int) -> None:
        self._done += rows
        percent = self._done * 100 // self._total
        if self._live and percent > self._shown:
            self._shown = percent
            bar = "█" * (percent * WIDTH // 100)
            print(f"\r{self._what:<14}{bar:<{WIDTH}} {percent:3} %", end="", file=sys.stderr)

    def end(self) -> None:
        if self._live:
            print(f"\r{self._what:<14}{'█' * WIDTH} 100 %  {self._done:,} rows", file=sys.stderr)
        else:
            print(f"{self._what:<14}{self._done:,} rows", file=sys.stderr, flush=True)


class _Stream:
    """Lines as the file that COPY reads."""

    def __init__(self, lines: Rows, step: Callable[[int], None]) -> None:
        self._lines, self._step = lines, step
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, length, rows = [self._rest], len(self._rest), 0
        while length < size and (line := next(self._lines, None)) is not None:
            parts.append(line.encode())
            length += len(parts[-1])
            rows += 1
        data = b"".join(parts)
        self._rest = data[size:]
        self._step(rows)
        return data[:size]


def row(*values: object) -> str:
    """Return one line of COPY's text; nothing in it needs an escape."""
    return "\t".join("\\N" if value is None else str(value) for value in values) + "\n"


class Seeder:
    """One transaction that writes everything that a plan says."""

    def __init__(self, connection: Connection, plan: Plan, progress: Progress) -> None:
        self._connection, self._plan, self._progress = connection, plan, progress
        self._workspace_id = 0
        self._environments: list[int] = []
        self._services: list[int] = []
        self._configs: list[int] = []
        self._keys: list[int] = []

    def run(self, slug: str) -> int:
        """Create the workspace and all that is in it; return its id."""
        self._open(slug)
        plan = self._plan
        self._services = self._ids("services", plan.services)
        self._configs = self._ids("objects", plan.configs)
        self._keys = self._ids("keys", plan.configs * plan.keys)
        self._copy("services", "id, workspace_id, name", plan.services, self._service_rows())
        self._copy(
            "objects",
            "id, workspace_id, kind, version, revision, checksum",
            plan.configs,
            self._object_rows(),
        )
        self._copy(
            "configs",
            "id, workspace_id, service_id, environment_id",
            plan.configs,
            self._config_rows(),
        )
        self._copy(
            "revisions",
            "workspace_id, n, at, actor_name, message, request_id",
            plan.revisions,
            self._revision_rows(),
        )
        self._copy(
            "versions",
            "workspace_id, object_id, version, revision, action, content, checksum",
            plan.revisions,
            self._version_rows(),
        )
        self._copy(
            "keys",
            "id, workspace_id, config_id, service_id, environment_id, name, value, checksum, "
            "value_type, version, revision, created_at, created_by, updated_at, updated_by",
            plan.configs * plan.keys,
            self._key_rows(),
        )
        self._copy(
            "key_versions",
            "workspace_id, key_id, version, revision, action, value, value_type, description, "
            "is_active",
            plan.configs * (plan.keys - 1) + plan.revisions,
            self._key_version_rows(),
        )
        self._execute(
            "INSERT INTO key_names SELECT DISTINCT workspace_id, name FROM keys "
            "WHERE workspace_id = :workspace"
        )
        self._advance()
        return self._workspace_id

    def _open(self, slug: str) -> None:
        """Create the workspace as the server does, with one more environment, in the past."""
        with Session(self._connection, join_transaction_mode="create_savepoint") as session:
            if crud.is_slug_taken(session, slug=slug):
                raise SeedError(f"The workspace {slug} exists already: name another.")
            workspace = create_workspace(session, slug=slug, name=slug, actor=(None, ACTOR))
            content = {"name": STAGES[-1], "description": "", "protected": False}
            crud.create_environment(session, workspace_id=workspace.id, content=content)
            self._workspace_id = workspace.id
            session.commit()
        found = self._execute("SELECT name, id FROM environments WHERE workspace_id = :workspace")
        ids = dict(iter(found))
        self._environments = [ids[name] for name in STAGES]
        self._execute("UPDATE workspaces SET created_at = :at WHERE id = :workspace", 0)
        self._execute("UPDATE revisions SET at = :at WHERE workspace_id = :workspace", 0)

    def _advance(self) -> None:
        self._execute(
            "UPDATE workspace_heads SET revision = :revision, at = :at "
            "WHERE workspace_id = :workspace",
            self._plan.revisions,
        )

    def _execute(self, statement: str, revision: int = 0) -> Any:
        return self._connection.execute(
            text(statement),
            {
                "workspace": self._workspace_id,
                "revision": revision,
                "at": self._plan.at(revision),
            },
        )

    def _ids(self, table: str, count: int) -> list[int]:
        """Draw ids, which are ours whoever else draws."""
        drawn = self._connection.execute(
            text(
                "SELECT nextval(pg_get_serial_sequence(:table, 'id')) "
                "FROM generate_series(1, :count)"
            ),
            {"table": table, "count": count},
        )
        return list(drawn.scalars())

    def _copy(self, table: str, columns: str, total: int, rows: Rows) -> None:
        self._progress.begin(table, total)
        cursor = self._connection.connection.cursor()
        try:
            stream = _Stream(rows, self._progress.step)
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", stream, CHUNK)
        finally:
            cursor.close()
        self._progress.end()

    def _place(self, config: int) -> tuple[int | None, int | None]:
        """Return the ids of a document's level."""
        service, environment = self._plan.level(config)
        return (
            None if service is None else self._services[service],
            None if environment is None else self._environments[environment],
        )

    def _service_rows(self) -> Rows:
        for number, service_id in enumerate(self._services):
            yield row(service_id, self._workspace_id, service_name(number))

    def _object_rows(self) -> Rows:
        plan = self._plan
        for config, object_id in enumerate(self._configs):
            last = plan.last(config)
            checksum = digest(plan.document(config, last))
            revision = plan.revision(config, last)
            yield row(object_id, self._workspace_id, "config", last, revision, checksum)

    def _config_rows(self) -> Rows:
        for config, object_id in enumerate(self._configs):
            yield row(object_id, self._workspace_id, *self._place(config))

    def _revision_rows(self) -> Rows:
        for revision in range(1, self._plan.revisions + 1):
            at = self._plan.at(revision)
            yield row(self._workspace_id, revision, at, ACTOR, f"change {revision}", ACTOR)

    def _each_version(self) -> Iterator[tuple[int, int, int]]:
        """Yield revisions with the document and the version that each of them made."""
        for number in range(self._plan.revisions):
            round_, config = divmod(number, self._plan.configs)
            yield number + 1, config, round_ + 1

    def _version_rows(self) -> Rows:
        for revision, config, version in self._each_version():
            content = self._plan.document(config, version)
            action = "create" if version == 1 else "update"
            yield row(
                self._workspace_id,
                self._configs[config],
                version,
                revision,
                action,
                content,
                digest(content),
            )

    def _key_rows(self) -> Rows:
        plan = self._plan
        for config, object_id in enumerate(self._configs):
            place, last, created = self._place(config), plan.last(config), plan.at(config + 1)
            service, _ = plan.level(config)
            for key in range(plan.keys):
                version = plan.key_version(key, last)
                revision = plan.key_revision(config, key, version)
                value = plan.value(config, key, version)
                yield row(
                    self._keys[config * plan.keys + key],
                    self._workspace_id,
                    object_id,
                    *place,
                    key_name(service, key),
                    value,
                    digest(value),
                    TYPES[key % len(TYPES)],
                    version,
                    revision,
                    created,
                    ACTOR,
                    plan.at(revision),
                    ACTOR,
                )

    def _key_version_rows(self) -> Rows:
        plan = self._plan
        for revision, config, version in self._each_version():
            for key in range(plan.keys) if version == 1 else (plan.changed(version),):
                number = plan.key_version(key, version)
                value = plan.value(config, key, number)
                yield row(
                    self._workspace_id,
                    self._keys[config * plan.keys + key],
                    number,
                    revision,
                    "create" if version == 1 else "update",
                    value,
                    TYPES[key % len(TYPES)],
                    "",
                    "t",
                )


def fill(slug: str, plan: Plan) -> int:
    """Fill a workspace of the settings' database, all or nothing; return its id.

    Raises SeedError if it exists.
    """
    sample = plan.document(0, 1)
    assert digest(sample) == json.checksum(json.loads(sample))  # canonical text is what we write
    waiting = psycopg2.extensions.get_wait_callback()
    psycopg2.extensions.set_wait_callback(None)  # COPY does not go with one
    engine = create_engine(get_settings().database(direct=True))
    try:
        with engine.begin() as connection:
            workspace_id = Seeder(connection, plan, Progress()).run(slug)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM (ANALYZE) {', '.join(TABLES)}"))
    finally:
        engine.dispose()
        psycopg2.extensions.set_wait_callback(waiting)
    return workspace_id


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.seed", description=__doc__)
    parser.add_argument("--services", type=int, default=10_000, help="each in four environments")
    parser.add_argument("--keys", type=int, default=50, help="of a document")
    parser.add_argument("--versions", type=int, help=f"rows in all; {VERSIONS_EACH} a service")
    parser.add_argument("--workspace", default="bench", help="its slug; must be new")
    arguments = parser.parse_args(words)
    if not (0 < arguments.services < 100_000 and 0 < arguments.keys < 1000):
        parser.error("1 to 99,999 services and 1 to 999 keys, please")
    least = Plan(arguments.services, arguments.keys, 0).configs + len(STAGES)
    if arguments.versions is None:
        arguments.versions = arguments.services * VERSIONS_EACH
    if arguments.versions < least:
        parser.error(f"so many documents have {least:,} versions at least")
    try:
        TypeAdapter(Slug).validate_python(arguments.workspace)
    except ValidationError as error:
        parser.error(f"--workspace {error.errors()[0]['msg']}")
    return arguments


def main(words: list[str] | None = None) -> int:
    arguments = parse(words)
    plan = Plan(arguments.services, arguments.keys, arguments.versions)
    try:
        with database() as settings:
            if settings.embedded:
                migrate()
            fill(arguments.workspace, plan)
    except (SeedError, CommandError, EmbeddedPostgresError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        print(f"The database cannot be used: {reason}", file=sys.stderr)
        return 1
    print(
        f"Workspace {arguments.workspace}: {plan.services:,} services, {plan.configs:,} documents "
        f"of {plan.keys} keys, {plan.versions:,} versions. Admins get at it."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
