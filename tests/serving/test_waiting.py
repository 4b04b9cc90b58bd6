"""Long polls: they end when there is something else, and not before."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.client import Person, program
from tests.serving.doors import Call, effective, send

Poll = Any
SHORT = 0.7


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class Watcher:
    """Somebody who waits for a change of `billing`, by one of the two ways."""

    def __init__(self, doors: Any, person: Person, way: str, pool: ThreadPoolExecutor) -> None:
        self.doors, self.person, self.way, self.pool = doors, person, way, pool

    def call(self, seconds: float) -> Call:
        answer = send(self.doors.front, self.person, effective())
        if self.way == "fetch":
            body = {"app_id": "billing", "version": answer.json()["version"], "wait": seconds}
            return Call("/api/v1/configs/fetch", body=body)
        headers = {"If-None-Match": answer.headers["etag"], "Prefer": f"wait={seconds:.0f}"}
        return Call("/config/billing", headers=headers)

    def start(self, call: Call) -> "Future[tuple[httpx.Response, float]]":
        def ask() -> tuple[httpx.Response, float]:
            began = time.monotonic()
            answer = send(self.doors.front, self.person, call)
            return answer, time.monotonic() - began

        future = self.pool.submit(ask)
        time.sleep(0.3)
        return future

    def value(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()["configs" if self.way == "fetch" else "config"]


@pytest.fixture(params=["fetch", "prefer"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["key", "person", "revealing key"])
def watcher(request, doors, ada, way, pool) -> Watcher:
    ada.update("billing", {"a": 1, "token": {"$secret": "s3cr3t-1"}})
    actions = ["read", "read_secrets"] if "reveal" in request.param else ["read"]
    person = ada if request.param == "person" else program(ada, actions=actions)
    return Watcher(doors, person, way, pool)


def test_a_change_ends_it(ada, watcher):
    waiting = watcher.start(watcher.call(30))
    assert not waiting.done()
    ada.update("other", {"b": 1})
    ada.update("billing", {"b": 1}, environment="staging")
    ada.update("_global", {"a": 0}, environment="staging")
    token = ada.get("/config/get", service="billing").json()["config"]["token"]
    ada.update("billing", {"token": token, "a": 1})
    time.sleep(0.3)
    assert not waiting.done(), "irrelevant changes"
    began = time.monotonic()
    ada.update("_global", {"wide": True})
    answer, _ = waiting.result(10)
    assert time.monotonic() - began < 5
    assert watcher.value(answer)["wide"] is True


def test_a_deletion_ends_it(ada, watcher):
    waiting = watcher.start(watcher.call(30))
    assert ada.request("DELETE", "/config/delete", params={"service": "billing"}).is_success
    answer, _ = waiting.result(10)
    assert answer.status_code == 404


def test_time_over(watcher):
    for _ in range(2):  # the second time as the first
        answer, took = watcher.start(watcher.call(1)).result(10)
        assert took > SHORT
        if watcher.way == "fetch":
            assert watcher.value(answer)["a"] == 1
        else:
            assert answer.status_code == 304


def test_the_very_same_request_waits_again(watcher):
    call = watcher.call(1)
    for _ in range(3):
        _, took = watcher.start(call).result(10)
        assert took > SHORT


def test_there_and_back_again(ada, watcher):
    before = watcher.call(1)
    kept = ada.get("/config/get", service="billing").json()["config"]
    ada.update("billing", {"a": 2})
    answer, took = watcher.start(before).result(10)
    assert took < SHORT
    assert watcher.value(answer) == {"a": 2}
    assert ada.update("billing", kept).status_code == 200
    _, took = watcher.start(before).result(10)
    assert took > SHORT


def test_a_secret_changes(ada, watcher):
    waiting = watcher.start(watcher.call(2))
    ada.update("billing", {"a": 1, "token": {"$secret": "s3cr3t-2"}})
    answer, took = waiting.result(10)
    reveals = "read_secrets" in watcher.person.username or watcher.person is ada
    if answer.status_code == 200 and watcher.value(answer)["token"] == "s3cr3t-2":
        assert took < 1.5
    elif reveals:
        raise AssertionError("who sees the secret is told at once")
    else:
        assert took > 1.5, "for whom it is bullets nothing has changed"


def test_other_rights_change(ada, watcher):
    other = program(ada, actions=["read"])
    waiting = watcher.start(watcher.call(30))
    assert ada.request("DELETE", f"/api/v1/api-keys/{other.id}").status_code == 204
    time.sleep(0.3)
    assert not waiting.done()
    ada.update("billing", {"a": 2})
    answer, _ = waiting.result(10)
    assert watcher.value(answer) == {"a": 2}


def test_shut_out_while_waiting(ada, watcher):
    waiting = watcher.start(watcher.call(30))
    if watcher.person is ada:  # people are asked for anew when they would be told of something
        writer = program(ada, actions=["write"])
        assert ada.post("/auth/logout").status_code == 200
        assert writer.update("billing", {"a": 2}).status_code == 200
    else:
        assert ada.request("DELETE", f"/api/v1/api-keys/{watcher.person.id}").status_code == 204
    answer, _ = waiting.result(5)
    assert answer.status_code == 401


def test_weak_tags_and_lists_wait_too(doors, ada, pool):
    ada.update("billing", {"a": 1})
    watcher = Watcher(doors, program(ada, actions=["read"]), "prefer", pool)
    etag = watcher.call(1).headers["If-None-Match"]
    for shown in (f"W/{etag}", f'"other", {etag}'):
        headers = {"If-None-Match": shown, "Prefer": "respond-async, wait=1"}
        answer, took = watcher.start(Call("/config/billing", headers=headers)).result(10)
        assert (answer.status_code, took > SHORT) == (304, True), shown


def test_what_is_no_wait(doors, ada, reader):
    ada.update("billing", {"a": 1})
    etag = send(doors.front, reader, effective()).headers["etag"]
    for prefer in ("wait=0", "wait", "wait=x", "wait=-1", "return=minimal", "", "wait=é"):
        headers = {"If-None-Match": etag, "Prefer": prefer.encode("latin-1")}
        began = time.monotonic()
        answer = send(doors.front, reader, Call("/config/billing", headers=headers))  # type: ignore[arg-type]
        assert answer.status_code == 304
        assert time.monotonic() - began < SHORT


def test_hundreds_wait(doors, ada, client):
    ada.update("billing", {"a": 1})
    watchers = [program(ada, actions=["read"]) for _ in range(5)]
    version = send(doors.front, ada, effective()).json()["version"]
    body = {"app_id": "billing", "version": version, "wait": 30}
    call = Call("/api/v1/configs/fetch", body=body)
    with ThreadPoolExecutor(100) as many:
        waiting = [many.submit(send, doors.front, watchers[n % 5], call) for n in range(100)]
        time.sleep(1)
        assert not any(one.done() for one in waiting)
        ada.update("billing", {"a": 2})
        assert {str(one.result(20).json()["configs"]) for one in waiting} == {"{'a': 2}"}
