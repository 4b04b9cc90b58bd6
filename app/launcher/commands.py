"""What `python -m app` does, one function a command."""

import getpass
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from pydantic import TypeAdapter, ValidationError

from app.accounts.schemas import Email, Password, Username
from app.accounts.service import create_first_admin
from app.auth import crud
from app.auth.errors import UserExists
from app.core import db, metrics
from app.core.protocol import Protocol
from app.core.secret_files import make_secrets
from app.core.settings import Settings, get_settings
from app.health.service import TOO_OLD, not_ready
from app.launcher import store
from app.launcher.migrations import migrate
from app.launcher.postgres import data_home, embedded_postgres
from app.secrets import rotation
from app.secrets.errors import Sealed
from app.secrets.keyring import get_keyring
from app.secrets.rotation import RotationRunning

FIRST_ADMIN = ("admin", "admin@localhost.localdomain")
MAX_MESSAGE_BYTES = 64 * 1024
"""Of a WebSocket; a few of them may wait for each connection."""


class CommandError(Exception):
    """A sentence for the operator; the command ends with status 1."""


def say(text: str) -> None:
    """Tell the operator."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def database() -> Iterator[Settings]:
    """Provide the database of the settings, starting the embedded one where there is none."""
    settings = get_settings()
    if not settings.embedded:
        yield settings
        return
    os.environ["DATA_DIR"] = str(data_home(settings.data_dir.absolute()))
    get_settings.cache_clear()
    settings = get_settings()
    with embedded_postgres(settings.data_dir, say=say):
        make_secrets(settings.data_dir)
        try:
            yield settings
        finally:
            db.dispose_engines()


def serve(_: Any = None) -> None:
    """Run the server until it is told to stop."""
    signal.signal(signal.SIGTERM, _end)
    with database() as settings, shared_metrics(settings.workers):
        settings.signing_keys()
        get_keyring()
        if not settings.enable_encryption:
            say("ENABLE_ENCRYPTION=false has no effect: secrets are always encrypted.")
        if settings.embedded:
            migrate()
            ensure_admin(settings, generate=True)
        elif (reason := not_ready()) is not None:
            if reason == TOO_OLD:
                raise CommandError(f"{reason}.")
            say(f"Not ready yet: {reason}.")
        scheme = "https" if settings.tls_cert_file else "http"
        url = f"{scheme}://{settings.host}:{settings.service_port}"
        say(f"ConfigSync serves {url} — documentation at {url}/docs, Ctrl-C stops it.")
        uvicorn.run(
            "app.main:create_server",
            factory=True,
            http=Protocol,
            host=settings.host,
            port=settings.service_port,
            workers=settings.workers,
            log_config=None,
            log_level=settings.log_level.lower(),
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=settings.shutdown_grace_s,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_max_queue=4,
            ws_per_message_deflate=False,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
        )


@contextmanager
def shared_metrics(workers: int) -> Iterator[None]:
    """Give several server processes a directory where they add their metrics up."""
    if workers == 1 or os.environ.get(metrics.SHARED_DIRECTORY):
        yield
        return
    with tempfile.TemporaryDirectory(
        prefix="configsync-metrics-", ignore_cleanup_errors=True
    ) as place:
        os.environ[metrics.SHARED_DIRECTORY] = place
        try:
            yield
        finally:
            del os.environ[metrics.SHARED_DIRECTORY]


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def migrate_database(_: Any = None) -> None:
    """Bring the schema up to date; create the first admin if ADMIN_* are set."""
    with database() as settings:
        migrate()
        ensure_admin(settings, generate=False)
    say("The database is up to date.")


def ensure_admin(settings: Settings, *, generate: bool) -> None:
    """Create the first admin if the server has none, and print a generated password once."""
    with db.transaction() as session:
        if crud.any_admin(session):
            return
    given = settings.admin_password.get_secret_value() if settings.admin_password else None
    if given is None and not generate:
        return
    name = settings.admin_username or FIRST_ADMIN[0]
    password = given or secrets.token_urlsafe(15)
    new_admin(name, settings.admin_email or FIRST_ADMIN[1], password)
    if given is None:
        say(f"\n  First admin: {name}\n  Password:    {password}\n  (shown this once)\n")


def create_admin(arguments: Any) -> None:
    """Create an admin; asks for what is not given. The password may come on standard input."""
    with database() as settings:
        if settings.embedded:
            migrate()
        name = arguments.username or input("User name: ")
        email = arguments.email or input("E-mail: ")
        password = (
            getpass.getpass("Password: ")
            if sys.stdin.isatty()
            else sys.stdin.readline().rstrip("\n")
        )
        new_admin(name, email, password)
    say(f"Admin {name} was created.")


def new_admin(name: str, email: str, password: str) -> None:
    """Validate and create an admin who acts in `default`."""
    for what, kind, value in (
        ("user name", Username, name),
        ("e-mail address", Email, email),
        ("password", Password, password),
    ):
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_input=False)[0]["msg"]
            raise CommandError(f"The {what} is not acceptable: {reason}") from None
    with db.transaction() as session:
        if crud.is_taken(session, username=name, email=email):
            raise CommandError(UserExists().detail)
        create_first_admin(session, username=name, email=email, password=password)


def worker(arguments: Any) -> None:
    """Run a Celery worker: the audit log and the periodic work."""
    _celery("worker", f"--concurrency={arguments.concurrency}", "--without-gossip")


def beat(_: Any) -> None:
    """Run Celery's clock; workers manage without, only later."""
    _celery("beat")


def _celery(*words: str) -> None:
    settings = get_settings()
    if settings.redis is None:
        raise CommandError("There is nothing to do without REDIS_URL: the server works alone.")
    settings.database()
    from app.celery_app import celery  # noqa: PLC0415  (only workers need it)

    celery.start([*words, f"--loglevel={settings.log_level}"])


def make_secret_files(_: Any) -> None:
    """Make the keys that are missing, once, in DATA_DIR."""
    made = make_secrets(get_settings().data_dir)
    say(f"Made {', '.join(made)}." if made else "All keys are there.")


def keys(arguments: Any) -> None:
    """Show, rewrap or rotate the keys of secrets; a rotation that was cut off goes on."""
    work = {"status": show_keys, "rewrap": rewrap_keys, "rotate": rotate_keys}[arguments.action]
    with database():
        try:
            work()
        except RotationRunning:
            raise CommandError("A rotation is running already: wait for it to end.") from None
        except Sealed as error:
            raise CommandError(error.detail) from None


def show_keys() -> None:
    """Show which keys are needed, and what a rotation has left to do."""
    now = rotation.status()
    say(f"Active key: {now.active}")
    for kek in now.keks:
        here = "here" if kek.is_here else "MISSING: set it in ENCRYPTION_KEY, after the first one"
        say(f"  {kek.id} wraps {kek.data_keys} data keys ({here})")
    say(f"Data keys for values: {now.data_keys}, of which old: {now.old_data_keys}")
    say(f"Secrets: {now.secrets}, of which under old data keys: {now.waiting}")
    if now.is_rotating:
        say("A rotation is unfinished: `python -m app keys rotate` goes on with it.")
    if now.is_sealed:
        raise CommandError("Sealed: secrets cannot be read.")
    say("Secrets can be read.")


def rewrap_keys() -> None:
    """Put every data key under the active key-encryption key."""
    say(f"Rewrapped {rotation.rewrap()} data keys. Older ENCRYPTION_KEYs are not needed any more.")


def rotate_keys() -> None:
    """Make new data keys and seal every secret anew under them."""
    outcome = rotation.rotate(Progress())
    if outcome.continued:
        say("Went on with the rotation that was begun before.")
    say(f"Sealed {outcome.sealed} secrets anew, retired {outcome.retired} data keys.")
    if outcome.damaged:
        raise CommandError(
            f"{len(outcome.damaged)} secrets are not what was stored and were left alone, with "
            f"their data keys: {', '.join(outcome.damaged[:10])}"
        )


class Progress:
    """Says how far it is, once a second at most."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Tell the operator."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            say(f"{done} of {total} secrets")


def dump(arguments: Any) -> None:
    """Write the whole store into one file."""
    with database():
        rows = store.dump(Path(arguments.file))
    say(f"Wrote {rows} rows to {arguments.file}. It holds password hashes: keep it safe.")


def load(arguments: Any) -> None:
    """Replace the whole store by the content of a file, after checking all of it."""
    with database():
        migrate()
        rows = store.load(Path(arguments.file), replace=arguments.replace)
    say(f"Loaded {rows} rows. A new epoch has begun: clients will resynchronize.")
