"""Data keys and the keys that wrap them: tampering, wrong keys, rewrapping, rotation."""

import threading

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.background import sweep
from app.core import db
from app.core.settings import get_settings
from app.launcher import commands
from app.main import create_server
from app.secrets import disposal_crud, reads, rotation
from app.secrets.keyring import get_keyring
from tests.client import Person, assert_problem, login
from tests.conftest import environment
from tests.secrets.transit import Transit

PLAIN = "correct-horse-battery"
OLD, NEW = "first-encryption-key-0123456789-abcd", "second-encryption-key-0123456789-abc"


def sql(statement: str, **values):
    with db.transaction() as session:
        result = session.execute(text(statement), values)
        return result.all() if result.returns_rows else result.rowcount


def fill(person: Person, count: int = 3) -> None:
    config = {f"k{number}": {"$secret": f"{PLAIN}{number}"} for number in range(count)}
    for environment_name in (None, "staging"):
        answer = person.update("billing", config, environment=environment_name)
        assert answer.status_code == 200, answer.text


def reads_all(person: Person, count: int = 3) -> bool:
    wanted = {f"k{number}": f"{PLAIN}{number}" for number in range(count)}
    return all(
        person.get("/config/billing", **params).json().get("config") == wanted
        for params in ({}, {"environment": "staging"})
    )


def use(key: str, **more: str) -> None:
    """Let this process have other keys."""
    import os  # noqa: PLC0415

    os.environ.update({"ENCRYPTION_KEY": key, **more})
    get_settings.cache_clear()
    get_keyring.cache_clear()


TAMPERING = {
    "swapped": """
        UPDATE secrets AS s SET ciphertext = o.ciphertext, data_key_id = o.data_key_id
        FROM secrets AS o WHERE s.key_name <> o.key_name AND s.config_id = o.config_id
    """,
    "swapped with its fingerprint": """
        UPDATE secrets AS s SET ciphertext = o.ciphertext, fingerprint = o.fingerprint
        FROM secrets AS o WHERE s.key_name <> o.key_name AND s.config_id = o.config_id
    """,
    "between environments": """
        UPDATE secrets AS s SET ciphertext = o.ciphertext, data_key_id = o.data_key_id
        FROM secrets AS o WHERE s.key_name = o.key_name AND s.config_id <> o.config_id
    """,
    "truncated": "UPDATE secrets SET ciphertext = substring(ciphertext FROM 1 FOR 20)",
    "emptied": "UPDATE secrets SET ciphertext = ''",
    "nulled": "UPDATE secrets SET ciphertext = NULL",
    "flipped": "UPDATE secrets SET ciphertext = set_byte(ciphertext, 20, 7)",
    "another format": "UPDATE secrets SET ciphertext = set_byte(ciphertext, 0, 9)",
    "another handle": "UPDATE secrets SET handle = 'sec_' || md5(handle)",
    "moved to another config": """
        UPDATE secrets AS s SET config_id = c.id FROM configs AS c
        WHERE s.config_id <> c.id AND c.workspace_id = s.workspace_id
    """,
}


@pytest.mark.parametrize("case", TAMPERING)
def test_tampering_is_found(ada: Person, case: str):
    fill(ada, 2)
    assert sql(TAMPERING[case]) > 0
    answer = ada.get("/config/billing")
    problem = assert_problem(answer, 500, "integrity_error")
    assert PLAIN not in answer.text
    logs = ada.get("/api/v1/audit", action="read_secret").json()["logs"]
    assert [one["metadata"]["outcome"] for one in logs] == ["alarm"]
    assert problem["detail"]
    assert ada.get("/config/get", service="billing").status_code == 200


def test_an_old_row_put_back_is_found(ada: Person):
    """A renewed value whose row is rolled back to that of the value before."""
    before = ada.update("billing", {"a": {"$secret": "old"}}).json()["config"]["a"]["handle"]
    after = ada.update("billing", {"a": {"$secret": "new"}}).json()["config"]["a"]["handle"]
    sql(
        "UPDATE secrets AS s SET ciphertext = o.ciphertext, fingerprint = o.fingerprint "
        "FROM secrets AS o WHERE s.handle = :after AND o.handle = :before",
        after=after,
        before=before,
    )
    assert_problem(ada.get("/config/billing"), 500, "integrity_error")
    sql("DELETE FROM secrets WHERE handle = :after", after=after)
    sql("UPDATE secrets SET handle = :after WHERE handle = :before", after=after, before=before)
    assert_problem(ada.get("/config/billing"), 500, "integrity_error")


def test_a_data_key_put_in_another_place_opens_nothing(ada: Person):
    fill(ada, 1)
    sql(
        "UPDATE data_keys AS d SET wrapped = o.wrapped FROM data_keys AS o "
        "WHERE d.purpose = 'value' AND o.purpose = 'value' AND d.id <> o.id"
    )
    get_keyring.cache_clear()
    assert_problem(ada.get("/config/billing"), 503, "sealed")


@pytest.mark.parametrize("variables", [{"ENCRYPTION_KEY": OLD}])
def test_the_wrong_key_seals_secrets_and_nothing_else(ada: Person, client: TestClient):
    fill(ada)
    assert client.get("/api/v1/health/ready").json()["degraded"] is False
    use(NEW)
    for answer in (
        ada.get("/config/billing"),
        ada.get("/config/get", service="billing", reveal=True),
        ada.update("billing", {"a": {"$secret": "new"}}),
        ada.update("shop", {"a": {"$secret": "new"}}, environment="production"),
    ):
        assert_problem(answer, 503, "sealed")
        assert answer.headers["retry-after"] == "5"
    assert ada.get("/config/get", service="billing").status_code == 200
    assert ada.update("shop", {"a": 1}).status_code == 200
    ready = client.get("/api/v1/health/ready")
    assert (ready.status_code, ready.json()["degraded"]) == (200, True)
    assert "sealed" in ready.json()["reason"]
    assert client.get("/api/v1/health/ready", params={"strict": True}).status_code == 503
    health = client.get("/config/health").json()
    assert (health["status"], health["secrets"]) == ("degraded", "sealed")
    use(f"{NEW},{OLD}")
    assert reads_all(ada)


@pytest.mark.parametrize("variables", [{"ENCRYPTION_KEY": OLD}])
def test_another_key_takes_over(ada: Person):
    fill(ada)
    use(f"{NEW},{OLD}")
    assert rotation.status().is_sealed is False
    assert rotation.rewrap() == 3
    assert rotation.rewrap() == 0
    use(NEW)
    assert reads_all(ada)
    assert rotation.status().is_sealed is False
    use(OLD)
    assert_problem(ada.get("/config/billing"), 503, "sealed")


def test_rotation_seals_everything_anew_and_retires_old_keys(ada: Person):
    fill(ada)
    ada.update("billing", {"k0": {"$secret": "changed"}})  # history needs the others
    before = dict(sql("SELECT handle, ciphertext FROM secrets"))
    old = {row.id for row in sql("SELECT id FROM data_keys WHERE purpose = 'value'")}
    told: list[tuple[int, int]] = []
    outcome = rotation.rotate(lambda done, total: told.append((done, total)))
    assert (outcome.sealed, outcome.damaged) == (7, [])
    assert rotation.status().old_data_keys == 0
    assert told[0] == (0, 7)
    assert told[-1] == (7, 7)
    after = dict(sql("SELECT handle, ciphertext FROM secrets"))
    assert after.keys() == before.keys()
    assert all(bytes(after[handle]) != bytes(before[handle]) for handle in after)
    kept = {row.id for row in sql("SELECT id FROM data_keys WHERE purpose = 'value'")}
    assert not kept & old
    assert ada.get("/config/billing", at=1).json()["config"]["k0"] == f"{PLAIN}0"


def test_a_rotation_that_was_cut_off_goes_on(ada: Person, monkeypatch: pytest.MonkeyPatch):
    fill(ada, 5)
    monkeypatch.setattr(rotation, "BATCH", 2)

    def cut_off(done: int, _total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(cut_off)
    now = rotation.status()
    assert (now.is_rotating, now.waiting) == (True, 6)
    assert reads_all(ada, 5)
    outcome = rotation.rotate(lambda *_: None)
    assert (outcome.continued, outcome.sealed) == (True, 6)
    assert reads_all(ada, 5)
    now = rotation.status()
    assert (now.is_rotating, now.old_data_keys) == (False, 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["_rewrap", "_begin", "_pass", "retire", "_end"])
def test_a_rotation_cut_off_at_any_step_goes_on(
    ada: Person, monkeypatch: pytest.MonkeyPatch, step: str, when: str
):
    fill(ada)
    whole = getattr(rotation, step)
    here = threading.current_thread()

    def cut_off(*args):
        if threading.current_thread() is not here:  # the sweep of a server
            return whole(*args)
        if when == "after":
            whole(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rotation, step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            rotation.rotate(lambda *_: None)
    assert reads_all(ada)
    rotation.rotate(lambda *_: None)
    assert reads_all(ada)
    now = rotation.status()
    assert (now.is_rotating, now.waiting, now.old_data_keys) == (False, 0, 0)


def test_two_rotations_at_once(ada: Person):
    fill(ada)
    with rotation.alone(), pytest.raises(rotation.RotationRunning):
        rotation.rotate(lambda *_: None)
    assert rotation.rotate(lambda *_: None).sealed == 6


def test_damaged_secrets_are_named_and_keep_their_key(ada: Person):
    fill(ada)
    [row] = sql(
        "UPDATE secrets SET ciphertext = '' "
        "WHERE handle = (SELECT min(handle) FROM secrets) RETURNING handle"
    )
    outcome = rotation.rotate(lambda *_: None)
    assert (outcome.sealed, outcome.damaged) == (5, [row.handle])
    assert rotation.status().old_data_keys == 1


def test_nothing_fails_while_keys_rotate(ada: Person):
    fill(ada, 200)
    wrong: list[str] = []
    stop = threading.Event()

    def work(number: int) -> None:
        mine = login(ada.client, "ada")
        while not stop.is_set():
            answer = mine.get("/config/billing", environment="staging")
            if answer.status_code != 200 or len(answer.json()["config"]) != 200:
                wrong.append(answer.text[:300])
            name = f"shop{number}"
            answer = mine.update(name, {"a": {"$secret": "x" * number}}, environment="staging")
            if answer.status_code != 200:
                wrong.append(answer.text[:300])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        rotation.rotate(lambda *_: None)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert reads_all(ada, 200)


def test_the_commands_say_how_things_stand(ada: Person, capsys: pytest.CaptureFixture[str]):
    fill(ada)
    commands.show_keys()
    commands.rotate_keys()
    commands.rewrap_keys()
    said = capsys.readouterr().err
    assert "Secrets: 6, of which under old data keys: 0" in said
    assert "Sealed 6 secrets anew, retired " in said
    assert "Rewrapped 0 data keys." in said
    assert PLAIN not in said


# The audit


def test_without_the_audit_no_secret_is_shown(ada: Person):
    fill(ada, 1)
    sql("ALTER TABLE event_pending RENAME TO gone")
    try:
        answer = ada.get("/config/billing")
    finally:
        sql("ALTER TABLE gone RENAME TO event_pending")
    assert_problem(answer, 503, "audit_unavailable")
    assert PLAIN not in answer.text
    assert reads_all(ada, 1)


def test_reads_of_many_share_commits(ada: Person, query_recorder):
    fill(ada, 1)
    commits: list[int] = []
    whole = reads.GroupCommit._write

    def counted(self, batch) -> None:
        commits.append(len(batch))
        whole(self, batch)

    people = [login(ada.client, "ada") for _ in range(8)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reads.GroupCommit, "_write", counted)
        threads = [threading.Thread(target=reads_all, args=(one, 1)) for one in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(commits) == 16
    assert ada.get("/api/v1/audit", action="read_secret").json()["total"] == 16


# Vault


def test_vault_holds_the_key(settings, database: str, tmp_path):
    with (
        Transit() as transit,
        environment(
            DATABASE_URL=database,
            DATA_DIR=str(tmp_path),
            AUDIT_LOG_FILE=str(tmp_path / "audit.log"),
            SECRET_KEY="test-signing-key-0123456789-abcdefghijkl",
            VAULT_ADDR=transit.addr,
            VAULT_TOKEN=transit.token,
            VAULT_TRANSIT_KEY=transit.key,
            VAULT_TRANSIT_MOUNT=transit.mount,
        ),
        TestClient(create_server(), raise_server_exceptions=False) as client,
    ):
        from tests.client import register  # noqa: PLC0415

        person = register(client, "ada")
        fill(person)
        assert reads_all(person)
        transit.rotate()
        get_keyring().active._latest = (0, 0.0)
        assert rotation.rewrap() == 3
        assert reads_all(person)
        transit.sealed = True
        assert reads_all(person)  # the data keys were opened a moment ago
        get_keyring()._opened.clear()
        assert_problem(person.get("/config/billing"), 503, "sealed")
        assert client.get("/api/v1/health/ready").json()["degraded"] is True
        transit.sealed = False
        threading.Event().wait(1.1)
        assert reads_all(person)


# Time


def test_a_data_key_serves_for_90_days(ada: Person):
    ada.update("billing", {"a": {"$secret": "first"}})
    sql("UPDATE data_keys SET created_at = now() - interval '91 days'")
    ada.update("shop", {"a": {"$secret": "second"}})
    keys = sql("SELECT purpose, number, is_active FROM data_keys ORDER BY purpose, number")
    assert [tuple(one) for one in keys] == [
        ("fingerprint", 1, True),
        ("value", 1, False),
        ("value", 2, True),
    ]
    assert rotation.retire() == 0
    for service, value in (("billing", "first"), ("shop", "second")):
        assert ada.get(f"/config/{service}").json()["config"] == {"a": value}


@pytest.mark.parametrize("variables", [{"KEEP_VERSIONS": "1"}])
def test_pruned_versions_take_their_secrets_along(ada: Person):
    for value in ("one", "two", "three"):
        ada.update("billing", {"a": {"$secret": value}, "b": {"$secret": "kept"}})
    made = sql("UPDATE secrets SET created_at = now() - interval '1 day' RETURNING handle")
    assert len(made) == 4
    sweep.prune()
    assert sql("SELECT count(*) FROM secrets")[0][0] == 2
    assert ada.get("/config/billing").json()["config"] == {"a": "three", "b": "kept"}


def test_what_was_shared_is_forgotten_in_time(ada: Person, client: TestClient):
    tokens = [ada.post("/api/v1/secrets/wrap", {"value": 1}).json()["token"] for _ in range(2)]
    client.post("/api/v1/secrets/unwrap", json={"token": tokens[0]})
    for moved, left in (("2 hours", 1), ("40 days", 0)):
        sql(
            "UPDATE wrapped_secrets SET expires_at = expires_at - CAST(:by AS interval), "
            "opened_at = opened_at - CAST(:by AS interval)",
            by=moved,
        )
        with db.transaction() as session:
            disposal_crud.sweep(session)
        assert sql("SELECT count(*) FROM wrapped_secrets")[0][0] == left
