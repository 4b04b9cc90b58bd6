"""Rotation between two users of a PostgreSQL that share a parent role."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import encrypt_password
from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core import egress
from app.rotators.kinds.base import (
    Job,
    KindSettings,
    RotationFailed,
    random_text,
    read_settings,
    settings_of,
)

LENGTH = 40
PORT = 5432
LIMITS = "SET LOCAL statement_timeout = 4000; SET LOCAL lock_timeout = 3000"
NETWORK: dict[str, Any] = {
    "connect_timeout": 4,
    "tcp_user_timeout": 5000,
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "gssencmode": "disable",
    "application_name": "ConfigSync rotation",
}

ROLE = """
    SELECT rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls,
           pg_has_role(oid, (SELECT oid FROM pg_roles WHERE rolname = %s), 'MEMBER')
    FROM pg_roles WHERE rolname = %s
"""

RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,62}$")]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True, slots=True)
class Target:
    """A database and the administrator of its users, taken out of a URL."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)


def target(url: SecretStr) -> Target:
    """Take a URL apart; raise ValueError, which quotes nothing of it."""
    # libpq would follow other hosts, files and services that a URL can name.
    try:
        parts = urlsplit(url.get_secret_value())
        found = Target(
            host=parts.hostname or "",
            port=parts.port or PORT,
            database=unquote(parts.path.removeprefix("/")),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )
    except ValueError:
        raise ValueError("must be postgresql://user:password@host:port/database") from None
    texts = (found.host, found.database, found.user, found.password)
    if parts.scheme not in {"postgresql", "postgres"} or not all(texts):
        raise ValueError("must be postgresql://user:password@host:port/database")
    if any("\0" in text for text in texts) or set(found.host) & set("/,%"):
        raise ValueError("must name one host, and hold no NUL")
    if parts.query or parts.fragment:
        raise ValueError("must have no parameters: sslmode is a setting of its own")
    return found


def whole(url: SecretStr) -> SecretStr:
    """Refuse a URL that cannot be taken apart."""
    target(url)
    return url


class PostgresSettings(KindSettings):
    """Where the users are, who administers them, and whose members they are."""

    url: Annotated[SecretStr, AfterValidator(whole)]
    parent: RoleName
    users: tuple[RoleName, RoleName]
    sslmode: SslMode = "prefer"

    @model_validator(mode="after")
    def different(self) -> "PostgresSettings":
        """Refuse to rotate one user into itself, its parent, or the administrator."""
        if len({*self.users, self.parent, target(self.url).user}) != 4:  # noqa: PLR2004
            raise ValueError("the two users, the parent and the administrator must all differ")
        return self


class PostgresKind:
    """Give the idle one of two users a new password, then stop the other one's."""

    model = PostgresSettings

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError or EgressRefused for settings that cannot work."""
        where = target(read_settings(PostgresSettings, settings).url)
        egress.check_host(where.host, where.port)

    def create(self, job: Job) -> dict[str, str]:
        """Return the idle user and a new password."""
        first, second = settings_of(PostgresSettings, job).users
        idle = second if _username(job.current) == first else first
        return {"username": idle, "password": random_text(LENGTH)}

    def set(self, job: Job) -> None:
        """Give the idle user the password; make the user if there is none."""
        settings = settings_of(PostgresSettings, job)
        user, password = _pending(settings, job)
        if user == _username(job.current):
            raise RotationFailed(f"{user} is in use")
        with _administration(settings) as cursor:
            exists = _is_ours(cursor, settings, user)
            statement = (
                "ALTER ROLE {} LOGIN PASSWORD {}"
                if exists
                else ("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
            )
            verifier = encrypt_password(password, user, cursor.connection, "scram-sha-256")
            parts = [sql.Identifier(user), sql.Literal(verifier), sql.Identifier(settings.parent)]
            cursor.execute(sql.SQL(statement).format(*parts))

    def test(self, job: Job) -> None:
        """Log in as the idle user."""
        settings = settings_of(PostgresSettings, job)
        user, password = _pending(settings, job)
        # A server that asks for less has not tried the password, or wants to be told it.
        demand = {"require_auth": "scram-sha-256"}
        with _logged_in(settings, user, password, who=user, **demand) as cursor:
            # Not current_user: that is the parent after ALTER ROLE ... SET role.
            cursor.execute("SELECT session_user")
            if cursor.fetchone() != (user,):
                raise RotationFailed(f"the log-in as {user} makes another user of it")

    def finish(self, job: Job) -> None:
        """Take the password of the user who was in use before; sessions go on."""
        settings = settings_of(PostgresSettings, job)
        old, new = _username(job.current), _username(job.pending)
        if new is None:
            raise RotationFailed("it is not known which user is in use now")
        if old != new:
            _take_password(settings, old)

    def rollback(self, job: Job) -> None:
        """Take the password that `set` gave."""
        settings = settings_of(PostgresSettings, job)
        pending = _username(job.pending)
        if pending != _username(job.current):
            _take_password(settings, pending)


def _username(value: Any) -> str | None:
    name = value.get("username") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _pending(settings: PostgresSettings, job: Job) -> tuple[str, str]:
    user = _username(job.pending)
    password = job.pending.get("password") if user else None
    if user not in settings.users or not isinstance(password, str) or not password:
        raise RotationFailed("the pending value is not one of these two users and a password")
    return user, password


def _take_password(settings: PostgresSettings, user: str | None) -> None:
    if user not in settings.users:
        return
    with _administration(settings) as cursor:
        if _is_ours(cursor, settings, user):
            cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD NULL").format(sql.Identifier(user)))


def _is_ours(cursor: Cursor, settings: PostgresSettings, user: str) -> bool:
    """Tell whether the user exists; raise RotationFailed if it is nobody that we may change."""
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (settings.parent,))
    if cursor.rowcount == 0:
        raise RotationFailed(f"there is no role {settings.parent}")
    cursor.execute(ROLE, (settings.parent, user))
    row = cursor.fetchone()
    if row is None:
        return False
    privileged, member = row
    if privileged or not member:
        raise RotationFailed(f"{user} is privileged or no member of {settings.parent}: not touched")
    return True


@contextmanager
def _administration(settings: PostgresSettings) -> Iterator[Cursor]:
    admin = target(settings.url)
    with _logged_in(settings, admin.user, admin.password, who="the administrator") as cursor:
        yield cursor


@contextmanager
def _logged_in(
    settings: PostgresSettings, user: str, password: str, *, who: str, **demands: str
) -> Iterator[Cursor]:
    """Run one bounded transaction; raise RotationFailed, which holds nothing that libpq says."""
    connection = _connect(settings, who, user=user, password=password, **demands)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(LIMITS)
            yield cursor
    except psycopg2.Error as error:
        raise RotationFailed(_refusal(error)) from None
    finally:
        connection.close()


def _connect(settings: PostgresSettings, who: str, **login: Any) -> Connection:
    where = target(settings.url)
    try:
        connection: Connection = psycopg2.connect(
            host=where.host,
            hostaddr=egress.resolve(where.host, where.port),
            port=where.port,
            dbname=where.database,
            sslmode=settings.sslmode,
            **login,
            **NETWORK,
        )
    except egress.EgressRefused:
        raise RotationFailed("the server's address is refused") from None
    except OSError:
        raise RotationFailed("the server's name cannot be resolved") from None
    except psycopg2.Error as error:
        raise RotationFailed(_no_login(str(error), who)) from None
    return connection


def _no_login(text: str, who: str) -> str:
    if "FATAL" in text:  # the server's word; a failed connection has no SQLSTATE
        return f"the log-in as {who} is refused"
    if "authentication method requirement" in text:
        return f"the server does not ask {who} for a password by SCRAM"
    if "SSL" in text or "certificate" in text:
        return "the server does not speak TLS as sslmode demands"
    return "the server does not answer"


def _refusal(error: psycopg2.Error) -> str:
    if isinstance(error, errors.InsufficientPrivilege):
        return "the administrator lacks the right to do this"
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
        return "the server takes too long"
    if error.pgcode is None:
        return "the server does not answer any more"
    return f"the server refuses the change (SQLSTATE {error.pgcode})"
