import json
import socket
import string
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.core.egress import EgressRefused
from app.rotators.kinds import KINDS, Job, PostgresSettings, RotationFailed, WebhookSettings
from app.rotators.kinds.base import secret_settings
from tests.conftest import environment
from tests.processes import free_port, until
from tests.rotators.pg import ScramPostgres, scram_postgres
from tests.rotators.receiver import SECRET, Receiver, receiver

URL = "postgresql://admin:hush-hush@db.example:5432/app"
STEPS = ("create", "set", "test", "finish", "rollback")


@pytest.fixture(autouse=True)
def loopback_allowed() -> Iterator[None]:
    with environment(EGRESS_ALLOW="127.0.0.0/8"):
        yield


def job(settings: dict[str, Any], *, current: Any = None, pending: Any = None) -> Job:
    return Job(str(uuid.uuid4()), settings, current, pending)


def test_secret_settings_are_known_by_their_type():
    assert secret_settings(KINDS["random"].model) == frozenset()
    assert secret_settings(WebhookSettings) == {"signing_secret"}
    assert secret_settings(PostgresSettings) == {"url"}


def test_a_job_shows_no_values():
    shown = repr(job({"url": "hush-hush"}, current="hush-hush", pending="hush-hush"))
    assert "hush-hush" not in shown


# --- settings


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("random", {}),
        ("random", {"length": 1024}),
        ("webhook", {"url": "https://hooks.example/x", "signing_secret": SECRET}),
        ("postgres", {"url": URL, "parent": "app", "users": ["app_a", "app_b"]}),
        (
            "postgres",
            {"url": URL, "parent": "app", "users": ["app_a", "app_b"], "sslmode": "verify-full"},
        ),
    ],
)
def test_good_settings_pass(kind: str, settings: dict[str, Any]):
    KINDS[kind].check(settings)


def postgres(**changes: Any) -> tuple[str, dict[str, Any]]:
    return "postgres", {"url": URL, "parent": "app", "users": ["app_a", "app_b"], **changes}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("random", {"length": 15}),
        ("random", {"length": 1025}),
        ("random", {"hush-hush": 1}),
        ("webhook", {"url": "https://hooks.example/x"}),
        ("webhook", {"url": "https://hooks.example/x", "signing_secret": "hush-hush"}),
        ("webhook", {"url": "https://hooks.example/x", "signing_secret": "whsec_aGk="}),
        ("webhook", {"url": "https://hooks.example/x", "signing_secret": "whsec_ä" * 9}),
        ("webhook", {"url": 1, "signing_secret": SECRET}),
        postgres(users=["app_a", "app_a"]),
        postgres(users=["app_a", "app"]),
        postgres(users=["app_a", "admin"]),
        postgres(users=["app_a"]),
        postgres(users=["app_a", "app_b", "app_c"]),
        postgres(users=["app_a", 'x"; DROP ROLE y; --']),
        postgres(users=["app_a", "x" * 64]),
        postgres(parent=""),
        postgres(sslmode="hush-hush"),
        postgres(other=1),
        postgres(url=5),
        postgres(url="mysql://admin:hush-hush@db.example/app"),
        postgres(url="postgresql://admin:hush-hush@db.example"),
        postgres(url="postgresql://admin:hush-hush@db.example/"),
        postgres(url="postgresql://admin@db.example/app"),
        postgres(url="postgresql://db.example/app"),
        postgres(url="postgresql://admin:hush-hush@/app?host=/tmp"),
        postgres(url="postgresql://admin:hush-hush@%2Ftmp/app"),
        postgres(url="postgresql://admin:hush-hush@db.example/app?hostaddr=127.0.0.1"),
        postgres(url="postgresql://admin:hush-hush@db.example/app?sslmode=disable"),
        postgres(url="postgresql://admin:hush-hush@a.example,b.example/app"),
        postgres(url="postgresql://admin:hush/hush-hush@db.example/app"),
        postgres(url="postgresql://admin:hush-hush@db.example:99999/app"),
        postgres(url="postgresql://admin:hush-hush%00@db.example/app"),
        postgres(url="postgresql://admin:hush-hush@[db.example/app"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(kind: str, settings: dict[str, Any]):
    with pytest.raises(ValueError) as refused:
        KINDS[kind].check(settings)
    assert str(refused.value)
    assert "hush-hush" not in str(refused.value).removeprefix("hush-hush:")
    if kind != "random":
        with pytest.raises(RotationFailed, match="settings are wrong"):
            KINDS[kind].set(job(settings, pending="x"))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("webhook", {"url": "http://10.0.0.1/", "signing_secret": SECRET}),
        ("webhook", {"url": "ftp://hooks.example/", "signing_secret": SECRET}),
        postgres(url="postgresql://admin:hush-hush@169.254.169.254/app"),
        postgres(url="postgresql://admin:hush-hush@0xa000001:5432/app"),
        postgres(url="postgresql://admin:hush-hush@[fd00::1]:5432/app"),
    ],
)
def test_refused_addresses_are_refused_at_once(kind: str, settings: dict[str, Any]):
    with pytest.raises(EgressRefused) as refused:
        KINDS[kind].check(settings)
    assert "hush-hush" not in refused.value.detail


# --- random


@pytest.mark.parametrize("length", [16, 32, 1024])
def test_a_random_text_has_the_length_asked_for(length: int):
    text = KINDS["random"].create(job({"length": length}))
    assert len(text) == length
    assert set(text) <= set(string.ascii_letters + string.digits)
    assert text != KINDS["random"].create(job({"length": length}))


def test_a_random_text_is_32_long_and_nobody_is_told():
    kind = KINDS["random"]
    run = job({}, current="old")
    run = replace(run, pending=kind.create(run))
    assert len(run.pending) == 32
    for step in (kind.set, kind.test, kind.finish, kind.rollback):
        step(run)


# --- webhook


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as hooks:
        yield hooks


def test_a_receiver_is_told_of_each_step(hooks: Receiver):
    kind = KINDS["webhook"]
    hooks.will_answer("create", {"value": {"token": "made there"}})
    run = job(hooks.settings(), current="hush-hush")
    run = replace(run, pending=kind.create(run))
    assert run.pending == {"token": "made there"}
    for step in (kind.set, kind.test, kind.finish, kind.rollback):
        step(run)
    assert hooks.steps() == list(STEPS)
    assert hooks.calls[1] == {
        "type": "rotation.set",
        "rotation_id": run.id,
        "step": "set",
        "pending": {"token": "made there"},
    }
    assert [call["step"] for call in hooks.calls if "pending" in call] == ["set", "test"]
    assert not any(b"hush-hush" in body for body in hooks.raw)
    assert hooks.forged == 0


@pytest.mark.parametrize(
    "body", [b"", b"ok", b"{}", b'{"value": null}', b"[1]", b'{"value": NaN}', b"[" * 60_000]
)
def test_a_receiver_that_makes_no_value_gets_a_random_one(hooks: Receiver, body: bytes):
    hooks.bodies["create"] = body
    value = KINDS["webhook"].create(job(hooks.settings()))
    assert len(value) == 32


def test_a_repeated_step_is_the_same_message(hooks: Receiver):
    kind = KINDS["webhook"]
    run = job(hooks.settings(), pending="new")
    kind.set(run)
    kind.set(run)
    kind.test(run)
    assert hooks.ids[0] == hooks.ids[1] != hooks.ids[2]
    assert hooks.raw[0] == hooks.raw[1]
    kind.set(replace(run, id="another"))
    assert hooks.ids[3] not in hooks.ids[:3]


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 429, 500, 503])
@pytest.mark.parametrize("step", STEPS)
def test_another_answer_is_a_failure(hooks: Receiver, step: str, status: int):
    hooks.statuses[step] = status
    hooks.bodies[step] = b'{"error": "hush-hush"}'
    hooks.headers["location"] = hooks.url
    with pytest.raises(RotationFailed) as failed:
        getattr(KINDS["webhook"], step)(job(hooks.settings(), pending="hush-hush"))
    assert failed.value.args == (f"the receiver answered {status}",)
    assert len(hooks.calls) == 1


def test_another_key_is_forgery(hooks: Receiver):
    hooks.secret = "whsec_" + "QUJD" * 10
    with pytest.raises(RotationFailed, match="401"):
        KINDS["webhook"].set(job({"url": hooks.url, "signing_secret": SECRET}, pending="x"))
    assert (hooks.forged, hooks.calls) == (1, [])


def test_a_receiver_that_is_not_there(hooks: Receiver, monkeypatch):
    kind = KINDS["webhook"]
    down = f"http://127.0.0.1:{free_port()}/?token=hush-hush"
    for url, why in (
        (down, "the receiver cannot be reached"),
        ("http://hush-hush.invalid/", "the receiver cannot be reached"),
        ("http://192.168.0.1/hush-hush", "the receiver's address is refused"),
    ):
        with pytest.raises(RotationFailed) as failed:
            kind.test(job({"url": url, "signing_secret": SECRET}, pending="x"))
        assert failed.value.args == (why,)


def test_a_receiver_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("app.rotators.kinds.webhook.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(RotationFailed, match="does not answer in time"):
            KINDS["webhook"].test(job({"url": url, "signing_secret": SECRET}, pending="x"))


# --- postgres


@pytest.fixture(scope="module")
def server() -> Iterator[ScramPostgres]:
    with scram_postgres() as server:
        yield server


@dataclass
class Stage:
    """Roles of one test's own, and an administrator who is no superuser."""

    server: ScramPostgres
    name: str

    def __post_init__(self) -> None:
        self.parent, self.first, self.second = self.name, f"{self.name}_a", f"{self.name}_b"
        self.admin, self.password = f"{self.name}_admin", "hush hush/@:%?'\\"
        self.server.run(f"CREATE ROLE {self.parent}")
        self.server.run(f"CREATE ROLE {self.admin} LOGIN CREATEROLE PASSWORD %s", self.password)
        self.server.run(f"GRANT {self.parent} TO {self.admin} WITH ADMIN OPTION")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "url": self.server.url_of(self.admin, self.password),
            "parent": self.parent,
            "users": [self.first, self.second],
        }

    def job(self, current: Any = None, pending: Any = None) -> Job:
        return job(self.settings, current=current, pending=pending)

    def rotate(self, current: Any, *, times: int = 1) -> Any:
        """Do as the engine does up to the switch, each step so many times."""
        kind = KINDS["postgres"]
        run = self.job(current)
        run = replace(run, pending=kind.create(run))
        for step in (kind.set, kind.test):
            for _ in range(times):
                step(run)
        return run.pending

    def finish(self, old: Any, new: Any) -> None:
        KINDS["postgres"].finish(self.job(old, new))

    def works(self, value: Any) -> bool:
        return self.server.lets_in(value["username"], value["password"])

    def has_password(self, user: str) -> bool:
        ((text,),) = self.server.run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", user)
        return text is not None


@pytest.fixture
def stage(server: ScramPostgres) -> Stage:
    return Stage(server, f"r{uuid.uuid4().hex[:12]}")


def test_two_users_take_turns_and_the_one_in_use_always_works(stage: Stage):
    one = stage.rotate(None)
    assert one["username"] == stage.first
    assert len(one["password"]) == 40
    stage.finish(None, one)
    two = stage.rotate(one)
    assert two["username"] == stage.second
    assert stage.works(one)
    assert stage.works(two)
    stage.finish(one, two)
    assert not stage.works(one)
    assert stage.works(two)
    three = stage.rotate(two)
    assert three["username"] == stage.first
    assert three["password"] != one["password"]
    stage.finish(two, three)
    assert stage.works(three)
    assert not stage.works(two)
    assert not stage.has_password(stage.second)
    members = stage.server.run(
        "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = %s::regrole ORDER BY 1",
        stage.parent,
    )
    assert [name for (name,) in members] == [stage.first, stage.admin, stage.second]


def test_users_may_act_as_their_parent_from_the_log_in_on(stage: Stage):
    one = stage.rotate(None)
    stage.server.run(f"ALTER ROLE {stage.first} SET role = {stage.parent}")
    KINDS["postgres"].test(stage.job(None, one))


def test_repeated_steps_are_harmless(stage: Stage):
    one = stage.rotate(None, times=3)
    two = stage.rotate(one, times=3)
    for _ in range(3):
        stage.finish(one, two)
    assert stage.works(two)
    assert not stage.works(one)


def test_a_current_value_of_another_kind_is_nobody(stage: Stage):
    kind = KINDS["postgres"]
    for current in ("text", 5, ["x"], {"username": 5}, {"username": "app_z"}, {}):
        assert kind.create(stage.job(current))["username"] == stage.first


def test_no_password_reaches_the_log(stage: Stage):
    one = stage.rotate(None)
    two = stage.rotate(one)
    stage.finish(one, two)
    log = stage.server.log.read_text(errors="replace")
    assert f'CREATE ROLE "{stage.first}" LOGIN PASSWORD \'SCRAM-SHA-256$' in log
    assert f'ALTER ROLE "{stage.first}" PASSWORD NULL' in log
    assert one["password"] not in log
    assert two["password"] not in log


def test_a_rolled_back_user_cannot_log_in(stage: Stage):
    kind = KINDS["postgres"]
    one = stage.rotate(None)
    two = stage.rotate(one)
    for _ in range(2):
        kind.rollback(stage.job(one, two))
    assert not stage.works(two)
    assert stage.works(one)
    assert stage.works(stage.rotate(one))


def test_nothing_is_rolled_back_before_there_is_anything(stage: Stage):
    kind = KINDS["postgres"]
    kind.rollback(stage.job(None, None))
    kind.rollback(stage.job(None, kind.create(stage.job())))
    assert stage.server.run("SELECT FROM pg_roles WHERE rolname = %s", stage.first) == []


def test_the_user_in_use_is_never_touched(stage: Stage):
    kind = KINDS["postgres"]
    one = stage.rotate(None)
    with pytest.raises(RotationFailed, match="in use"):
        kind.set(stage.job(one, {**one, "password": "another"}))
    kind.rollback(stage.job(one, one))
    stage.finish(one, one)
    stage.finish({"username": stage.admin}, one)
    with pytest.raises(RotationFailed, match="which user is in use"):
        stage.finish(one, None)
    assert stage.works(one)
    assert stage.server.lets_in(stage.admin, stage.password)


@pytest.mark.parametrize(
    "pending", [None, "text", {"username": "postgres", "password": "x"}, {"username": ""}]
)
def test_other_pending_values_are_refused(stage: Stage, pending: Any):
    kind = KINDS["postgres"]
    for step in (kind.set, kind.test):
        with pytest.raises(RotationFailed, match="pending value"):
            step(stage.job(None, pending))
    with pytest.raises(RotationFailed, match="pending value"):
        kind.set(stage.job(None, {"username": stage.first, "password": 5}))
    kind.rollback(stage.job(None, pending))


def fails(stage: Stage, step: str, settings: dict[str, Any] | None = None) -> str:
    """Run a step that has to fail; return the reason, which shows no secrets."""
    pending = {"username": stage.first, "password": "pending-hush"}
    old = {"username": stage.first, "password": "pending-hush"}
    new = {"username": stage.second, "password": "pending-hush"}
    run = job(
        settings or stage.settings,
        current=old if step == "finish" else None,
        pending=new if step == "finish" else pending,
    )
    with pytest.raises(RotationFailed) as failed:
        getattr(KINDS["postgres"], step)(run)
    assert failed.value.__suppress_context__ or failed.value.__context__ is None
    (reason,) = failed.value.args
    for secret in ("hush", "127.0.0.1", "SCRAM", stage.admin):
        assert secret not in reason
    return reason


@pytest.mark.parametrize("step", ["set", "finish", "rollback"])
def test_a_wrong_admin_password(stage: Stage, step: str):
    wrong = {**stage.settings, "url": stage.server.url_of(stage.admin, "wrong-hush")}
    assert fails(stage, step, wrong) == "the log-in as the administrator is refused"


def test_a_wrong_pending_password(stage: Stage):
    assert fails(stage, "test") == f"the log-in as {stage.first} is refused"
    stage.rotate(None)
    assert fails(stage, "test") == f"the log-in as {stage.first} is refused"


@pytest.mark.parametrize("step", ["set", "finish", "rollback"])
@pytest.mark.parametrize("attribute", [None, "SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS"])
def test_a_foreign_role_is_not_touched(stage: Stage, step: str, attribute: str | None):
    stage.server.run(f"CREATE ROLE {stage.first} LOGIN PASSWORD 'theirs'")
    if attribute:  # a member, but one that can do more
        stage.server.run(f"ALTER ROLE {stage.first} {attribute}")
        stage.server.run(f"GRANT {stage.parent} TO {stage.first}")
    as_superuser = {**stage.settings, "url": stage.server.url}
    assert "not touched" in fails(stage, step, as_superuser)
    assert stage.server.lets_in(stage.first, "theirs")


@pytest.mark.parametrize("step", ["set", "finish", "rollback"])
def test_the_parent_has_to_exist(stage: Stage, step: str):
    settings = {**stage.settings, "parent": "no_such_role"}
    assert fails(stage, step, settings) == "there is no role no_such_role"


def test_an_administrator_without_the_right(stage: Stage):
    stage.server.run(f"ALTER ROLE {stage.admin} NOCREATEROLE")
    assert fails(stage, "set") == "the administrator lacks the right to do this"


def test_a_reserved_name(stage: Stage):
    settings = {**stage.settings, "users": ["pg_mine", stage.second]}
    run = job(settings, pending={"username": "pg_mine", "password": "x"})
    with pytest.raises(RotationFailed, match=r"SQLSTATE 42939"):
        KINDS["postgres"].set(run)


def test_a_locked_role_is_waited_for_within_limits(stage: Stage, monkeypatch):
    monkeypatch.setattr(
        "app.rotators.kinds.postgres.LIMITS",
        "SET LOCAL statement_timeout = 200; SET LOCAL lock_timeout = 100",
    )
    monkeypatch.setattr("app.rotators.kinds.postgres.ROLE", "SELECT pg_sleep(5), %s, %s")
    assert fails(stage, "set") == "the server takes too long"


def test_a_server_that_goes_away(stage: Stage, monkeypatch):
    monkeypatch.setattr(
        "app.rotators.kinds.postgres.ROLE",
        "SELECT pg_terminate_backend(pg_backend_pid()), %s, %s",
    )
    stage.server.run(f"GRANT pg_signal_backend TO {stage.admin}")
    assert fails(stage, "set") == "the server does not answer any more"


@pytest.mark.parametrize("step", ["set", "test", "finish", "rollback"])
def test_a_server_that_is_down(stage: Stage, step: str):
    url = stage.settings["url"].replace(str(stage.server.port), str(free_port()))
    assert fails(stage, step, {**stage.settings, "url": url}) == "the server does not answer"


def test_a_server_that_is_silent(stage: Stage, monkeypatch):
    monkeypatch.setitem(KINDS["postgres"].set.__globals__["NETWORK"], "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = stage.settings["url"].replace(str(stage.server.port), str(silent.getsockname()[1]))
        reason = fails(stage, "set", {**stage.settings, "url": url})
    assert reason == "the server does not answer"


def test_a_server_of_another_address(stage: Stage):
    for host, why in (
        ("10.0.0.1", "the server's address is refused"),
        ("no-such-host.invalid", "the server's name cannot be resolved"),
    ):
        url = stage.settings["url"].replace("127.0.0.1", host)
        assert fails(stage, "set", {**stage.settings, "url": url}) == why


def test_a_server_that_asks_for_no_password(stage: Stage):
    one = stage.rotate(None)
    rules = stage.server.pgdata / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all {stage.first} 127.0.0.1/32 trust\n{before}")
    try:
        stage.server.run("SELECT pg_reload_conf()")
        until(lambda: stage.server.lets_in(stage.first, "anything"), "the rules are read")
        with pytest.raises(RotationFailed, match=r"does not ask \w+ for a password by SCRAM"):
            KINDS["postgres"].test(stage.job(None, one))
    finally:
        rules.write_text(before)
        stage.server.run("SELECT pg_reload_conf()")


def test_tls_is_demanded_if_the_settings_say_so(stage: Stage):
    settings = {**stage.settings, "sslmode": "require"}
    assert fails(stage, "set", settings) == "the server does not speak TLS as sslmode demands"


def test_a_database_name_is_nothing_but_a_name(stage: Stage):
    for name in ("host=/tmp", "postgresql:%2F%2F127.0.0.1%2Fpostgres", "%27 host=x"):
        url = stage.settings["url"].removesuffix("postgres") + name
        reason = fails(stage, "set", {**stage.settings, "url": url})
        assert reason == "the log-in as the administrator is refused"


def test_values_are_plain_json(stage: Stage):
    value = KINDS["postgres"].create(stage.job())
    assert json.loads(json.dumps(value)) == value
