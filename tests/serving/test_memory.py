"""What is in memory: read without a statement, forgotten when it changes, bounded."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core import db
from app.models import ReadCount
from tests.client import Person, program
from tests.keys import calls as keys
from tests.processes import until
from tests.serving.doors import Call, Doors, effective, fetch, item, send, stored

FORMS = [stored(), effective(), fetch(), fetch(keys=["a"]), item("a")]
PLACES = (("_global", None), ("_global", "staging"), ("billing", None), ("billing", "staging"))


def fill(person: Person) -> None:
    for service, environment in PLACES:
        answer = person.update(service, {"a": f"{service} {environment}"}, environment=environment)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("call", FORMS, ids=str)
def test_a_second_read_by_key_makes_no_statement(doors, ada, reader, statements, call):
    fill(ada)
    first = send(doors.front, reader, call)
    with statements() as sent:
        for _ in range(5):
            assert send(doors.front, reader, call).content == first.content
    assert sent == []


@pytest.mark.parametrize("call", FORMS, ids=str)
def test_a_read_by_a_person_makes_one_statement(doors, ada, statements, call):
    fill(ada)
    send(doors.front, ada, call)
    with statements() as sent:
        assert send(doors.front, ada, call).status_code == 200
    assert len(sent) == 1, sent


def test_a_cold_read_by_key_makes_two_statements(doors, ada, reader, statements):
    fill(ada)
    with statements() as sent:
        assert send(doors.front, reader, effective(environment="staging")).status_code == 200
    assert len(sent) == 2, sent
    with statements() as sent:
        assert send(doors.front, reader, fetch(environment="staging")).status_code == 200
        assert send(doors.front, reader, stored(environment="staging")).status_code == 200
        assert send(doors.front, reader, effective()).status_code == 200
    assert sent == []


def test_one_load_however_many_ask(doors, ada, reader, statements):
    fill(ada)
    send(doors.front, reader, stored("other"))  # the grant
    for call in (effective(environment="staging"), fetch("_global", "production")):
        with statements() as sent, ThreadPoolExecutor(50) as pool:
            answers = [pool.submit(send, doors.front, reader, call) for _ in range(50)]
            assert {answer.result().status_code for answer in answers} == {200}
        assert len(sent) <= 1, sent


def test_one_question_for_a_grant_however_many_ask(doors, ada, statements):
    fill(ada)
    key = program(ada, actions=["read"])
    send(doors.front, program(ada, actions=["read"]), effective())
    with statements() as sent, ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(send, doors.front, key, effective()) for _ in range(50)]
        assert {answer.result().status_code for answer in answers} == {200}
    assert len(sent) == 1, sent


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_change_ends_what_it_reaches_and_nothing_else(doors, ada, reader, statements, place):
    fill(ada)
    ada.update("orders", {"b": 1})
    ada.update("orders", {"b": 1}, environment="staging")
    asked = [
        (service, environment)
        for service in ("_global", "billing", "orders")
        for environment in (None, "staging", "production")
    ]
    for one in asked:
        send(doors.front, reader, effective(*one))
    ada.update(place[0], {"a": "changed"}, environment=place[1])
    for service, environment in asked:
        is_reached = place[0] in {"_global", service} and place[1] in {None, environment}
        with statements() as sent:
            answer = send(doors.front, reader, effective(service, environment))
        assert answer.status_code == 200
        assert is_reached or not sent, (service, environment, sent)
        again = send(doors.back, reader, effective(service, environment))
        assert (answer.content, answer.headers["etag"]) == (again.content, again.headers["etag"])


def sees_the_same(doors: Doors, people: list[Person], asked: list[Call]) -> None:
    """Check that both doors answer the same."""
    found = [one for person in people for call in asked for one in doors.differences(person, call)]
    assert not found, "\n".join(found[:20])


EVERYTHING = [
    make(service, environment)
    for make in (stored, effective, fetch)
    for service in ("_global", "billing", "orders", "payments")
    for environment in (None, "staging", "testing")
] + [item("a", environment=environment) for environment in (None, "staging", "testing")]


def test_every_change_is_seen(doors, ada, reader):
    """All kinds of changes, after each of which both doors answer the same."""

    def sent(method: str, path: str, **options: Any) -> Any:
        answer = ada.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def check() -> None:
        sees_the_same(doors, [ada, reader], EVERYTHING)

    fill(ada)
    check()
    for service, environment in PLACES:
        ada.update(service, {"a": f"new {service} {environment}"}, environment=environment)
        check()
    first = ada.version_ids("billing")[0]
    sent("POST", "/config/rollback", params={"service": "billing", "version_id": first})
    check()
    sent("DELETE", "/config/delete", params={"service": "billing", "environment": "staging"})
    check()
    sent("DELETE", "/config/delete", params={"service": "billing"})
    check()
    sent("POST", "/config/restore", params={"service": "billing"})
    check()
    key = keys.key_of(ada, "a")
    for said in ({"description": "new"}, {"is_active": False}, {"is_active": True}, {"value": 7}):
        keys.write(ada, key["id"], **said)
        check()
    keys.drop(ada, key["id"])
    check()
    assert keys.roll_back(ada, key["id"], 1).status_code == 200
    check()
    changes = [{"service": "orders", "key": "a", "op": "set", "value": 1}]
    changes += [{"service": "_global", "environment": "testing", "key": "b", "op": "set"}]
    sent("POST", "/environments", json={"name": "testing"})
    check()
    changes[1]["value"] = None
    sent("POST", "/api/v1/changes", json={"changes": changes})
    check()
    sent("PATCH", "/environments/staging", json={"protected": True})
    check()
    sent("PATCH", "/environments/testing", json={"name": "tested"})
    check()
    sent("POST", "/environments", json={"name": "testing"})
    check()
    sent("DELETE", "/environments/testing")
    check()
    sent("PATCH", "/api/v1/workspaces/ada/services/billing", json={"name": "payments"})
    check()
    sent("PATCH", "/api/v1/workspaces/ada/services/orders", json={"name": "billing"})
    check()
    sent("POST", "/api/v1/workspaces/ada/restore", json={"at": 3})
    check()


def test_a_renamed_workspace(doors, ada):
    assert ada.post("/api/v1/workspaces", {"slug": "one"}).status_code == 201
    assert ada.post("/config/update?workspace=one", {"name": "a", "config": {}}).is_success
    key = program(ada, workspace="one", actions=["read"])
    asked = [stored("a", workspace=slug) for slug in ("one", "two")] + [stored("a")]
    sees_the_same(doors, [ada, key], asked)
    renamed = ada.request("PATCH", "/api/v1/workspaces/one", json={"slug": "two"})
    assert renamed.status_code == 200
    sees_the_same(doors, [ada, key], asked)
    assert send(doors.front, key, stored("a")).json()["workspace"] == "two"


def test_the_revision_is_the_newest_and_never_goes_back(doors, ada, reader):
    seen = []
    for number in range(10):
        wrote = ada.update("other" if number % 2 else "billing", {"n": number})
        seen.append(wrote.headers["x-configsync-revision"])
        for person in (reader, ada):
            answer = send(doors.front, person, effective())
            assert answer.headers["x-configsync-revision"] == seen[-1]
    assert len(set(seen)) == 10


def test_min_revision(doors, ada, reader):
    ada.update("billing", {"a": 1})
    head = send(doors.front, reader, effective()).headers["x-configsync-revision"]
    for wanted in ("0", "1", head):
        assert send(doors.front, reader, effective(min_revision=wanted)).status_code == 200
    late = effective(min_revision="2")
    refused = send(doors.front, reader, late)
    assert (refused.status_code, refused.json()["code"]) == (503, "revision_not_reached")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, doors.front, reader, late)
        ada.update("billing", {"a": 2})
        assert waiting.result().json()["config"] == {"a": 2}
    foreign = send(doors.front, reader, effective(min_revision=f"abc-{1}"))
    assert (foreign.status_code, foreign.json()["code"]) == (410, "unknown_epoch")
    writer = program(ada, actions=["write"])
    refused = send(doors.front, writer, effective(min_revision="99"))
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")


def test_reads_are_counted_exactly(doors, ada, reader):
    fill(ada)
    for call, times in ((effective(), 7), (stored(), 5), (fetch(), 3), (item("a"), 4)):
        for _ in range(times):
            assert send(doors.front, reader, call).status_code == 200
    condition = {"If-None-Match": "*"}
    for _ in range(2):
        once = Call("/config/billing", headers=condition)
        assert send(doors.front, reader, once).status_code == 304

    def counted() -> dict[str, int]:
        """Return what the audit has of the program's reads, by what was read."""
        with db.transaction() as session:
            rows = session.execute(
                select(ReadCount.resource, func.sum(ReadCount.count))
                .where(ReadCount.actor_name == "key:reader")
                .group_by(ReadCount.resource)
            )
            return {resource: int(count) for resource, count in rows}

    expected = {"billing": 17, "billing a": 4}
    until(lambda: counted() == expected, f"{expected} are counted")


class TestLittleMemory:
    """Snapshots may take a megabyte."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"SNAPSHOT_MAX_BYTES": str(1024 * 1024)}

    def test_answers_stay_right_and_memory_bounded(self, doors, ada, reader):
        for number in range(40):
            ada.update(f"s{number}", {"text": str(number) * 60_000})
        serving = doors.framework.state.serving
        for _ in range(2):
            for number in range(40):
                answer = send(doors.front, reader, effective(f"s{number}"))
                assert answer.json()["config"] == {"text": str(number) * 60_000}
        until(lambda: held(serving) <= 1024 * 1024, "memory is given back")
        until(lambda: kept(serving) <= 1024 * 1024, "nothing else holds what was given back")

    def test_what_is_not_there_takes_no_memory_for_ever(self, doors, ada, reader):
        ada.update("billing", {"a": "b" * 300_000})
        assert send(doors.front, reader, effective()).status_code == 200
        serving = doors.framework.state.serving
        for number in range(300):
            assert send(doors.front, reader, effective(f"no{number}")).status_code == 404
            nowhere = effective(environment=f"no{number}")
            assert send(doors.front, reader, nowhere).status_code == 422
        until(lambda: remembered(serving) < 900, "it is forgotten", seconds=10)


def held(serving: Any) -> int:
    """Return how many bytes the snapshots say that they hold."""
    return sum(space.bytes for space in serving._spaces.values())


def kept(serving: Any) -> int:
    """Return the bytes of all answers that remembered requests hold."""
    hits = [hit for grant in serving.grants.values() for hit in grant.hits.values()]
    answers = {id(hit.answer): hit.answer for hit in hits}
    return sum(len(answer.body) for answer in answers.values())


def remembered(serving: Any) -> int:
    """Return how many levels and environments are remembered."""
    return sum(len(one.documents) + len(one._protected) for one in serving._spaces.values())


def test_requests_that_were_read_are_kept_within_bounds(doors, client):
    """Whoever asks, and be it nobody: what a request said is not kept without bounds."""
    for number in range(60):
        body = {"app_id": f"s{number}", "keys": [f"{number} {one}" for one in range(5000)]}
        assert client.post("/api/v1/configs/fetch", json=body).status_code == 401
        workspace = f"{number}-" + "w" * 50_000
        assert client.get("/config/billing", params={"workspace": workspace}).status_code == 422
        assert client.get(f"/config/billing?workspace=a{number}").status_code == 401
    assert 60 <= sum(sum(map(len, memo)) for memo in doors.front.app._calls) < 60 * 1024
