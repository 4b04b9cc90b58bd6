"""GET /api/v1/stream: what comes, in which order, to whom; and how it goes on."""

import threading
from typing import Any

import pytest

from app.feed import channel
from app.realtime import hub, live, stream
from tests.client import Person
from tests.processes import until
from tests.realtime.conftest import Place
from tests.streams import COMMENT, Stream


def write(person: Person, name: str, config: dict[str, Any], **more: Any) -> int:
    """Store a document; return the revision."""
    answer = person.update(name, config, **more)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-configsync-revision"].rpartition("-")[2])


def change_all(person: Person, *places: tuple[str | None, str | None], key: str = "n") -> int:
    """Set a key at several levels in one commit; return the revision."""
    changes = []
    for service, environment in places:
        one = {"key": key, "op": "set", "value": threading.get_ident()}
        one |= {"service": service} if service else {}
        changes.append(one | ({"environment": environment} if environment else {}))
    answer = person.post("/api/v1/changes", {"changes": changes})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["revision"])


def where(data: Any) -> list[tuple[str, str | None]]:
    """Return the levels of a frame's changes."""
    return [(one["service"], one["environment"]) for one in data["changes"]]


# What comes


def test_hello_says_where_the_stream_begins(place: Place):
    ada = place.person()
    revision = write(ada, "billing", {"a": 1})
    with place.stream(ada) as opened:
        hello = opened.hello()
        assert opened.headers["content-type"].startswith("text/event-stream")
        assert opened.headers["cache-control"] == "no-store"
        assert opened.headers["x-request-id"]
        assert hello.id == f"{hello.data['epoch']}-{revision}"
        assert hello.data["revision"] == revision
    with place.stream(ada, since=f"{hello.data['epoch']}-0") as opened:
        again = opened.hello()
        assert (again.revision, again.data["revision"]) == (0, revision)
        assert opened.change()["revision"] == 1


def test_one_frame_a_commit(place: Place):
    ada = place.person()
    with place.stream(ada) as opened:
        first = opened.hello().revision
        for number in range(5):
            write(ada, "billing", {"n": number}, message=f"number {number}")
        for number in range(5):
            data = opened.change()
            assert data["revision"] == first + 1 + number
            assert (data["actor"], data["message"]) == (ada.username, f"number {number}")
            assert data["at"].endswith("Z")
            assert where(data)[0] == ("billing", None)
            assert data["changes"][0]["resource_type"] == "configuration"
        assert opened.silent()


def test_what_does_not_change_anything_is_no_news(place: Place):
    ada = place.person()
    write(ada, "billing", {"a": 1})
    with place.stream(ada) as opened:
        opened.hello()
        ada.update("billing", {"a": 1})
        ada.post("/auth/login")
        place.key(ada)
        assert opened.silent()


@pytest.mark.parametrize(
    ("query", "reached"),
    [
        ({}, "abcdefgh"),
        ({"services": "billing"}, "abcdg"),
        ({"services": "billing,web"}, "abcdefgh"),
        ({"environments": "staging"}, "abcefgh"),
        ({"services": "billing", "environments": "staging"}, "abcg"),
        ({"services": "nobody"}, "abg"),
        ({"services": "_global"}, "abg"),
        ({"services": "_global,web"}, "abefgh"),
        ({"types": "configuration"}, "bcdf"),
        ({"types": "key"}, "aegh"),
        ({"types": "key,configuration", "services": "billing"}, "abcdg"),
        ({"types": "environment"}, ""),
    ],
    ids=str,
)
def test_filters(place: Place, query: dict[str, str], reached: str):
    ada = place.person()
    with place.stream(ada, **query) as opened:
        opened.hello()
        revisions = [
            change_all(ada, (None, None)),
            write(ada, "_global", {"b": 1}, environment="staging"),
            write(ada, "billing", {"b": 1}),
            write(ada, "billing", {"b": 1}, environment="production"),
            change_all(ada, ("web", "staging")),
            write(ada, "web", {"b": 1}),
            change_all(ada, (None, "staging")),
            change_all(ada, ("web", None)),
        ]
        ada.request("PATCH", "/environments/staging", json={"description": "the end"})
        write(ada, "_global", {"end": 1})
        change_all(ada, (None, None), key="end")
        names = dict(zip(revisions, "abcdefgh", strict=True))
        got = ""
        while (data := opened.change())["revision"] in names:
            got += names[data["revision"]]
        assert got == reached


def test_a_change_set_is_one_frame_with_what_reaches_the_listener(place: Place):
    ada = place.person()
    levels = (
        *((None, None), ("billing", None), ("billing", "staging"), ("web", None)),
        *(("web", "staging"), (None, "staging"), (None, "production")),
    )
    wanted = {
        "billing": {*levels[:3], *levels[5:]},
        "web": {levels[0], *levels[3:]},
        "other": {levels[0], *levels[5:]},
    }
    streams = {name: place.stream(ada, services=name) for name in wanted}
    for opened in streams.values():
        opened.hello()
    revision = change_all(ada, *levels)
    for name, opened in streams.items():
        data = opened.change()
        assert data["revision"] == revision
        found = [(None if one == "_global" else one, env) for one, env in where(data)]
        assert len(found) == len(set(found))
        assert set(found) == wanted[name]
        assert {one["key"] for one in data["changes"]} == {"n"}
        opened.close()


def test_a_deleted_document_and_a_rollback_are_told(place: Place):
    ada = place.person()
    write(ada, "billing", {"a": 1})
    write(ada, "billing", {"a": 2})
    with place.stream(ada) as opened:
        opened.hello()
        first = ada.version_ids("billing")[0]
        ada.post("/config/rollback", params={"service": "billing", "version_id": first})
        ada.request("DELETE", "/config/delete", params={"service": "billing"})
        ada.post("/config/restore", params={"service": "billing"})
        actions = [opened.change()["changes"][0]["action"] for _ in range(3)]
        assert actions == ["rollback", "delete", "restore"]


def test_secrets_are_never_in_frames(place: Place):
    ada, secret = place.person(), "a-very-secret-value"
    with place.stream(ada) as opened:
        opened.hello()
        write(ada, "billing", {"token": {"$secret": secret}, "plain": "no-value-either"})
        body = {"service": "billing", "key": "second", "op": "set", "value": secret}
        ada.post("/api/v1/changes", {"changes": [body | {"is_encrypted": True}]})
        for _ in range(2):
            frame = opened.frame()
            assert frame is not None
            assert secret not in frame.text
            assert "no-value" not in frame.text
            assert "sec_" not in frame.text


# To whom


def test_scopes_filter_in_silence(place: Place):
    ada = place.person()
    key, _ = place.key(ada, scopes={"actions": ["read"], "services": ["bill*"]})
    staging, _ = place.key(ada, scopes={"actions": ["read"], "environments": ["staging"]})
    with place.stream(key) as one, place.stream(staging) as other:
        one.hello()
        other.hello()
        a = change_all(ada, ("web", None), ("billing", None), ("billing", "production"))
        change_all(ada, ("web", "production"))
        b = change_all(ada, ("web", "staging"))
        c = change_all(ada, (None, None))
        data = one.change()
        assert data["revision"] == a
        assert where(data) == [("billing", None), ("billing", "production")]
        data = other.change()
        assert (data["revision"], where(data)) == (a, [("web", None), ("billing", None)])
        assert other.change()["revision"] == b
        assert one.change()["revision"] == other.change()["revision"] == c


def test_naming_what_the_key_does_not_reach_is_refused(place: Place):
    ada = place.person()
    scopes = {"actions": ["read"], "services": ["bill*"], "environments": ["staging"]}
    key, _ = place.key(ada, scopes=scopes)
    for query in ({"services": "web"}, {"services": "billing,web"}, {"environments": "production"}):
        assert place.stream(key, **query).problem()["code"] == "outside_scope"
    with place.stream(key, services="billing", environments="staging") as opened:
        opened.hello()
    blind, _ = place.key(ada, scopes={"actions": ["write"]})
    assert place.stream(blind).problem()["code"] == "not_allowed"
    elsewhere, _ = place.key(ada, scopes={"actions": ["read"], "addresses": ["10.0.0.0/8"]})
    assert place.stream(elsewhere).problem()["code"] == "address_not_allowed"


def test_who_may_not_listen_is_told(place: Place):
    ada, bob = place.person(), place.person()
    assert place.stream().problem()["code"] == "login_required"
    refused = place.stream(headers={"Authorization": "Bearer nonsense"})
    assert refused.problem()["code"] == "invalid_token"
    assert "www-authenticate" in refused.headers
    missing = place.stream(bob, workspace=ada.username).problem()
    assert (missing["status"], missing["code"]) == (404, "workspace_not_found")
    with place.stream(place.root, workspace=ada.username) as opened:
        assert opened.hello().revision == 0
    for query in (
        *({"services": "a b"}, {"services": "billing,,/"}, {"environments": "."}),
        *({"types": "secret"}, {"unknown": "1"}, {"services": "list"}),
        {"services": ",".join(f"s{n}" for n in range(1001))},
    ):
        assert place.stream(ada, **query).problem()["status"] == 422, query


def test_other_methods_and_spellings(place: Place):
    ada = place.person()
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ada.request(method, "/api/v1/stream").status_code == 405
    with place.client.stream(
        "GET", "/api/v1/stream/", headers={"Authorization": f"Bearer {ada.token}"}
    ) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_text()).startswith("retry: ")


def test_a_stream_is_told_of_its_own_workspace_only(place: Place):
    ada, bob = place.person(), place.person()
    with place.stream(ada) as opened:
        opened.hello()
        write(bob, "billing", {"a": 1})
        assert opened.silent()
        write(ada, "billing", {"a": 1})
        assert opened.change()["actor"] == ada.username


# How it goes on


def test_resume_at_every_place(place: Place):
    ada = place.person()
    write(ada, "web", {"n": 0})
    with place.stream(ada) as opened:
        first = opened.hello()
    revisions = [write(ada, "billing", {"n": number}) for number in range(6)]
    for number, revision in enumerate(revisions):
        for by_header in (True, False):
            cursor = f"{first.data['epoch']}-{revision}"
            opened = (
                place.stream(ada, since=cursor)
                if by_header
                else Stream(f"{place.url}?since={cursor}", ada.token)
            )
            hello = opened.hello()
            assert hello.id == cursor
            got = [opened.change()["revision"] for _ in revisions[number + 1 :]]
            assert got == revisions[number + 1 :]
            assert opened.silent(0.1)
            opened.close()


def test_the_header_counts_more_than_the_query(place: Place):
    ada = place.person()
    last = [write(ada, "billing", {"n": number}) for number in range(3)][-1]
    with place.stream(ada) as opened:
        epoch = opened.hello().data["epoch"]
    path = f"/api/v1/stream?since={epoch}-0"
    headers = {"Authorization": f"Bearer {ada.token}", "Last-Event-ID": f"{epoch}-{last - 1}"}
    with place.client.stream("GET", path, headers=headers) as answer:
        assert f"id: {epoch}-{last - 1}\n" in next(answer.iter_text())


@pytest.mark.parametrize("query", [{}, {"services": "billing"}], ids=["all", "some"])
def test_resume_beyond_what_is_in_memory_while_commits_come(
    place: Place, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel, "KEPT_COMMITS", 25)
    monkeypatch.setattr(live, "PAGE", 10)
    ada = place.person()
    start = write(ada, "web", {"n": 0})
    wanted: list[int] = []
    with place.stream(ada) as opened:
        epoch = opened.hello().data["epoch"]
        for number in range(50):
            wanted.append(write(ada, "billing", {"n": number}))
            other = write(ada, "web", {"n": number + 1})
            wanted.extend([] if query else [other])
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            wanted.append(write(ada, "billing", {"n": f"more {len(wanted)}"}))

    writer = threading.Thread(target=go_on)
    writer.start()
    streams = [place.stream(ada, since=f"{epoch}-{start}", **query) for _ in range(8)]
    got = [opened.hello().data["revision"] and _take(opened, 60) for opened in streams]
    stop.set()
    writer.join()
    for opened, revisions in zip(streams, got, strict=True):
        assert revisions + _take(opened, len(wanted) - len(revisions)) == wanted
        assert opened.silent(0.1)
        opened.close()


def _take(opened: Stream, number: int) -> list[int]:
    return [opened.change()["revision"] for _ in range(number)]


def test_cursors_that_are_gone_or_wrong(place: Place):
    ada = place.person()
    revision = write(ada, "billing", {"a": 1})
    with place.stream(ada) as opened:
        epoch = opened.hello().data["epoch"]
    for cursor in (f"0123456789ab-{revision}", f"-{revision}", f"{epoch}-{revision + 1}", "1"):
        problem = place.stream(ada, since=cursor).problem()
        assert (problem["status"], problem["code"]) == (410, "cursor_gone"), cursor
        assert (problem["epoch"], problem["head"]) == (epoch, revision)
    for cursor in ("x", f"{epoch}-", f"{epoch}-x", f"{epoch}--x", f"{epoch}-1.0", "-", "1 "):
        assert place.stream(ada, since=cursor).problem()["status"] == 422, cursor
    for cursor in ("9" * 17, "9" * 65, f"{epoch}-{'9' * 16}"):
        assert place.stream(ada, since=cursor).problem()["status"] in {410, 422}


def test_commits_of_any_size_come_and_can_be_passed(place: Place):
    ada = place.person()
    changes = [
        {"service": f"s{number}", "key": f"{name}{'k' * 200}", "op": "set", "value": 1}
        for number in range(30)
        for name in range(40)
    ]

    def change_them(value: int) -> None:
        for one in changes:
            one["value"] = value
        assert ada.post("/api/v1/changes", {"changes": changes}).status_code == 200

    with place.stream(ada) as opened:
        first = opened.hello()
    for value in range(3):
        change_them(value)
    last = write(ada, "billing", {"a": 1})
    with place.stream(ada, since=first.id) as opened:
        opened.hello()
        for value in range(4):
            if value == 3:
                assert opened.change()["revision"] == last
                change_them(value)
            frame = opened.frame()
            assert frame is not None
            assert len(frame.data["changes"]) == len(changes)
            assert len(frame.text) > hub.MOST_BYTES


def test_a_request_with_a_body_is_a_stream_too(place: Place):
    ada = place.person()
    for size in (1, 70_000):
        with place.stream(ada, body=b"x" * size) as opened:
            opened.hello()
            write(ada, "billing", {"size": size})
            assert opened.change()["changes"]


def test_comments_keep_a_silent_stream_alive(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.6)
    ada = place.person()
    with place.stream(ada) as opened:
        opened.hello()
        for _ in range(3):
            found = opened.frame(20, comments=True)
            assert found is not None
            assert (found.event, found.id) == (COMMENT, None)
        write(ada, "billing", {"a": 1})
        assert opened.change()


def test_retry_hints_are_spread(place: Place):
    ada = place.person()
    hints = set()
    for _ in range(12):
        with place.stream(ada) as opened:
            hint = opened.hello().retry
            assert hint is not None
            assert stream.RETRY_MS[0] <= hint <= stream.RETRY_MS[1]
            hints.add(hint)
    assert len(hints) > 6


def test_who_leaves_is_forgotten(place: Place):
    ada = place.person()
    until(lambda: place.count() == 0, "nobody listens")
    streams = [place.stream(ada, services=f"s{number}") for number in range(20)]
    for opened in streams:
        opened.hello()
    assert place.count() == 20
    for opened in streams:
        opened.close()
    until(lambda: place.count() == 0, "all are gone")
    assert place.do(lambda: dict(place.live.hubs)) == {}


def test_no_more_than_fit(place: Place, monkeypatch: pytest.MonkeyPatch):
    ada = place.person()
    until(lambda: place.count() == 0, "nobody listens")
    monkeypatch.setattr(place.live, "_most", 3)
    streams = [place.stream(ada) for _ in range(3)]
    for opened in streams:
        opened.hello()
    refused = place.stream(ada)
    problem = refused.problem()
    assert (problem["status"], problem["code"]) == (503, "too_many_listeners")
    assert int(refused.headers["retry-after"]) > 0
    streams[0].close()
    until(lambda: place.count() == 2, "one is gone")
    with place.stream(ada) as opened:
        opened.hello()
    for opened in streams:
        opened.close()
