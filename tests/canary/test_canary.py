"""The canary: a random secret goes through everything, and is found nowhere that it should not be.

What is new joins by itself: a route needs a line in `tests/matrix/routes.py`, and every table,
file and Redis key is searched because it is there.
"""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import redis
from cryptography.fernet import Fernet

from tests.canary import sinks
from tests.canary.failures import TABLES, Failures
from tests.canary.life import Life
from tests.canary.needles import Canary, Ear
from tests.canary.sweep import SecretStage, Sweep
from tests.client import PASSWORD, Person, register
from tests.conftest import environment
from tests.matrix.stage import PLACES, STAGING
from tests.processes import KEYS, Server, Stage, children, processes, rows, until
from tests.rotators.receiver import receiver

NAMES = (
    *("query workspace", "POST /api/v1/config body key text"),
    "POST /api/v1/feature-flags/evaluate body flag_name text",
)
"""How the places end whose errors repeat a name, which is what they are about."""


class Scene:
    """A server, a worker, Redis, and all that happened there."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.fernet = Fernet.generate_key().decode()
        self.redis = stage.redis()
        self.settings = {
            **KEYS,
            "ENCRYPTION_KEY": f"{KEYS['ENCRYPTION_KEY']},{self.fernet}",
            "REDIS_URL": self.redis.url,
            "EGRESS_ALLOW": "127.0.0.0/8",
            "LOG_LEVEL": "DEBUG",
            "ADMIN_USERNAME": "operator",
        }
        self.server = stage.server(**self.settings)
        [file] = stage.place.glob("data/**/dsn")
        self.dsn = file.read_text().strip()
        self.began = time.time()
        self.canary, self.probe, self.plant = Canary(), Canary(), Canary()
        self.ear = Ear(self.canary, self.probe)
        self.watched = sinks.Watched(self.dsn, self.redis.url)
        self.limits: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        """What else must not be kept as it is: tokens, passwords, keys, values made here."""
        self.surprises: list[str] = []
        self.failed: dict[str, list[int]] = {}
        self.kept: list[sinks.Sink] = []

    def client(self, server: Server) -> httpx.Client:
        """Return a client whose every answer is heard."""
        return server.client(event_hooks={"response": [self.ear.hear]})

    def happen(self) -> None:
        """Let everything happen, and keep what is there afterwards."""
        with (
            ThreadPoolExecutor() as beside,
            self.client(self.server) as client,
            receiver() as hooks,
        ):
            worker = beside.submit(self.stage.worker, **self.settings)
            owner = register(client, "liver")
            rows(self.dsn, "UPDATE users SET role = 'admin'")  # who may import Fernet tokens
            self.plant_everywhere(owner)
            life = Life(owner, self.canary, self.ear, Fernet(self.fernet))
            life.steps(hooks)
            self.surprises = life.surprises
            self.credentials = {**self.settings_that_are_secret(), **life.made}
            self.note_limits()
            worker.result()
            sealed = beside.submit(self.sealed_server)
            document = client.get("/openapi.json").json()
            stage = SecretStage(client, self.canary)
            self.credentials |= {f"token of {name}": one for name, one in stage.tokens.items()}
            sweep = Sweep(stage, self.ear, document)
            sweep.read_as_everybody()
            sweep.break_everything()
            failures = Failures(owner, self.canary, self.ear, self.dsn)
            failures.steps()
            with self.client(sealed.result()) as other:
                failures.sealed(other)
            self.failed = failures.statuses
            self.kept = [*beside.map(self.command, ("keys rotate", "keys status", "dump"))]
        until(lambda: rows(self.dsn, "SELECT count(*) FROM event_pending") == [(0,)], "drained")

    def settings_that_are_secret(self) -> dict[str, str]:
        """Return keys of the server, and the password of everybody."""
        kinds = {name: self.settings[name] for name in ("SECRET_KEY", "ENCRYPTION_KEY")}
        return {**kinds, "Fernet key": self.fernet, "password": PASSWORD}

    def sealed_server(self) -> Server:
        """Return a server that has another key-encryption key."""
        other = {**self.settings, "ENCRYPTION_KEY": KEYS["ENCRYPTION_KEY"][::-1]}
        server = self.stage.start_server(**other, DATABASE_URL=self.dsn)

        def is_up() -> bool:
            with suppress(httpx.TransportError), server.client() as client:
                return client.get("/api/v1/health/live").status_code == 200
            return False

        until(is_up, "the other server serves")
        return server

    def command(self, words: str) -> sinks.Sink:
        """Run a command; return what it printed."""
        more = [str(self.dumped)] if words == "dump" else []
        done = self.stage.run(*words.split(), *more, **self.settings)
        assert done.returncode == 0, done.stderr
        return f"output of {words}", (done.stdout + done.stderr).encode()

    @property
    def dumped(self) -> Path:
        """Return the file of the dump."""
        return self.stage.place / "store.dump"

    def note_limits(self) -> None:
        """Keep the limits of the server and of the processes that it started in Python."""
        commands = {pid: command for pid, _, _, command in processes()}
        for pid in (self.server.pid, *children(self.server.pid)):
            if Path(commands[pid].split()[0]).name.startswith("python"):
                self.limits[commands[pid]] = Path(f"/proc/{pid}/limits").read_text()

    def plant_everywhere(self, owner: Person) -> None:
        """Leave a text that is no secret wherever one could be, to be found in the end."""
        core = self.plant.core
        assert owner.update(core, {"a": core}).is_success
        rows(self.dsn, "CREATE TABLE planted AS SELECT %s::bytea AS b", core.encode())
        rows(self.dsn, f"SELECT pg_sleep(0.2), '{core}'")
        with redis.Redis.from_url(self.redis.url) as client:
            client.set("planted text", core)
            client.rpush("planted list", core)
            client.hset("planted hash", "a", core)
        with self.server.output.open("a") as log:
            log.write(f"planted {core}\n")

    def everywhere(self) -> list[sinks.Sink]:
        """Return all that was kept anywhere."""
        return [
            *self.kept,
            *sinks.tables(self.dsn),
            *sinks.statistics(self.dsn),
            *sinks.keys(self.redis.url),
            *sinks.dump(self.dumped),
            *self.watched.sinks(),
            *sinks.files(self.stage.place, since=self.began),
        ]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Everything that can happen to a secret, once for all tests."""
    with ExitStack() as stack:
        stage = Stage()
        stack.callback(stage.close)
        scene = Scene(stage)
        stack.enter_context(environment(DATABASE_URL=scene.dsn, **KEYS))
        with scene.watched.watching():
            scene.happen()
        scene.kept = scene.everywhere()
        yield scene


def test_answers_show_secrets_only_to_those_who_may_see_them(scene: Scene):
    assert scene.ear.leaks == []
    assert scene.ear.heard > 3000
    for who, place in (
        *(("owner", place) for place in PLACES),
        *(("editor", None), ("editor", STAGING)),
        ("key-of-service-in-staging", STAGING),
    ):
        assert f"GET /config/billing as {who} at {place}" in scene.ear.shown


def test_errors_do_not_repeat_what_was_sent(scene: Scene):
    echoes = [item for item in scene.ear.echoes.items() if not item[0].endswith(NAMES)]
    assert echoes == []
    assert scene.surprises == []
    assert scene.ear.errors > 1500


def test_nothing_that_is_kept_holds_a_secret(scene: Scene):
    assert sinks.leaks(scene.canary, scene.kept) == {}


def test_nothing_that_is_kept_holds_a_credential(scene: Scene):
    wanted = {about: text.encode() for about, text in scene.credentials.items() if text}
    assert len(wanted) > 20
    found = [
        (about, name) for name, data in scene.kept for about, text in wanted.items() if text in data
    ]
    assert found == []


def test_nothing_that_is_printed_repeats_what_was_sent(scene: Scene):
    printed = [(name, data) for name, data in scene.kept if "output" in name]
    assert len(printed) >= 6  # three commands, two servers, a worker
    assert sinks.leaks(scene.probe, printed) == {}


def test_the_server_failed_in_every_way(scene: Scene):
    for table in TABLES:
        assert max(scene.failed[f"without {table}"]) >= 500, table
    for about in ("while ciphertexts are swapped", "while ciphertexts are cut off"):
        assert set(scene.failed[about]) == {500}
    assert set(scene.failed["sealed"]) >= {503}
    printed = scene.server.text()
    assert printed.count("Traceback") > 50
    assert "Failing row contains" not in printed
    assert "DETAIL: left out" in printed
    assert "[debug" in printed


def test_core_files_hold_no_memory(scene: Scene):
    assert any("multiprocessing.spawn" in command for command in scene.limits), scene.limits.keys()
    for command, limits in scene.limits.items():
        [line] = [one for one in limits.splitlines() if one.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"], command


# The search itself


def test_what_is_planted_is_found(scene: Scene):
    core = scene.plant.core.encode()
    found = {name for name, data in scene.kept if core in data}
    assert "table public.planted" in sinks.leaks(scene.plant, scene.kept)  # in hex
    assert found >= {
        *("table public.versions", "table public.events", "dump versions"),
        *("redis planted text", "redis planted list", "redis planted hash"),
        *("commands to Redis", "statements at work", "file audit.log"),
    }
    for part in ("output-", "pg_wal/"):
        assert any(part in name for name in found), part


def test_an_ear_hears_what_is_planted(scene: Scene):
    canary, probe = Canary(), Canary()
    ear = Ear(canary, probe)
    request = httpx.Request("GET", "http://testserver/x")
    for status, headers, text in (
        (200, {}, canary.secret("in a body")),
        (422, {"ETag": canary.core}, ""),
        (422, {}, probe.secret("in an error")),
    ):
        ear.hear(httpx.Response(status, headers=headers, text=text, request=request))
    assert (len(ear.leaks), len(ear.echoes)) == (2, 1)


@pytest.mark.parametrize("before", range(4))
def test_a_secret_is_found_in_every_form(before: int):
    canary = Canary()
    secret = canary.secret("a")
    data = b"x" * before + secret.encode()
    for form in (
        data,
        data.hex().encode(),
        data.upper(),
        base64.b64encode(data),
        base64.urlsafe_b64encode(data),
        quote(secret).encode(),
        json.dumps(json.dumps(secret)).encode(),
        repr(data).encode(),
        ("x" * before + secret).encode("utf-16"),
        data[::-1],
    ):
        assert canary.find(b"before" + form + b"after"), form
    assert canary.find(b"%d" % canary.number)
    assert canary.find(data.replace(canary.core.encode(), b"")) == []
    digest = hashlib.sha256(json.dumps(secret).encode()).hexdigest()
    assert canary.find_digests(f"checksum: {digest}".encode())
