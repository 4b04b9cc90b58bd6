"""`python -m app`: each command as an operator runs it."""

import os
import re
import signal
import socket
import stat

import pytest

from app.core.settings import Settings
from tests.client import PASSWORD, login, register
from tests.processes import KEYS, Server, Stage, mentioning, rows, until

SHOWN = re.compile(r"Password:    (\S+)")


def put(server: Server, who: str, password: str, name: str, config: dict) -> None:
    with server.client() as client:
        answer = login(client, who, password).update(name, config)
        assert answer.status_code == 200, answer.text


def modes(stage: Stage, *names: str) -> set[int]:
    return {stat.S_IMODE((stage.place / "data" / name).stat().st_mode) for name in names}


def test_help_lists_commands_and_settings(stage):
    shown = stage.run("--help")
    assert shown.returncode == 0
    for command in [
        "serve",
        "migrate",
        "create-admin",
        "worker",
        "beat",
        "secrets",
        "dump",
        "load",
    ]:
        assert re.search(rf"^\s+{command}\s", shown.stdout, re.MULTILINE), command
    for name in Settings.model_fields:
        assert re.search(rf"^\s+{name.upper()} \(", shown.stdout, re.MULTILINE), name


def test_a_command_is_required(stage):
    assert stage.run().returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_and_second_start(stage, number):
    server = stage.server()
    (password,) = SHOWN.findall(server.text())
    put(server, "admin", password, "billing", {"kept": True})
    assert modes(stage, "secret_key", "encryption_key", "postgres/password", "postgres/dsn") == {
        0o600
    }
    assert modes(stage, "postgres/pgdata") == {0o700}
    os.kill(server.pid, number)
    assert server.wait() == 0
    assert until(lambda: not mentioning(stage.place), "nothing is left running")
    again = stage.server(port=server.port)
    assert not SHOWN.search(again.text())
    with again.client() as client:
        got = login(client, "admin", password).get("/config/get", service="billing").json()
    assert (got["config"], got["version"]) == ({"kept": True}, 1)


def test_a_killed_server_is_succeeded_on_the_same_postgres(stage):
    server = stage.server()
    (password,) = SHOWN.findall(server.text())
    put(server, "admin", password, "billing", {"kept": True})
    postmaster = (stage.place / "data/postgres/pgdata/postmaster.pid").read_text().split()[0]
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    again = stage.server(port=server.port)
    same = (stage.place / "data/postgres/pgdata/postmaster.pid").read_text().split()[0]
    assert same == postmaster
    with again.client() as client:
        got = login(client, "admin", password).get("/config/get", service="billing").json()
    assert got["config"] == {"kept": True}
    os.kill(again.pid, signal.SIGTERM)
    assert again.wait() == 0
    assert until(lambda: not mentioning(stage.place), "nothing is left running")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_named_and_nothing_stays_behind(stage, workers):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = stage.start_server(port=port, WORKERS=workers)
        assert server.wait() not in {0, None}
    assert "address already in use" in server.text().lower()
    assert "Traceback" not in server.text()
    assert until(lambda: not mentioning(stage.place), "nothing is left running")


def test_migrate_is_idempotent_and_creates_the_admin_of_the_settings(stage, database):
    settings = {
        "DATABASE_URL": database,
        "ADMIN_USERNAME": "root",
        "ADMIN_EMAIL": "root@example.com",
        "ADMIN_PASSWORD": PASSWORD,
    }
    for _ in range(2):
        done = stage.run("migrate", **settings)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            0,
            "The database is up to date.",
        )
    assert rows(database, "SELECT username, role FROM users") == [("root", "admin")]


def test_migrate_creates_the_schema_in_an_empty_database(stage):
    postgres = stage.postgres()
    done = stage.run("migrate", DATABASE_URL=postgres.dsn)
    assert done.returncode == 0, done.stderr
    assert rows(postgres.dsn, "SELECT count(*) FROM users") == [(0,)]


def test_migrate_says_that_the_database_is_away(stage):
    done = stage.run("migrate", DATABASE_URL="postgresql://a:hidden@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr
    assert "refused" in done.stderr


def test_create_admin(stage, database):
    def create(name: str, email: str, password: str):
        words = ("create-admin", "--username", name, "--email", email)
        return stage.run(*words, text=f"{password}\n", DATABASE_URL=database)

    done = create("root", "root@example.com", PASSWORD)
    assert (done.returncode, done.stderr) == (0, "Admin root was created.\n")
    for refused, words in (
        (create("other", "other@example.com", "short"), "The password is not acceptable"),
        (create("other", "nothing", PASSWORD), "The e-mail address is not acceptable"),
        (create("a b", "other@example.com", PASSWORD), "The user name is not acceptable"),
        (create("ROOT", "other@example.com", PASSWORD), ""),
        (create("other", "Root@example.com", PASSWORD), ""),
    ):
        assert refused.returncode == 1
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    server = stage.server(DATABASE_URL=database, **KEYS)
    with server.client() as client:
        assert login(client, "root").get("/auth/users").json()["users"][0]["role"] == "admin"


def test_create_admin_beside_a_running_embedded_server(stage):
    server = stage.server()
    words = ("create-admin", "--username", "eve", "--email", "eve@example.com")
    done = stage.run(*words, text=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    with server.client() as client:
        assert login(client, "eve").get("/auth/users").status_code == 200


def test_create_admin_before_the_first_start_says_what_to_do(stage):
    words = ("create-admin", "--username", "eve", "--email", "eve@example.com")
    done = stage.run(*words, text=f"{PASSWORD}\n")
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    server = stage.server()
    assert not SHOWN.search(server.text())
    with server.client() as client:
        login(client, "eve")


def test_secrets_are_made_once(stage):
    first = stage.run("secrets")
    assert (first.returncode, first.stderr) == (
        0,
        "Made secret_key, encryption_key, database_password.\n",
    )
    names = ("secret_key", "encryption_key", "database_password")
    kept = [(stage.place / "data" / name).read_text() for name in names]
    assert modes(stage, *names) == {0o600}
    again = stage.run("secrets")
    assert (again.returncode, again.stderr) == (0, "All keys are there.\n")
    assert [(stage.place / "data" / name).read_text() for name in names] == kept
    assert len(set(kept)) == 3


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_workers_need_redis(stage, command):
    done = stage.run(command, DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert (done.returncode, done.stderr) == (
        1,
        "There is nothing to do without REDIS_URL: the server works alone.\n",
    )


@pytest.mark.parametrize("key", ["supersecretkey", "short", "x" * 40, "changeme"])
def test_a_weak_key_is_refused_in_a_sentence(stage, key):
    server = stage.start_server(**{**KEYS, "SECRET_KEY": key})
    assert server.wait() == 2
    assert "SECRET_KEY is" in server.text()
    assert "Traceback" not in server.text()
    assert f" {key} " not in server.text()
    assert not mentioning(stage.place)


def test_the_full_server_needs_keys(stage, database):
    server = stage.start_server(DATABASE_URL=database)
    assert server.wait() == 1
    assert "SECRET_KEY is not set" in server.text()
    assert len(server.text().splitlines()) == 1


def test_the_full_server_without_a_database_starts_and_says_so(stage):
    server = stage.start_server(DATABASE_URL="postgresql://x@127.0.0.1:1/x", **KEYS)

    def unhealthy():
        try:
            return server.health()["status"] == "unhealthy"
        except OSError:
            return False
        except Exception:  # noqa: BLE001  (httpx has its own)
            return False

    until(unhealthy, "the server says that it is unhealthy")
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0


def test_registration_and_documents_over_the_wire(stage, database):
    server = stage.server(DATABASE_URL=database, **KEYS)
    with server.client() as client:
        ada = register(client, "ada")
        assert ada.update("billing", {"a": 1}).json()["version"] == 1
