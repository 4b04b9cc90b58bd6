"""WORKERS=2: several server processes are one server."""

import os
import signal
import socket
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.client import PASSWORD, login, register
from tests.conftest import copy_template, execute, url_of
from tests.processes import KEYS, Server, Stage, children, members, processes, until


def serving(server: Server) -> list[int]:
    """Return the server processes that the launcher has started."""
    spawned = {pid for pid, _, _, command in processes() if "spawn_main" in command}
    return [pid for pid in children(server.pid) if pid in spawned]


def start(stage: Stage, database: str) -> Server:
    server = stage.server(DATABASE_URL=database, WORKERS="2", **KEYS)
    until(lambda: len(serving(server)) == 2, "both processes live")
    return server


@pytest.fixture(scope="module")
def pair() -> Iterator[Server]:
    """Give two processes that several tests use."""
    name = f"test_{uuid.uuid4().hex}"
    copy_template(name)
    stage = Stage()
    try:
        yield start(stage, url_of(name))
    finally:
        stage.close()
        execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def doomed(stage: Stage, database: str) -> Server:
    """Give two processes that end."""
    return start(stage, database)


def fresh(server: Server, token: str, method: str, path: str, **options) -> httpx.Response:
    """Ask over a connection of its own, so that either process may answer."""
    with server.client(headers={"Authorization": f"Bearer {token}"}) as client:
        return client.request(method, path, **options)


def test_a_person_reads_the_own_last_write_whichever_process_answers(pair):
    with pair.client() as client:
        token = register(client, "ada").token
    for number in range(60):
        body = {"name": "billing", "config": {"n": number}}
        written = fresh(pair, token, "POST", "/config/update", json=body)
        assert written.json()["version"] == number + 1
        for path in ("/config/get?service=billing", "/config/billing"):
            assert fresh(pair, token, "GET", path).json()["config"] == {"n": number}


def test_a_logout_is_refused_at_once_everywhere(pair):
    with pair.client() as client:
        register(client, "bob")
    for _ in range(5):
        with pair.client() as client:
            token = login(client, "bob").token
        for _ in range(4):
            assert fresh(pair, token, "GET", "/auth/me").status_code == 200
        assert fresh(pair, token, "POST", "/auth/logout").status_code == 200
        for _ in range(8):
            assert fresh(pair, token, "GET", "/auth/me").status_code == 401


def test_a_killed_process_is_replaced(pair):
    with pair.client() as client:
        token = register(client, "eve").token
    victim = serving(pair)[0]
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = serving(pair)
        return len(now) == 2 and victim not in now

    until(replaced, "another process takes its place")
    for _ in range(20):
        assert fresh(pair, token, "GET", "/auth/me").status_code == 200


def test_a_killed_launcher_leaves_no_server_behind(doomed):
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    until(lambda: not members(doomed.pid), "the processes end")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", doomed.port))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_launcher_ends_its_processes(doomed, number):
    os.kill(doomed.pid, number)
    assert doomed.wait() == 0
    until(lambda: not members(doomed.pid), "the processes end")


def test_embedded_with_two_processes(stage):
    server = stage.server(
        WORKERS="2", ADMIN_PASSWORD=PASSWORD, ADMIN_USERNAME="root", ADMIN_EMAIL="r@example.com"
    )
    assert "Password:" not in server.text()
    with server.client() as client:
        root = login(client, "root")
        changed = root.update("billing", {"a": 1})
        number = changed.headers["x-request-id"]
    until(
        lambda: stage.log.exists() and number in stage.log.read_text(),
        "the change is in the audit log",
    )
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
    until(lambda: not members(server.pid), "the processes end")
