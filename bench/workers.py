"""Connections that are spread evenly over the worker processes of a server."""

import socket
import time

import psutil

from bench import load


def spread(pid: int, port: int, *, workers: int, count: int) -> tuple[list[socket.socket], str]:
    """Open connections, the same number to every worker, and say how many each has.

    The workers race for connections, and an uneven result would measure the race.
    """
    if workers == 1:
        return load.connect(port, count), str(count)
    kept: dict[int, list[socket.socket]] = {}
    share = count // workers
    spare = []
    for _attempt in range(200):
        connection = load.connect(port, 1)[0]
        owner = _owner(pid, connection)
        if len(kept.setdefault(owner, [])) < share:
            kept[owner].append(connection)
        else:
            spare.append(connection)
        if sum(map(len, kept.values())) == count:
            break
    load.close(spare)
    sockets = [connection for group in kept.values() for connection in group]
    return sockets, "+".join(str(len(group)) for group in kept.values())


def _owner(pid: int, connection: socket.socket) -> int:
    """Find the worker that accepted a connection."""
    local = connection.getsockname()
    for _attempt in range(100):
        for child in psutil.Process(pid).children(recursive=True):
            if any(c.raddr == local for c in child.net_connections("tcp") if c.raddr):
                return int(child.pid)
        time.sleep(0.01)
    raise RuntimeError("no worker accepted the connection")
