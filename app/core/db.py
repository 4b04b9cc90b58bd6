"""The engine, sessions and transactions. Nothing outside this file commits."""

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection, Engine, NullPool, Row, Select, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from app.core.errors import Busy, DatabaseUnavailable
from app.core.settings import Settings, get_settings

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

RETRYABLE = frozenset({"40001", "40P01"})
LOST_RACES = frozenset({"uq_configs_level", "fk_secrets_data_key_id_data_keys"})
"""Constraints that only somebody who was faster can break, such as by a rename meanwhile."""
UNAVAILABLE = frozenset({"25006", "53000", "53100", "53200", "53300", "57014", "57P01", "57P02"})
BUSY = frozenset({"55P03"})

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""`time.monotonic()` at which this request's database work is given up."""

Truth = TypeVar("Truth")

_on_commit: list[Callable[[Session], None]] = []


def wait_with_deadline(connection: Any) -> None:
    """Wait for PostgreSQL, but not for ever: a frozen server holds no thread (psycopg2 hook)."""
    settings = get_settings()
    connecting = connection.status == psycopg2.extensions.STATUS_SETUP
    own = time.monotonic() + (
        settings.db_connect_timeout_s if connecting else settings.db_statement_timeout_ms / 1000 + 1
    )
    request = deadline.get()
    until = own if request is None else min(own, request)
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        left = until - time.monotonic()
        ready = select.poll()  # unlike select.select, with any number of open files
        reads = state == psycopg2.extensions.POLL_READ
        ready.register(connection.fileno(), select.POLLIN if reads else select.POLLOUT)
        if left <= 0 or not ready.poll(left * 1000):
            raise psycopg2.OperationalError("PostgreSQL did not answer in time")


def use_deadlines() -> None:
    """Bound every wait for PostgreSQL in this process."""
    psycopg2.extensions.set_wait_callback(wait_with_deadline)


def without_deadlines() -> None:
    """Let this process wait as long as it takes, and copy tables (dump and load)."""
    psycopg2.extensions.set_wait_callback(None)


def make_engine(
    settings: Settings, *, pool_size: int | None = None, transactions: bool = True
) -> Engine:
    """Return an engine whose every wait is bounded; without transactions only from this side."""
    engine = create_engine(
        settings.database(),
        pool_size=pool_size or settings.db_pool_size,
        max_overflow=0,
        pool_timeout=settings.db_pool_timeout_ms / 1000,
        pool_pre_ping=transactions,
        isolation_level=None if transactions else "AUTOCOMMIT",
        hide_parameters=True,
        connect_args={
            "connect_timeout": settings.db_connect_timeout_s,
            "application_name": settings.service_name,
            "keepalives_idle": 30,
        },
    )
    if not transactions:
        return engine
    limits = (
        f"SET LOCAL statement_timeout = {settings.db_statement_timeout_ms:d}; "
        f"SET LOCAL lock_timeout = {settings.db_lock_timeout_ms:d}"
    )

    @event.listens_for(engine, "begin")
    def set_limits(connection: Any) -> None:
        connection.exec_driver_sql(limits)

    return engine


@lru_cache(maxsize=1)
def get_engine() -> Engine:
    """Return the engine of this process."""
    return make_engine(get_settings())


@lru_cache(maxsize=1)
def get_probe_engine() -> Engine:
    """Return a small engine for health checks, so that busy requests never hold them up."""
    return make_engine(get_settings(), pool_size=2)


@lru_cache(maxsize=1)
def get_side_engine() -> Engine:
    """Return one connection for what is committed while requests hold all the others."""
    return make_engine(get_settings(), pool_size=1)


READERS = 4
"""Threads that read for the hot routes."""


@lru_cache(maxsize=1)
def get_reading_engine() -> Engine:
    """Return connections for single statements that only read: nothing is said around them."""
    return make_engine(get_settings(), pool_size=READERS, transactions=False)


def dispose_engines(*, forked: bool = False) -> None:
    """Close all connections of this process; after a fork, leave the parent's alone."""
    for cached in (get_engine, get_probe_engine, get_side_engine, get_reading_engine):
        if cached.cache_info().currsize:
            cached().dispose(close=not forked)
            cached.cache_clear()


def on_event_commit(callback: Callable[[Session], None]) -> None:
    """Call back after every commit that recorded events, with its session."""
    _on_commit.append(callback)


def forget_callbacks() -> None:
    """Call nobody back any more, at the end of an application."""
    _on_commit.clear()


def open_session() -> Session:
    """Return a session of this process; `finish` or `transaction` ends it."""
    return Session(get_engine(), expire_on_commit=False, autoflush=False)


def finish(session: Session) -> None:
    """Commit, then tell whoever waits for events."""
    session.commit()
    if session.info.pop("events", False):
        for callback in _on_commit:
            callback(session)


@contextmanager
def transaction() -> Iterator[Session]:
    """Run one transaction of its own, outside a request or beside it."""
    with open_session() as session:
        yield session
        finish(session)


def read(work: Callable[[Session], Truth]) -> Truth:
    """Read by single statements; again if the connection had died while it was idle."""
    try:
        with Session(get_reading_engine(), expire_on_commit=False, autoflush=False) as session:
            return work(session)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    with Session(get_reading_engine(), expire_on_commit=False, autoflush=False) as session:
        return work(session)


@contextmanager
def side_transaction() -> Iterator[Session]:
    """Run one transaction on the connection that requests do not use."""
    with Session(get_side_engine(), expire_on_commit=False, autoflush=False) as session:
        yield session
        finish(session)


@contextmanager
def lone_connection() -> Iterator[Connection]:
    """Open a connection of its own, past any pooler, for locks that go with a connection."""
    engine = create_engine(get_settings().database(direct=True), poolclass=NullPool)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection
    finally:
        engine.dispose()


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's code for an error, if it has one."""
    return getattr(error.orig, "pgcode", None)


def constraint(error: DBAPIError) -> str | None:
    """Return the name of the constraint that an error is about, if there is one."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None)


def is_retryable(error: BaseException) -> bool:
    """Say whether the whole transaction may simply be tried again."""
    if not isinstance(error, DBAPIError):
        return False
    return sqlstate(error) in RETRYABLE or constraint(error) in LOST_RACES


def unavailable(error: Exception) -> Busy | DatabaseUnavailable | None:
    """Translate what means "not now" into the answer for the caller."""
    if isinstance(error, PoolTimeoutError):
        return Busy("All database connections are in use. Try again in a moment.")
    if not isinstance(error, DBAPIError):
        return None
    code = sqlstate(error)
    if code in BUSY:
        return Busy("Another change holds a lock on this for too long. Try again.")
    lost = error.connection_invalidated or isinstance(
        error.orig, psycopg2.OperationalError | psycopg2.InterfaceError
    )
    if code in UNAVAILABLE or (code is None and lost) or (code or "").startswith(("08", "57P")):
        return DatabaseUnavailable(
            "The database does not answer. Nothing was changed, or it is "
            "not known: read again before you repeat a change."
        )
    return None
