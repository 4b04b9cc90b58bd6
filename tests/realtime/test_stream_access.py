"""Streams of those who lose their rights, tickets, and readers who do not read."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.core import db, metrics
from app.realtime import hub, service
from tests.client import Person, assert_problem, login
from tests.processes import until
from tests.realtime.conftest import Place
from tests.realtime.test_stream import write
from tests.streams import Lost, Stream

PATIENCE = 5.0  # a second is promised; the machine may be busy


def ticket(person: Person, *, workspace: str | None = None) -> str:
    """Return a new ticket."""
    answer = person.request(
        "POST", "/api/v1/stream/tickets", params={"workspace": workspace} if workspace else {}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


def loses(opened: Stream) -> None:
    """See a stream end because its caller may not listen any more."""
    began = time.monotonic()
    found = opened.end(PATIENCE)
    assert found.data == {"reason": "access_lost"}
    assert found.id is None
    assert found.retry
    assert time.monotonic() - began < PATIENCE
    opened.close()


# Lost rights


def test_a_revoked_key_ends_its_streams_and_no_others(place: Place):
    ada = place.person()
    one, made = place.key(ada)
    other, _ = place.key(ada)
    with place.stream(one) as gone, place.stream(other) as stays, place.stream(ada) as own:
        for opened in (gone, stays, own):
            opened.hello()
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").is_success
        loses(gone)
        write(ada, "billing", {"a": 1})
        assert stays.change()["revision"] == own.change()["revision"]
    assert place.stream(one).problem()["code"] == "invalid_api_key"


def test_a_key_whose_time_is_over(place: Place):
    ada = place.person()
    ends = datetime.now(UTC) + timedelta(seconds=2)
    key, _ = place.key(ada, expires_at=ends.isoformat())
    with place.stream(key) as opened:
        opened.hello()
        loses(opened)
    assert datetime.now(UTC) >= ends


def test_a_rotated_key_ends_with_its_overlap(place: Place):
    ada = place.person()
    key, made = place.key(ada)
    with place.stream(key) as opened:
        opened.hello()
        answer = ada.post(f"/api/v1/api-keys/{made['id']}/rotate", {"overlap_seconds": 1})
        assert answer.is_success, answer.text
        loses(opened)


def test_a_removed_member(place: Place):
    owner, slug = place.team()
    bob = place.person()
    owner.request(
        "PUT", f"/api/v1/workspaces/{slug}/members/{bob.username}", json={"role": "viewer"}
    )
    with place.stream(bob, workspace=slug) as gone, place.stream(bob) as own:
        gone.hello()
        own.hello()
        path = f"/api/v1/workspaces/{slug}/members/{bob.username}"
        assert owner.request("PUT", path, json={"role": "editor"}).is_success
        assert gone.silent(1.5)  # another role may listen too
        assert owner.request("DELETE", path).is_success
        loses(gone)
        write(bob, "billing", {"a": 1})
        assert own.change()


def test_a_disabled_user(place: Place):
    bob = place.person()
    with place.stream(bob) as opened:
        opened.hello()
        path = f"/auth/users/{bob.id}"
        assert place.root.request("PATCH", path, json={"disabled": True}).is_success
        loses(opened)


def test_a_logout_ends_the_streams_of_that_login(place: Place):
    bob = place.person()
    again = login(place.client, bob.username)  # type: ignore[arg-type]
    with place.stream(bob) as gone, place.stream(again) as stays:
        gone.hello()
        stays.hello()
        assert bob.post("/auth/logout").is_success
        loses(gone)
        write(again, "billing", {"a": 1})
        assert stays.change()


def test_a_deleted_workspace(place: Place):
    owner, slug = place.team()
    made = owner.request(
        "POST",
        "/api/v1/api-keys",
        params={"workspace": slug},
        json={"name": "k", "scopes": {"actions": ["read"]}},
    ).json()
    with place.stream(owner, workspace=slug) as one, Stream(place.url, made["key"]) as other:
        one.hello()
        other.hello()
        assert owner.request("DELETE", f"/api/v1/workspaces/{slug}").is_success
        loses(one)
        loses(other)


def test_who_has_still_much_to_read_loses_access_too(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "MOST_BYTES", 2000)
    ada = place.person()
    key, made = place.key(ada)
    with place.stream(ada) as opened:
        start = opened.hello().id
    for number in range(200):
        write(ada, "billing", {"n": number}, message="m" * 1000)
    with place.stream(key, since=start, buffer=4096) as slow:
        slow.hello()
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").is_success
        until(lambda: place.count() == 0, "it is cut off although it does not read")
        assert len(rest(slow)) < 200


def test_an_environment_is_protected_meanwhile(place: Place):
    ada = place.person()
    key, _ = place.key(ada, scopes={"actions": ["read"], "environments": ["staging"]})
    with place.stream(ada) as one, place.stream(key, environments="staging") as other:
        one.hello()
        other.hello()
        answer = ada.request("PATCH", "/environments/staging", json={"protected": True})
        assert answer.is_success, answer.text
        for opened in (one, other):
            assert opened.change()["changes"][0]["resource_type"] == "environment"
        write(ada, "billing", {"a": 1}, environment="staging")
        for opened in (one, other):
            assert opened.change()["changes"][0]["environment"] == "staging"


def test_too_much_to_do_is_no_lost_right(place: Place, monkeypatch: pytest.MonkeyPatch):
    ada = place.person()
    key, _ = place.key(ada)
    _, made = place.key(ada)
    with place.stream(key) as opened:
        opened.hello()
        monkeypatch.setattr("app.serving.service.MOST_WAITING", 0)
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").is_success
        assert opened.silent(1.5)
        monkeypatch.undo()
        write(ada, "billing", {"a": 1})
        assert opened.change()


# Tickets


def test_a_ticket_opens_one_stream_as_its_maker(place: Place):
    ada = place.person()
    shown = ticket(ada)
    with place.stream(ticket=shown) as opened:
        opened.hello()
        write(ada, "billing", {"a": 1})
        assert opened.change()["actor"] == ada.username
    used = place.stream(ticket=shown)
    assert used.problem()["code"] == "invalid_ticket"
    assert used.status == 401
    assert place.stream(ticket="nonsense").problem()["code"] == "invalid_ticket"


def test_two_at_once_with_one_ticket(place: Place):
    ada = place.person()
    for _ in range(5):
        shown = ticket(ada)
        asked = [place.stream(ticket=shown) for _ in range(6)]
        for one in asked:
            one.read_head()
            one.close()
        assert sorted(one.status for one in asked) == [200, *[401] * 5]


def test_a_refused_opening_does_not_use_a_ticket_up(place: Place):
    ada = place.person()
    shown = ticket(ada)
    assert place.stream(ticket=shown, services="a b").problem()["status"] == 422
    assert place.stream(ticket=shown, since="0-0").problem()["status"] == 410
    with place.stream(ticket=shown) as opened:
        opened.hello()


def test_a_ticket_has_its_time(place: Place, monkeypatch: pytest.MonkeyPatch):
    ada = place.person()
    monkeypatch.setattr(service, "TICKET_SECONDS", 1)
    answer = ada.post("/api/v1/stream/tickets")
    time.sleep(1.2)
    assert place.stream(ticket=answer.json()["ticket"]).problem()["code"] == "invalid_ticket"


def test_a_ticket_is_of_its_workspace_whatever_is_said(place: Place):
    owner, slug = place.team()
    shown = ticket(owner, workspace=slug)
    with place.stream(ticket=shown, workspace=owner.username) as opened:
        opened.hello()
        write(owner, "billing", {"a": 1})
        assert opened.silent()
        body = {"name": "billing", "config": {"a": 1}}
        owner.request("POST", "/config/update", params={"workspace": slug}, json=body)
        assert opened.change()


def test_a_ticket_has_the_scopes_of_its_key(place: Place):
    ada = place.person()
    key, made = place.key(ada, scopes={"actions": ["read"], "services": ["billing"]})
    assert place.stream(ticket=ticket(key), services="web").problem()["code"] == "outside_scope"
    with place.stream(ticket=ticket(key)) as opened:
        opened.hello()
        write(ada, "web", {"a": 1})
        last = write(ada, "billing", {"a": 1})
        assert opened.change()["revision"] == last
        unused = ticket(key)
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").is_success
        loses(opened)
    assert place.stream(ticket=unused).problem()["status"] == 401


def test_a_ticket_ends_with_its_login(place: Place):
    ada = place.person()
    unused = ticket(ada)
    with place.stream(ticket=ticket(ada)) as opened:
        opened.hello()
        assert ada.post("/auth/logout").is_success
        loses(opened)
    assert place.stream(ticket=unused).problem()["status"] == 401


def test_who_may_not_read_gets_no_ticket(place: Place):
    ada = place.person()
    blind, _ = place.key(ada, scopes={"actions": ["write"]})
    assert_problem(blind.post("/api/v1/stream/tickets"), 403, "not_allowed")
    assert_problem(place.client.post("/api/v1/stream/tickets"), 401, "login_required")


def test_tickets_are_kept_as_digests_and_swept(place: Place):
    ada = place.person()
    shown = ticket(ada)
    headers = {"Idempotency-Key": "tickets-1"}
    again = ada.request("POST", "/api/v1/stream/tickets", headers=headers).json()["ticket"]
    with db.transaction() as session:
        found = session.execute(
            text(
                "SELECT t::text FROM stream_tickets t UNION ALL "
                "SELECT k::text FROM idempotency_keys k UNION ALL SELECT e::text FROM events e"
            )
        ).scalars()
        kept = "".join(found)
    assert shown not in kept
    assert again not in kept


# Readers who do not read


def test_a_reader_that_never_reads_is_cut_off_and_nobody_else(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hub, "MOST_BYTES", 20_000)
    ada = place.person()
    until(lambda: place.count() == 0, "nobody listens")
    before = cut_off()
    with place.stream(ada, buffer=4096) as lazy, place.stream(ada) as other:
        start = lazy.hello().revision
        other.hello()
        written: list[int] = []
        while place.count() == 2:
            assert len(written) < 20_000
            written.append(write(ada, "billing", {"n": len(written)}, message="m" * 1000))
            assert other.change()["revision"] == written[-1]
        assert cut_off() == before + 1
        got = rest(lazy)
    assert got == list(range(start + 1, start + 1 + len(got)))
    with place.stream(ada, since=lazy.cursor) as again:
        again.hello()
        while got[-1] != written[-1]:
            got.append(again.change()["revision"])
    assert got == written


def rest(opened: Stream) -> list[int]:
    """Return the revisions that still come before the connection is lost."""
    got: list[int] = []
    try:
        while (frame := opened.frame(5)) is not None:
            got.append(frame.revision)
    except Lost:
        return got
    raise AssertionError("the answer has an end")


def cut_off() -> float:
    """Return how many slow readers were cut off."""
    for metric in metrics._cut_off.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total") and sample.labels == {"reason": hub.SLOW}:
                return float(sample.value)
    return 0.0


def test_who_does_not_read_the_end_does_not_stay(place: Place):
    ada = place.person()
    key, made = place.key(ada)
    until(lambda: place.count() == 0, "nobody listens")
    with place.stream(key, buffer=4096) as lazy:
        lazy.hello()
        for number in range(150):  # more than the sockets hold, less than what may wait
            write(ada, "billing", {"n": number}, message="m" * 1000)
        assert place.count() == 1
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").is_success
        until(lambda: place.count() == 0, "it is gone")
        assert 0 < len(rest(lazy)) < 150


def test_metrics_count_who_is_there(place: Place):
    ada = place.person()
    until(lambda: place.count() == 0, "nobody listens")

    def listening() -> float:
        return sum(sample.value for one in metrics._listeners.collect() for sample in one.samples)

    until(lambda: listening() == 0, "nobody is counted")
    with place.stream(ada) as one, place.stream(ada) as other:
        one.hello()
        other.hello()
        until(lambda: listening() == 2, "two are counted")
        channel = next(iter(place.do(lambda: list(place.live.hubs.values())))).channel
        place.do(lambda: place.live.feed._drop(channel, "behind"))
        again = place.stream(ada)
        again.hello()
        for opened in (one, other):
            assert opened.end().data == {"reason": "behind"}
        until(lambda: listening() == 1, "one is counted")
        again.close()
    until(lambda: listening() == 0, "nobody is counted")
