"""`python -m app keys` against a running server: killed, resumed, two at once; keys in files."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.client import PASSWORD, Person, login, program
from tests.processes import KEYS, REPOSITORY, Process, Server, Stage, rows, until

SETTINGS = {"ADMIN_PASSWORD": PASSWORD, "SECRET_KEY": KEYS["SECRET_KEY"]}
OLD, NEW = "first-encryption-key-0123456789-abcd", "second-encryption-key-0123456789-abc"
SERVICES, SECRETS = 10, 200


def fill(person: Person) -> None:
    for number in range(SERVICES):
        config = {f"k{i}": {"$secret": f"value-{number}-{i}"} for i in range(SECRETS)}
        assert person.update(f"service{number}", config).status_code == 200


class Readers(threading.Thread):
    """Read all services again and again, and note what was not as it should be."""

    def __init__(self, server: Server, token: str) -> None:
        super().__init__(daemon=True)
        self.server, self.token = server, token
        self.reads, self.wrong = 0, []
        self._ended = threading.Event()

    def run(self) -> None:
        with self.server.client(headers={"Authorization": f"Bearer {self.token}"}) as client:
            while not self._ended.is_set():
                number = self.reads % SERVICES
                answer = client.get(f"/config/service{number}")
                wanted = {f"k{i}": f"value-{number}-{i}" for i in range(SECRETS)}
                if answer.status_code != 200 or answer.json()["config"] != wanted:
                    self.wrong.append(answer.text[:500])
                self.reads += 1

    def end(self) -> None:
        self._ended.set()
        self.join()


def rotation(stage: Stage, **settings: str) -> Process:
    command = [sys.executable, "-m", "app", "keys", "rotate"]
    return stage._start(Process, command, **settings)


def waiting(dsn: str) -> int:
    return rows(
        dsn,
        "SELECT count(*) FROM secrets s JOIN data_keys d ON d.id = s.data_key_id "
        "WHERE NOT d.is_active",
    )[0][0]


def test_a_rotation_that_is_killed_is_continued_and_nobody_notices(stage: Stage, database: str):
    settings = {**SETTINGS, **KEYS, "DATABASE_URL": database}
    assert stage.run("migrate", **settings).returncode == 0
    server = stage.server(**settings)
    with server.client() as client:
        admin = login(client, "admin")
        fill(admin)
        reader = Readers(server, program(admin, actions=["read", "read_secrets"]).token)
        reader.start()
        try:
            killed = 0
            for _ in range(3):
                run = rotation(stage, **settings)
                begun = until(
                    lambda run=run: (
                        run.popen.poll() is not None or 0 < waiting(database) < SERVICES * SECRETS
                    ),
                    "it has begun",
                )
                assert begun
                run.kill()
                killed += waiting(database) > 0
            done = stage.run("keys", "rotate", **settings)
            assert done.returncode == 0, done.stderr
            assert "retired" in done.stderr
        finally:
            reader.end()
        assert killed > 0
        assert (reader.wrong, waiting(database)) == ([], 0)
        assert reader.reads > 20
        said = stage.run("keys", "status", **settings).stderr
        assert f"Secrets: {SERVICES * SECRETS}, of which under old data keys: 0" in said
        assert "Secrets can be read." in said


def test_keys_in_a_file_take_over_and_a_wrong_one_seals(
    stage: Stage, database: str, tmp_path: Path
):
    file = tmp_path / "keys"
    file.write_text(f"{OLD}\n")
    file.chmod(0o600)
    settings = {
        **SETTINGS,
        "DATABASE_URL": database,
        "ENCRYPTION_KEY_FILE": str(file),
    }
    stage.run("migrate", **settings)
    server = stage.server(**settings)
    with server.client() as client:
        answer = login(client, "admin").update("billing", {"a": {"$secret": "plain"}})
        assert answer.status_code == 200, answer.text
    server.end()
    file.write_text(f"{NEW}\n{OLD}\n")
    assert "Rewrapped 2 data keys." in stage.run("keys", "rewrap", **settings).stderr
    for content, status in ((NEW, 200), (OLD, 503)):
        file.write_text(content)
        server = stage.server(**settings)
        with server.client() as client:
            assert login(client, "admin").get("/config/billing").status_code == status
            assert client.get("/api/v1/health/ready").json()["degraded"] is (status == 503)
        server.end()
    said = stage.run("keys", "status", **settings).stderr
    assert "MISSING" in said
    assert "Sealed: secrets cannot be read." in said


def test_without_a_key_the_server_does_not_start(stage: Stage, database: str):
    settings = {**SETTINGS, "DATABASE_URL": database}
    stage.run("migrate", **settings)
    server = stage.start_server(**settings)
    assert server.wait() == 1
    assert "ENCRYPTION_KEY is not set" in server.text()


def test_a_dump_holds_ciphertexts_and_a_loaded_one_is_read(stage: Stage):
    settings = {**SETTINGS, "ENABLE_ENCRYPTION": "false"}
    server = stage.server(**settings)
    assert "secrets are always encrypted" in server.text()
    with server.client() as client:
        admin = login(client, "admin")
        admin.update("billing", {"a": {"$secret": "the-plain-value"}})
        file = stage.place / "dump.zip"
        assert stage.run("dump", str(file), **settings).returncode == 0
        admin.update("billing", {"a": 1})
        unpacked = subprocess.run(
            [sys.executable, "-m", "zipfile", "-e", str(file), str(stage.place / "out")],
            check=True,
            cwd=REPOSITORY,
        )
        assert unpacked.returncode == 0
        texts = b"".join(one.read_bytes() for one in (stage.place / "out").iterdir())
        assert b"the-plain-value" not in texts
        assert b"sec_" in texts
    server.end()
    loaded = stage.run("load", str(file), "--replace", **settings)
    assert loaded.returncode == 0, loaded.stderr
    server = stage.server(**settings)
    with server.client() as client:
        config = login(client, "admin").get("/config/billing").json()["config"]
        assert config == {"a": "the-plain-value"}


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="no /proc to look at")
def test_the_server_leaves_no_core_file(stage: Stage):
    server = stage.server(**SETTINGS)
    with server.client() as client:
        admin = login(client, "admin")
        for number in (1, 2):
            admin.update("billing", {"list": [{"n": i * number} for i in range(3000)]})
        ids = admin.version_ids("billing")
        answer = admin.get(
            "/config/diff", service="billing", version1_id=ids[0], version2_id=ids[1]
        )
        assert answer.status_code == 200
    found = [
        line.split()[4:6]
        for pid in (server.pid, *_descendants(server.pid))
        if "postgres" not in Path(f"/proc/{pid}/cmdline").read_text()
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
        if line.startswith("Max core file size")
    ]
    assert len(found) > 1
    assert all(one == ["0", "0"] for one in found)


def _descendants(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task").iterdir()
    below = [int(one) for task in text for one in (task / "children").read_text().split()]
    return [*below, *(one for child in below for one in _descendants(child))]
