"""The whole store as one file: tables in PostgreSQL's COPY form, with a manifest that is checked.

The file is a zip: `manifest.json` (format, release, migration, and size, rows and SHA-256 of
each table), then one member per table.
"""

import hashlib
import json
import os
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from app import __version__
from app.core import db
from app.core.settings import get_settings
from app.feed.crud import begin_epoch
from app.models import Base

FORMAT = 1
LEFT_OUT = frozenset(
    {
        *("leases", "event_pending", "idempotency_keys", "login_sessions", "login_throttles"),
        "wrapped_secrets",  # a token that was used must not open again
        *("stream_tickets", "instances"),
    }
)
"""What belongs to a running server, not to the store: after a load everybody logs in again."""
DAMAGE = (  # what reading a damaged zip and a manifest of another shape may raise
    *(AttributeError, LookupError, RuntimeError, TypeError, ValueError, EOFError, OSError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)


class StoreError(Exception):
    """A sentence for the operator; nothing was changed."""


def tables() -> list[str]:
    """Return the tables of a dump, those that others refer to first."""
    return [table.name for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]


def dump(file: Path) -> int:
    """Write all tables as of one moment; return the number of rows. An old file stays until then.

    The file appears under its name only when it is complete and on the disk.
    """
    db.without_deadlines()
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            rows = _write(out)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return rows


def _write(out: BinaryIO) -> int:
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "release": __version__,
        "made_at": datetime.now(UTC).isoformat(),
        "tables": {},
    }
    engine = create_engine(get_settings().database(direct=True))
    with engine.connect() as connection, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        connection.execution_options(isolation_level="REPEATABLE READ")
        manifest["migration"] = MigrationContext.configure(connection).get_current_revision()
        for table in tables():
            with bundle.open(table, "w", force_zip64=True) as member:
                counted = _Counted(member)
                rows = _copy(connection, f"COPY (SELECT * FROM {table}) TO STDOUT", counted)  # noqa: S608
            manifest["tables"][table] = {
                "rows": rows,
                "bytes": counted.size,
                "sha256": counted.digest.hexdigest(),
                "columns": _columns(connection, table),
            }
        bundle.writestr("manifest.json", json.dumps(manifest, indent=1))
    engine.dispose()
    return sum(entry["rows"] for entry in manifest["tables"].values())


class _Counted:
    """Count and digest what passes through."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.size = 0
        self.digest = hashlib.sha256()

    def _note(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)

    def write(self, data: bytes) -> int:
        """Pass on what is written."""
        self._note(data)
        return int(self.stream.write(data))

    def read(self, size: int = -1) -> bytes:
        """Pass on what is read."""
        data: bytes = self.stream.read(size)
        self._note(data)
        return data


def _copy(connection: Connection, statement: str, stream: Any) -> int:
    cursor = connection.connection.cursor()
    try:
        cursor.copy_expert(statement, stream)
        return int(cursor.rowcount)
    finally:
        cursor.close()


def _columns(connection: Connection, table: str) -> list[str]:
    found = connection.execute(
        text(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table) "
            "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ),
        {"table": table},
    )
    return list(found.scalars())


def load(file: Path, *, replace: bool) -> int:
    """Check the whole file, then replace the store by it in one transaction, in a new epoch.

    Raises StoreError, having changed nothing.
    """
    db.without_deadlines()
    try:
        bundle = zipfile.ZipFile(file)
    except DAMAGE as error:
        raise StoreError(f"{file} cannot be read as a dump: {error}") from None
    engine = create_engine(get_settings().database(direct=True))
    with bundle, engine.begin() as connection:
        manifest = check(bundle, connection)
        if not replace and connection.scalar(
            text("SELECT EXISTS (SELECT FROM revisions WHERE n > 0)")
        ):
            raise StoreError("This store is in use. To replace all of it, say --replace.")
        names = ", ".join([*tables(), *sorted(LEFT_OUT)])
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        for table in tables():
            columns = ", ".join(manifest["tables"][table]["columns"])
            with bundle.open(table) as member:
                rows = _copy(connection, f"COPY {table} ({columns}) FROM STDIN", member)
            if rows != manifest["tables"][table]["rows"]:
                raise StoreError(f"The dump's table {table} is not what its manifest says.")
            _continue_ids(connection, table)
        begin_epoch(connection, reason="loaded")
    engine.dispose()
    return sum(entry["rows"] for entry in manifest["tables"].values())


def check(bundle: zipfile.ZipFile, connection: Connection) -> dict[str, Any]:
    """Return the manifest if everything in the file is as it says and fits this release."""
    try:
        manifest: dict[str, Any] = json.loads(bundle.read("manifest.json"))
        if manifest["format"] != FORMAT:
            raise StoreError(f"The dump has format {manifest['format']}, this release {FORMAT}.")
        for table in tables():
            with bundle.open(table) as member:
                counted = _Counted(member)
                while counted.read(1 << 20):
                    pass
            entry = manifest["tables"][table]
            if (counted.size, counted.digest.hexdigest()) != (entry["bytes"], entry["sha256"]):
                raise StoreError(f"The dump is damaged: {table} does not match its checksum.")
    except DAMAGE as error:
        raise StoreError(f"The dump is damaged or not one: {error}") from None
    ours = MigrationContext.configure(connection).get_current_revision()
    if manifest["migration"] != ours:
        raise StoreError(
            f"The dump is of migration {manifest['migration']}, this database of {ours}: load it "
            "with the release that made it, then upgrade."
        )
    return manifest


def _continue_ids(connection: Connection, table: str) -> None:
    """Let new rows go on counting after the loaded ones."""
    sequence = connection.scalar(
        text("SELECT pg_get_serial_sequence(:table, 'id') WHERE :id"),
        {"table": table, "id": "id" in Base.metadata.tables[table].columns},
    )
    if sequence:
        newest = f"SELECT coalesce(max(id), 0) + 1 FROM {table}"  # noqa: S608
        connection.execute(text(f"SELECT setval('{sequence}', ({newest}), false)"))
