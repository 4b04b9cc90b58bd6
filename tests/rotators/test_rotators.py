"""Rotators over HTTP: configuring, renewing, failing, giving up."""

import threading

import pytest
from sqlalchemy import text

from app.core import db
from app.rotators import crud, engine
from app.secrets.markers import BULLETS
from tests.client import Person, assert_problem, program
from tests.keys.calls import make
from tests.processes import until
from tests.rotators.receiver import SECRET, Receiver, receiver

ITEMS = "/api/v1/config"
LOOPBACK = pytest.mark.parametrize("variables", [{"EGRESS_ALLOW": "127.0.0.0/8"}])


def configure(person: Person, key_id: int, **body):
    return person.request("PUT", f"{ITEMS}/{key_id}/rotator", json=body)


def rotate(person: Person, key_id: int, **kwargs):
    return person.post(f"{ITEMS}/{key_id}/rotate", **kwargs)


def state_of(person: Person, key_id: int) -> dict:
    return person.get(f"{ITEMS}/{key_id}/rotator").json()


def value_of(person: Person, key: str = "timeout"):
    return person.get(f"{ITEMS}/{key}", service_name="billing").json()["value"]


def make_due(key_id: int) -> int:
    with db.transaction() as session:
        statement = "UPDATE rotators SET next_at = now() WHERE key_id = :id RETURNING id"
        return session.execute(text(statement), {"id": key_id}).scalar_one()


@pytest.fixture
def key(ada: Person) -> int:
    return make(ada, value="old", is_encrypted=True)["id"]


def test_a_random_value_takes_the_place_of_the_old_one(ada: Person, key: int):
    made = configure(ada, key, type="random", settings={"length": 40}, grace_seconds=0)
    assert made.status_code == 200, made.text
    assert value_of(ada) == "old"
    answer = rotate(ada, key)
    assert answer.status_code == 200, answer.text
    state = answer.json()
    assert (state["step"], state["failures"], state["last_error"]) == (None, 0, None)
    assert state["rotated_at"]
    first = value_of(ada)
    assert len(first) == 40
    [change, _] = ada.get(f"/api/v1/versions/config/{key}").json()["versions"]
    assert change["changed_by"] == "rotator:timeout"
    assert change["value"]["$secret"] == BULLETS
    rotate(ada, key)
    assert value_of(ada) != first
    event = ada.get("/api/v1/audit", entity_type="key", action="rotate").json()["logs"][0]
    assert event["metadata"]["version"] == 3


def test_a_plain_value_becomes_a_secret_by_it(ada: Person):
    key = make(ada, value="open")["id"]
    configure(ada, key, type="random", grace_seconds=0)
    rotate(ada, key)
    assert ada.get(f"/api/v1/configs/{key}").json()["is_encrypted"]


def test_in_the_grace_time_there_is_no_other_renewal(ada: Person, key: int):
    configure(ada, key, type="random", grace_seconds=3000)
    state = rotate(ada, key).json()
    assert state["step"] == "switch"
    answer = rotate(ada, key)
    assert_problem(answer, 409, "rotation_under_way")
    assert 2900 < int(answer.headers["retry-after"]) <= 3000
    assert_problem(ada.request("DELETE", f"{ITEMS}/{key}/rotator"), 409, "rotator_busy")
    by_webhook = {"url": "https://example.com/", "signing_secret": SECRET}
    other = configure(ada, key, type="webhook", settings=by_webhook)
    assert_problem(other, 409, "rotator_busy")
    ended = configure(ada, key, type="random", grace_seconds=0).json()
    assert ended["step"] == "switch"
    until(lambda: ada.get(f"{ITEMS}/{key}/rotator").json()["step"] is None, "it is finished")


def test_it_is_renewed_when_its_time_comes(ada: Person, key: int):
    state = configure(ada, key, type="random", every_seconds=3600, grace_seconds=0).json()
    assert state["next_at"]
    make_due(key)
    until(lambda: value_of(ada) != "old", "the value is renewed")
    until(lambda: ada.get(f"{ITEMS}/{key}/rotator").json()["step"] is None, "it is finished")
    again = ada.get(f"{ITEMS}/{key}/rotator").json()
    assert again["next_at"] > state["next_at"]


def test_two_at_once_renew_once(ada: Person, key: int):
    configure(ada, key, type="random", grace_seconds=3000)
    answers: list[int] = []
    work = [
        threading.Thread(target=lambda: answers.append(rotate(ada, key).status_code))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert ada.get(f"/api/v1/configs/{key}").json()["version"] == 2


def test_who_may(ada: Person, key: int):
    configure(ada, key, type="random", grace_seconds=0)
    reader = program(ada, actions=["read"])
    writer = program(ada, actions=["read", "write"])
    elsewhere = program(ada, actions=["read", "write", "admin"], services=["shop"])
    assert reader.get(f"{ITEMS}/{key}/rotator").status_code == 200
    assert_problem(rotate(reader, key), 403, "not_allowed")
    assert_problem(configure(writer, key, type="random"), 403, "not_allowed")
    assert_problem(rotate(elsewhere, key), 404, "key_not_found")
    assert rotate(writer, key).status_code == 200
    assert ada.request("DELETE", f"{ITEMS}/{key}/rotator").status_code == 204
    assert_problem(rotate(ada, key), 404, "rotator_not_found")
    assert_problem(ada.get(f"{ITEMS}/{key}/rotator"), 404, "rotator_not_found")


def test_protected_environments_need_publish(ada: Person):
    key = make(ada, value="old", environment="production")["id"]
    configure(ada, key, type="random", grace_seconds=0)
    ada.request("PATCH", "/environments/production", json={"protected": True})
    writer = program(ada, actions=["read", "write", "admin"])
    for answer in (rotate(writer, key), configure(writer, key, type="random")):
        assert_problem(answer, 403, "protected_environment")
    assert rotate(ada, key).status_code == 200


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("random", {"length": 2}),
        ("random", {"more": 1}),
        ("webhook", {"url": "https://example.com/", "signing_secret": "short"}),
        ("webhook", {"url": "ftp://example.com/"}),
        ("postgres", {"url": "postgresql://a:canary@db/x", "parent": "p", "users": ["a", "b"]}),
        ("postgres", {"url": 5, "parent": "p", "users": ["b", "c"]}),
    ],
    ids=repr,
)
def test_wrong_settings_are_refused_and_kept_nowhere(ada: Person, key: int, kind, given):
    answer = configure(ada, key, type=kind, settings=given)
    assert_problem(answer, 422, "invalid_rotator")
    assert "canary" not in answer.text
    assert_problem(ada.get(f"{ITEMS}/{key}/rotator"), 404, "rotator_not_found")
    with db.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM secrets")) == 1


def test_loopback_is_not_called_unless_allowed(ada: Person, key: int):
    with receiver() as got:
        answer = configure(ada, key, type="webhook", settings=got.settings())
        assert_problem(answer, 422, "egress_refused")
        assert got.calls == []


# Webhooks


def by_webhook(person: Person, key: int, got: Receiver, **more):
    answer = configure(person, key, type="webhook", settings=got.settings(), **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


@LOOPBACK
def test_a_webhook_is_told_each_step(ada: Person, key: int):
    with receiver() as got:
        state = by_webhook(ada, key, got, grace_seconds=0)
        assert state["settings"]["signing_secret"]["$secret"] == BULLETS
        got.will_answer("create", {"value": "made-elsewhere"})
        assert rotate(ada, key).status_code == 200
        assert got.steps() == ["create", "set", "test", "finish"]
        assert (got.forged, value_of(ada)) == (0, "made-elsewhere")
        assert b"old" not in b"".join(got.raw)
        assert len({call["rotation_id"] for call in got.calls}) == 1


@LOOPBACK
@pytest.mark.parametrize("step", ["create", "set", "test", "finish"])
def test_a_failing_step_is_tried_again_and_goes_on(ada: Person, key: int, step: str):
    with receiver() as got:
        by_webhook(ada, key, got, grace_seconds=0)
        got.statuses[step] = 500
        assert_problem(rotate(ada, key), 502, "rotation_not_done")
        state = state_of(ada, key)
        assert (state["failures"], state["last_error"] is not None) == (1, True)
        assert (value_of(ada) == "old") is (step != "finish")
        del got.statuses[step]
        state = rotate(ada, key).json()
        assert (state["failures"], state["last_error"]) == (0, None)
        assert value_of(ada) != "old"
        once = [one for one in got.steps() if one != step]
        assert once[:3] == [one for one in ("create", "set", "test", "finish") if one != step]


@LOOPBACK
@pytest.mark.parametrize("step", ["test", "finish"])
def test_after_many_failures_it_is_left_to_people(ada: Person, key: int, step: str):
    with receiver() as got:
        by_webhook(ada, key, got, grace_seconds=0)
        got.statuses[step] = 503
        for _ in range(engine.MAX_FAILURES):
            assert_problem(rotate(ada, key), 502, "rotation_not_done")
        assert state_of(ada, key)["orphaned_at"]
        assert (got.steps()[-1] == "rollback") is (step == "test")
        [alarm] = ada.get("/api/v1/audit", outcome="alarm").json()["logs"]
        assert (alarm["entity_type"], alarm["metadata"]["code"]) == ("rotator", "orphaned")
        with db.transaction() as session:
            assert crud.list_due(session, limit=10) == []
        del got.statuses[step]
        state = rotate(ada, key).json()
        assert (state["orphaned_at"], state["failures"], state["step"]) == (None, 0, None)


def test_what_is_pending_is_not_destroyed(ada: Person, key: int):
    configure(ada, key, type="random", grace_seconds=3000)
    before = ada.get(f"/api/v1/configs/{key}").json()["value"]["handle"]
    rotate(ada, key)
    answer = ada.post(f"/api/v1/secrets/{before}/destroy", {"name": "timeout"})
    assert_problem(answer, 409, "secret_in_use")


def test_a_deleted_key_is_not_renewed(ada: Person, key: int):
    configure(ada, key, type="random", grace_seconds=0)
    ada.request("DELETE", f"/api/v1/configs/{key}")
    assert_problem(rotate(ada, key), 404, "key_not_found")
    engine.run(make_due(key))
    with db.transaction() as session:
        reason = session.scalar(text("SELECT last_error FROM rotators"))
    assert reason == "the key is deleted"
    assert ada.get("/api/v1/configs").json()["configs"] == []
    assert state_of(ada, key)["failures"] == 1
    assert ada.request("DELETE", f"{ITEMS}/{key}/rotator").status_code == 204


# What others make of it


def test_settings_are_nobody_elses_secrets(ada: Person, key: int):
    """Neither may a document name the secrets of a rotator, nor a rotator those of a document."""
    url = "postgresql://root:canary@db.example/x"
    settings = {"url": url, "parent": "p", "users": ["b", "c"]}
    state = configure(ada, key, type="postgres", settings=settings).json()
    handle = state["settings"]["url"]
    assert handle["$secret"] == BULLETS
    assert_problem(ada.update("billing", {"mine": handle}), 422, "unknown_handle")
    again = configure(ada, key, type="postgres", settings=state["settings"])
    assert again.json()["settings"]["url"] == handle
    make(ada, "number", 123, is_encrypted=True)
    document = ada.get("/config/get", service="billing").json()["config"]
    for kind, given, code in (
        ("random", {"length": document["number"]}, "invalid_rotator"),
        ("postgres", {**settings, "url": document["timeout"]}, "unknown_handle"),
        ("random", document["number"], "invalid_secret"),
        ("random", {"length": {"$secret": "20"}}, "invalid_rotator"),
    ):
        assert_problem(configure(ada, key, type=kind, settings=given), 422, code)


def test_one_that_is_broken_does_not_hold_up_others(ada: Person, bob: Person, key: int):
    other = make(bob, value="old", is_encrypted=True)["id"]
    for person, one in ((ada, key), (bob, other)):
        configure(person, one, type="random", every_seconds=3600, grace_seconds=0)
    with db.transaction() as session:
        broken = text("UPDATE rotators SET kind = 'unknown' WHERE key_id = :key")
        session.execute(broken, {"key": key})
    make_due(key)
    make_due(other)
    until(lambda: value_of(bob) != "old", "the other one has its turn")


def test_those_of_deleted_workspaces_do_not_hold_up_others(ada: Person, key: int):
    ada.post("/api/v1/workspaces", {"slug": "team"})
    for number in range(12):
        body = {"key": f"k{number}", "value": "x", "app_id": "a"}
        made = ada.post("/api/v1/configs?workspace=team", body).json()["id"]
        body = {"type": "random", "every_seconds": 3600}
        ada.request("PUT", f"{ITEMS}/{made}/rotator?workspace=team", json=body)
        make_due(made)
    assert ada.request("DELETE", "/api/v1/workspaces/team").status_code in {200, 204}
    with db.transaction() as session:
        assert crud.list_due(session, limit=10) == []


def test_who_asked_is_in_the_audit(ada: Person, key: int):
    configure(ada, key, type="random", grace_seconds=0)
    rotate(ada, key)
    [event] = ada.get("/api/v1/audit", action="start").json()["logs"]
    assert (event["entity_type"], event["metadata"]["actor"]) == ("rotator", "ada")
