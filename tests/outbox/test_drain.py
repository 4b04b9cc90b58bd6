"""From the outbox to the audit log: nothing lost, nothing interleaved, whatever breaks."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.background import sweep
from app.core import db
from app.core.settings import get_settings
from app.outbox import drain, events, leases
from app.outbox.recorder import SINGLY_PER_MINUTE, recorder
from tests.processes import until


def record(count: int) -> None:
    with db.transaction() as session:
        happened = [
            events.Happened(action="tested", resource_type="test", resource_id=str(n))
            for n in range(count)
        ]
        events.record(session, *happened)


def ids(file) -> list[int]:
    return [json.loads(line)["event_id"] for line in file.read_bytes().splitlines()]


def pending() -> int:
    return scalar("SELECT count(*) FROM event_pending")


def scalar(statement: str, **values):
    with db.transaction() as session:
        return session.scalar(text(statement), values)


def execute(statement: str, **values) -> None:
    with db.transaction() as session:
        session.execute(text(statement), values)


def release() -> None:
    execute("UPDATE leases SET expires_at = now() - interval '1 s'")


def drain_for_ever() -> None:
    while True:
        release()
        drain.drain("server:test")


def test_every_event_has_one_line(settings):
    record(drain.BATCH + 7)
    assert drain.drain("server:a") == drain.BATCH + 7
    assert drain.drain("server:a") == 0
    assert len(set(ids(settings.audit_log_file))) == len(ids(settings.audit_log_file))
    assert len(ids(settings.audit_log_file)) == drain.BATCH + 7
    assert pending() == 0


def test_a_torn_last_line_is_mended(settings):
    record(2)
    drain.drain("server:a")
    whole = settings.audit_log_file.read_bytes()
    settings.audit_log_file.write_bytes(whole[:-20])
    record(1)
    drain.drain("server:a")
    first, torn, last, nothing = settings.audit_log_file.read_bytes().split(b"\n")
    assert json.loads(first)
    assert json.loads(last)
    assert nothing == b""
    with pytest.raises(ValueError):
        json.loads(torn)


def test_rotation_keeps_as_many_as_it_should(settings, monkeypatch):
    monkeypatch.setenv("AUDIT_LOG_MAX_BYTES", "65536")
    monkeypatch.setenv("AUDIT_LOG_KEEP", "2")
    get_settings.cache_clear()
    for _ in range(5):
        record(300)
        assert drain.drain("server:a") == 300
    names = {file.name for file in settings.audit_log_file.parent.glob("audit.log*")}
    assert names == {"audit.log", "audit.log.1", "audit.log.2"}
    for file in settings.audit_log_file.parent.glob("audit.log*"):
        assert len(ids(file)) == 300


def test_one_holder_writes_at_a_time(settings):
    record(3)
    assert drain.drain("server:a") == 3
    record(3)
    assert drain.drain("server:b") == 0
    release()
    assert drain.drain("server:b") == 3


def test_a_worker_need_not_wait_for_the_server_that_stepped_in(settings):
    record(1)
    assert drain.drain("server:a") == 1
    record(1)
    assert drain.drain("worker:a", before="server") == 1
    record(1)
    assert drain.drain("server:a") == 0
    assert drain.drain("worker:b", before="server") == 0


@pytest.mark.parametrize("names", [("server:a", "server:b"), ("worker:a", "worker:a")])
def test_concurrent_drains_write_each_event_once(settings, names):
    record(3 * drain.BATCH)
    start = threading.Barrier(len(names))
    written = []

    def work(name: str) -> None:
        start.wait()
        written.append(drain.drain(name))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while pending():
        release()
        written.append(drain.drain(names[0]))
    assert sum(written) == 3 * drain.BATCH
    assert ids(settings.audit_log_file) == sorted(set(ids(settings.audit_log_file)))
    assert len(ids(settings.audit_log_file)) == 3 * drain.BATCH


def test_an_unwritable_log_loses_nothing(settings, client, ada):
    until(lambda: not pending(), "the log is written")
    settings.audit_log_file.rename(settings.audit_log_file.with_name("before"))
    settings.audit_log_file.mkdir()
    assert ada.update("billing", {"a": 1}).status_code == 200
    record(2)
    with pytest.raises(IsADirectoryError):
        drain_for_ever()
    assert pending() >= 3
    assert client.get("/config/health").json()["audit_pending_seconds"] >= 0
    settings.audit_log_file.rmdir()
    release()
    until(lambda: not pending(), "the log is written later")
    lines = settings.audit_log_file.read_text().splitlines()
    assert {"create", "tested"} <= {json.loads(line)["action"] for line in lines}


def test_an_unwritable_log_does_not_hold_up_the_sweep(settings, client):
    settings.audit_log_file.mkdir(exist_ok=True)
    record(1)
    until(lambda: scalar("SELECT count(*) FROM leases WHERE name = 'sweep'"), "it is swept")


def test_the_sweep_removes_what_has_expired(settings, client, ada):
    until(lambda: scalar("SELECT count(*) FROM leases WHERE name = 'sweep'"), "the server swept")
    execute("UPDATE login_sessions SET expires_at = now() - interval '25 hours'")
    execute("UPDATE login_throttles SET last_at = now() - interval '25 hours'")
    ada = client  # the session above is over; a new one stays
    answer = ada.post(
        "/auth/register",
        json={"username": "new", "email": "new@example.com", "password": "long enough it is"},
        headers={"Idempotency-Key": "k1"},
    )
    assert answer.status_code == 201
    ada.post("/auth/login", data={"username": "new", "password": "long enough it is"})
    execute(
        "INSERT INTO idempotency_keys SELECT caller, route, 'old', digest, status, body, headers, "
        "now() - interval '25 hours' FROM idempotency_keys"
    )
    release()
    assert sweep.sweep("worker:test")
    assert scalar("SELECT count(*) FROM login_sessions") == 1
    assert scalar("SELECT bool_and(last_at > now() - interval '1 day') FROM login_throttles")
    assert scalar("SELECT string_agg(key, ',') FROM idempotency_keys") == "k1"
    assert not sweep.sweep("worker:other")


def partitions(table: str) -> set[str]:
    with db.transaction() as session:
        statement = (
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = :t ::regclass"
        )
        return set(session.scalars(text(statement), {"t": table}))


@pytest.mark.parametrize("table", ["events", "read_counts"])
def test_partitions_come_and_go(settings, table):
    now = datetime.now(UTC)
    later = sweep.next_month(sweep.next_month(now))
    old = sweep.month_of(now - timedelta(days=500))
    with db.transaction() as session:
        sweep.make_partitions(session, table=table, today=old)
    names = [f"{table}_p{month:%Y%m}" for month in (now, sweep.next_month(now), later)]
    assert f"{table}_p{old:%Y%m}" in partitions(table)
    assert sweep.sweep("server:a")
    assert set(names) <= partitions(table)
    assert f"{table}_p{old:%Y%m}" not in partitions(table)
    assert f"{table}_default" in partitions(table)


def test_retention_zero_keeps_everything(settings, monkeypatch):
    monkeypatch.setenv("AUDIT_RETENTION_DAYS", "0")
    get_settings.cache_clear()
    old = datetime.now(UTC) - timedelta(days=900)
    with db.transaction() as session:
        sweep.make_partitions(session, table="events", today=old)
    assert sweep.sweep("server:a")
    assert f"events_p{old:%Y%m}" in partitions("events")


def test_a_month_that_began_in_the_default_partition_gets_its_own(settings):
    """A server that was off for months records events before its first sweep."""
    month = datetime.now(UTC)
    name = f"events_p{month:%Y%m}"
    execute(f"DROP TABLE {name}")
    record(3)
    assert scalar("SELECT count(*) FROM events_default") == 3
    assert sweep.sweep("server:a")
    assert scalar("SELECT count(*) FROM events_default") == 0
    assert scalar(f"SELECT count(*) FROM {name}") == 3
    record(1)
    assert scalar(f"SELECT count(*) FROM {name}") == 4
    assert drain.drain("server:a") == 4


def test_leases_are_by_the_clock_of_the_database(settings):
    with db.transaction() as session:
        assert leases.claim(session, name="x", holder="server:a", seconds=60)
        assert leases.claim(session, name="x", holder="server:a", seconds=60)
        assert leases.current_holder(session, name="x") == "server:a"
    with db.transaction() as session:
        assert not leases.claim(session, name="x", holder="server:b", seconds=60)
        leases.release(session, name="x", holder="server:a")
    with db.transaction() as session:
        assert leases.current_holder(session, name="x") is None
        assert leases.claim(session, name="x", holder="server:b", seconds=60)


def test_counted_reads_survive_a_failing_database(settings):
    recorder.__init__()
    execute("ALTER TABLE read_counts RENAME TO away")
    read = {"workspace_id": 1, "actor_id": 1, "actor_name": "ada"}
    recorder.count_read(**read, resource_type="configuration", resource="billing")
    with pytest.raises(Exception, match="read_counts"):
        recorder.flush()
    execute("ALTER TABLE away RENAME TO read_counts")
    recorder.flush()
    recorder.flush()
    assert scalar("SELECT sum(count) FROM read_counts") == 1


def test_refusals_beyond_a_number_are_counted_when_their_minute_is_over(settings, monkeypatch):
    recorder.__init__()
    for _ in range(SINGLY_PER_MINUTE + 5):
        recorder.refused(status=401, code="invalid_token", path="/config/get")
        recorder.refused(status=403, code="not_allowed", path="/config/get")
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    recorder.refused(status=401, code="invalid_token", path="/config/get")
    recorder.flush()
    found = "SELECT count(*) FROM events WHERE action = 'refused'"
    assert scalar(found) == 2 * SINGLY_PER_MINUTE + 1 + 2
    assert scalar(f"{found} AND (detail ->> 'more')::int = 5") == 2


def test_a_key_may_be_called_like_a_person(settings):
    recorder.__init__()
    for actor_id in (1, None):
        read = {"workspace_id": 1, "actor_id": actor_id, "actor_name": "ada"}
        recorder.count_read(**read, resource_type="key", resource="billing a", count=2)
    recorder.flush()
    assert scalar("SELECT sum(count) FROM read_counts WHERE actor_id = 1") == 4
