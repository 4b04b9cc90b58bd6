"""Clients in forked children: gunicorn and uWSGI before they serve, multiprocessing, os.fork."""

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What begins anew in a child."""

    def _after_fork(self) -> list[object]: ...


class _Watch:
    """The clients of this process, and what children inherited and must not touch.

    A loop or transport that is cleaned up in a child would take itself out of the epoll that it
    shares with its parent. So the child keeps them, and does nothing with them.
    """

    def __init__(self) -> None:
        self.clients: weakref.WeakSet[Forkable] = weakref.WeakSet()
        self.inherited: list[object] = []
        os.register_at_fork(after_in_child=self.begin_anew)

    def begin_anew(self) -> None:
        """Have all clients begin anew."""
        for client in list(self.clients):
            self.inherited += client._after_fork()  # noqa: SLF001  (of this package)


_watch: _Watch | None = None


def watch(client: Forkable) -> None:
    """Have a client begin anew in forked children."""
    global _watch  # noqa: PLW0603  (one for the process, made when the first client is)
    if _watch is None:
        _watch = _Watch()
    _watch.clients.add(client)
