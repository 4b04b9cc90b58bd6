"""Heavy work in processes of its own, so that it can be limited, killed and forgotten."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from enum import StrEnum
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from pebble import ProcessExpired, ProcessFuture, ProcessPool

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_START_SECONDS = 30.0  # for a worker to start, import and fetch; then it is given up
_OUT_OF_MEMORY = 77  # a worker's exit code


class Refusal(StrEnum):
    """Why work was not done."""

    CLOSED = "closed"
    FULL = "full"
    TIME = "time"
    MEMORY = "memory"
    DIED = "died"


class WorkRefused(Exception):
    """The pool did not do the work; `reason` says why."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class WorkPool:
    """A bounded pool of worker processes, started at first use; safe to share by threads.

    At most `queue` callers wait for one of `workers`, each for at most `seconds`; then the
    work itself may take `seconds` and `megabytes` of address space, imports included, beyond
    what an idle worker has. Nothing is inherited but the environment.
    """

    def __init__(self, *, workers: int, queue: int, seconds: float, megabytes: int) -> None:
        self._workers = workers
        self._seconds = seconds
        self._megabytes = megabytes
        self._admitted = threading.BoundedSemaphore(workers + queue)
        self._free = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._futures: set[ProcessFuture[object]] = set()
        self._pool: ProcessPool | None = None
        self._closed = False

    def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Return `function(*args)` as computed in a worker, or raise what it raised there.

        Block until then. Function, arguments and result must be picklable, the function
        importable without a web framework or a database. Raise WorkRefused.
        """
        with self._slot():
            pool, future = self._schedule(function, args)
            try:
                return self._result(pool, future)
            finally:
                with self._lock:
                    self._futures.discard(future)

    def close(self) -> None:
        """Kill the workers, refuse work in progress and any that comes later."""
        with self._lock:
            self._closed = True
            self._drop()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._admitted.acquire(blocking=False):
            raise WorkRefused(Refusal.FULL)
        try:
            if not self._free.acquire(timeout=self._seconds):
                raise WorkRefused(Refusal.FULL)
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._admitted.release()

    def _schedule(
        self, function: Callable[[*Ts], R], args: tuple[*Ts]
    ) -> tuple[ProcessPool, ProcessFuture[R]]:
        with self._lock:
            if self._closed:
                raise WorkRefused(Refusal.CLOSED)
            if self._pool is not None and not self._pool.active:
                self._drop()  # an idle worker was killed, which breaks a pool of pebble's
            try:
                pool = self._pool = self._pool or self._start()
                future = pool.schedule(_call, (function, args), timeout=self._seconds)
            except RuntimeError:
                self._drop()
                raise WorkRefused(Refusal.DIED) from None
            self._futures.add(future)
            return pool, future

    def _start(self) -> ProcessPool:
        # spawn: a fork would inherit the server's sockets and locks held by its threads
        return ProcessPool(
            max_workers=self._workers,
            initializer=_confine,
            initargs=(self._megabytes,),
            context=get_context("spawn"),
        )

    def _result(self, pool: ProcessPool, future: ProcessFuture[R]) -> R:
        try:
            return future.result(timeout=self._seconds + _START_SECONDS)
        except (CancelledError, BrokenProcessPool):
            raise WorkRefused(self._death()) from None
        except ProcessExpired as error:
            out = error.exitcode == _OUT_OF_MEMORY
            raise WorkRefused(Refusal.MEMORY if out else self._death()) from None
        except TimeoutError:
            if not future.done():  # lost on its way to a worker
                self._replace(pool)
            raise WorkRefused(Refusal.TIME) from None

    def _death(self) -> Refusal:
        """Say why a worker is gone: `close` kills them before it cancels what they did."""
        return Refusal.CLOSED if self._closed else Refusal.DIED

    def _replace(self, pool: ProcessPool) -> None:
        with self._lock:
            if self._pool is pool:
                self._drop()

    def _drop(self) -> None:
        """Kill the pool, with the lock held, and wake those who wait for it."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
        for future in self._futures:
            future.cancel()  # type: ignore[no-untyped-call]


def _call(function: Callable[[*Ts], R], args: tuple[*Ts]) -> R:
    try:
        return function(*args)
    except (MemoryError, SystemError):  # the latter where C code forgot to say the former
        os._exit(_OUT_OF_MEMORY)  # its heap is in pieces; the next task gets a new worker


def _confine(megabytes: int) -> None:
    """Limit this worker, keep its memory out of core files and let it die with the server."""
    threading.stack_size(1 << 20)  # the system's default may be larger than the limit
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, whatever Python is busy with
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # macOS knows no such limit
        limit = _address_space() + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _address_space() -> int:
    """Return the bytes this process has mapped, which can be a GiB before it does anything."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
