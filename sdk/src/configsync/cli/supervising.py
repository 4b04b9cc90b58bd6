"""`run --watch`: a program that is started again whenever its variables change."""

import os
import queue
import random
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from configsync._errors import ConfigSyncError, ServerUnreachable, TryAgain
from configsync.cli import failures, output
from configsync.cli.context import Here
from configsync.cli.following import Event, follow
from configsync.cli.run import Wanted

PASSED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")
OF_THE_TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH}
"""What a terminal sends to the program itself."""
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}


class Supervisor:
    """The program, who waits for its end, and who listens for changes."""

    def __init__(self, at: Here, wanted: Wanted, command: list[str], grace: float) -> None:
        self._at, self._wanted, self._command, self._grace = at, wanted, command, grace
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._awake, self._waker = socket.socketpair()
        for end in (self._awake, self._waker):
            end.setblocking(False)
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ending = False
        self._owns_terminal = os.isatty(0)

    def run(self, config: dict[str, str]) -> int:
        """Run the program until it ends by itself, or by a signal; return the exit code."""
        with self._passing_signals():
            child = self._start(config)
            threading.Thread(target=self._listen, args=(config,), daemon=True).start()
            while True:
                event = self._next(None)
                if event is not None and event[0] == "changed":
                    latest = self._stop(child, event[1])
                    if not self._is_ending:
                        output.say("configsync: the config has changed: starting it again.")
                        child = self._start(latest)
                        continue
                return _code(child)

    def _start(self, config: dict[str, str]) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(self._command, env=self._wanted.environment(config))  # noqa: S603  (its purpose)
        self._child = child
        threading.Thread(target=self._wait, args=(child,), daemon=True).start()
        return child

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        child.wait()
        self._put("ended", child)

    def _put(self, kind: str, value: Any) -> None:
        self._events.put((kind, value))
        with suppress(BlockingIOError):
            self._waker.send(b"\0")

    def _next(self, end: float | None) -> tuple[str, Any] | None:
        """Return the next event, None at the end of the time.

        Waiting for the queue alone can miss a signal that comes just before the wait begins.
        """
        while self._events.empty():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return None
            select.select([self._awake], [], [], left)
            with suppress(BlockingIOError):
                self._awake.recv(4096)
        return self._events.get_nowait()

    def _stop(self, child: subprocess.Popen[bytes], latest: dict[str, str]) -> dict[str, str]:
        """End the program, by force after the grace; return the newest variables."""
        child.terminate()
        end: float | None = time.monotonic() + self._grace
        while True:
            event = self._next(end)
            if event is None:
                child.kill()
                end = None
            elif event[0] == "ended":
                return latest
            else:
                latest = event[1]

    def _listen(self, config: dict[str, str]) -> None:
        """Report the variables whenever they differ from those before."""
        level = self._wanted.level
        query = {"services": level.service, "environments": level.environment}
        try:
            for event in follow(self._at.connect(), query, has_begun=True):
                now = self._read(event)
                if now is not None and now != config:
                    config = now
                    self._put("changed", config)
        except ConfigSyncError as error:
            output.say(f"configsync: {failures.line_of(error)} It runs on, unwatched.")

    def _read(self, event: Event) -> dict[str, str] | None:
        """Return the variables as they are since an event, however long that takes."""
        while True:
            try:
                return self._wanted.read(self._at.api, event.data.get("revision"))
            except (ServerUnreachable, TryAgain):
                time.sleep(random.uniform(1, 3))  # noqa: S311  (spreads load)
            except ConfigSyncError as error:
                output.say(f"configsync: {failures.line_of(error)} It runs on with what it has.")
                return None

    @contextmanager
    def _passing_signals(self) -> Iterator[None]:
        numbers = [getattr(signal, name) for name in PASSED if hasattr(signal, name)]
        before = {number: signal.signal(number, self._pass) for number in numbers}
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass(self, number: int, _: FrameType | None) -> None:
        self._is_ending |= number in ENDING
        if self._child is not None and not (self._owns_terminal and number in OF_THE_TERMINAL):
            self._child.send_signal(number)


def _code(child: subprocess.Popen[bytes]) -> int:
    code = child.wait()
    return code if code >= 0 else 128 - code
