"""WS /api/v1/ws: the same changes over one connection, and whatever may be sent there."""

import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app.realtime import live
from app.realtime import socket as sockets
from tests.client import Person
from tests.processes import until
from tests.realtime.conftest import Place
from tests.realtime.test_stream import change_all, where, write

PATIENCE = 5.0


class Talk:
    """One connection of a client."""

    def __init__(self, place: Place, who: Person | None = None, **more: Any) -> None:
        headers = {"Authorization": f"Bearer {who.token}"} if who else {}
        url = place.url.replace("http", "ws", 1) + "/api/v1/ws"
        headers |= more.pop("headers", {})
        self._opened = connect(url, additional_headers=headers, close_timeout=2, **more)
        self.link: ClientConnection = self._opened.__enter__()

    def send(self, **members: Any) -> None:
        self.link.send(json.dumps(members))

    def hear(self, seconds: float = 20.0) -> Any:
        return json.loads(self.link.recv(seconds))

    def ask(self, **members: Any) -> Any:
        self.send(**members)
        return self.hear()

    def subscribe(self, number: object, **members: Any) -> str:
        answer = self.ask(op="subscribe", id=number, **members)
        assert (answer["op"], answer["id"]) == ("ok", number), answer
        return str(answer["cursor"])

    def refused(self, **members: Any) -> tuple[int, str]:
        answer = self.ask(**members)
        assert answer["op"] == "error", answer
        assert answer["detail"]
        return answer["status"], answer["code"]

    def silent(self, seconds: float = 0.3) -> bool:
        try:
            self.link.recv(seconds)
        except TimeoutError:
            return True
        return False

    def closed(self, seconds: float = PATIENCE) -> int:
        """Return the code with which the server closes."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.link.recv(max(0.0, end - time.monotonic()))
        except ConnectionClosed as gone:
            return int(gone.rcvd.code) if gone.rcvd else 0
        raise AssertionError("still open")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__(None, None, None)


@pytest.fixture
def ada(place: Place) -> Iterator[Person]:
    yield place.person()
    until(lambda: place.count() == 0, "everybody is gone", seconds=10)


# What is said


def test_auth_by_op_and_by_header(place: Place, ada: Person):
    key, _ = place.key(ada)
    for who in (ada, key):
        with Talk(place, who) as talk:
            talk.subscribe(1)
        with Talk(place, headers={"X-API-Key": key.token}) as talk:
            talk.subscribe(1)
        with Talk(place) as talk:
            assert talk.ask(op="auth", token=who.token) == {"op": "ok", "id": None}
            cursor = talk.subscribe("one")
            revision = write(ada, "billing", {"by": who.token[:9]})
            heard = talk.hear()
            assert (heard["op"], heard["id"], heard["revision"]) == ("change", "one", revision)
            assert heard["cursor"] == f"{cursor.partition('-')[0]}-{revision}"
            assert where(heard) == [("billing", None)]
            assert {"at", "actor", "message"} <= heard.keys()


def test_a_workspace_by_name(place: Place, ada: Person):
    owner, slug = place.team()
    with Talk(place) as talk:
        talk.ask(op="auth", token=owner.token, workspace=slug)
        talk.subscribe(1)
        write(owner, "billing", {"a": 1})
        assert talk.silent()
        body = {"name": "billing", "config": {"a": 1}}
        owner.request("POST", "/config/update", params={"workspace": slug}, json=body)
        assert talk.hear()["op"] == "change"
    with Talk(place) as talk:
        assert talk.refused(op="auth", token=ada.token, workspace=slug) == (
            404,
            "workspace_not_found",
        )
        for bad in ("a\0b", 7, ["x"]):
            assert talk.refused(op="auth", token=ada.token, workspace=bad)[0] == 422
        assert talk.ask(op="auth", token=ada.token)["op"] == "ok"


def test_many_subscriptions_and_fewer(place: Place, ada: Person):
    with Talk(place, ada) as talk:
        talk.subscribe(1, services=["billing"])
        talk.subscribe("two", services=["web"], environments=["staging"])
        talk.subscribe("keys", types=["key"])
        revision = change_all(ada, ("billing", None), ("web", "staging"), ("web", "production"))
        heard = {one["id"]: one for one in (talk.hear() for _ in range(3))}
        assert {one["revision"] for one in heard.values()} == {revision}
        assert where(heard[1]) == [("billing", None)]
        assert where(heard["two"]) == [("web", "staging")]
        assert len(heard["keys"]["changes"]) == 3
        assert talk.ask(op="unsubscribe", id=1) == {"op": "ok", "id": 1}
        assert talk.ask(op="unsubscribe", id="never") == {"op": "ok", "id": "never"}
        write(ada, "billing", {"a": 1})
        assert talk.silent()
        talk.subscribe(1, services=["billing"])
        write(ada, "billing", {"a": 2})
        assert talk.hear()["id"] == 1


def test_since_goes_on_without_gap(place: Place, ada: Person):
    revisions = [write(ada, "billing", {"n": number}) for number in range(150)]
    with Talk(place, ada) as talk:
        epoch = talk.subscribe("now").partition("-")[0]
        assert talk.subscribe("all", since=f"{epoch}-{revisions[0]}") == f"{epoch}-{revisions[0]}"
        got = [talk.hear()["revision"] for _ in revisions[1:]]
        assert got == revisions[1:]
        for since, wanted in (
            (f"0-{revisions[0]}", (410, "cursor_gone")),
            (f"{epoch}-{revisions[-1] + 1}", (410, "cursor_gone")),
            ("x", (422, "validation_error")),
            (7, (422, "validation_error")),
        ):
            assert talk.refused(op="subscribe", id="bad", since=since) == wanted


def test_subscribing_and_leaving_at_once_leaves_nothing(
    place: Place, ada: Person, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.feed.channel.KEPT_COMMITS", 5)
    monkeypatch.setattr(live, "PAGE", 3)
    first = write(ada, "billing", {"n": 0})
    with Talk(place, ada) as talk:
        epoch = talk.subscribe("now", types=["environment"]).partition("-")[0]
        for number in range(30):
            write(ada, "billing", {"n": number + 1})
        for number in range(20):
            talk.send(op="subscribe", id=number, since=f"{epoch}-{first}")
            talk.send(op="unsubscribe", id=number)
        said: list[Any] = []
        while len([one for one in said if one["op"] == "ok"]) < 40:
            said.append(talk.hear())
        until(lambda: place.count() == 2, "one subscription and its connection are left")
        assert talk.ask(op="ping") == {"op": "pong"}


def test_errors_are_told_and_the_connection_goes_on(place: Place, ada: Person):
    scopes = {"actions": ["read"], "services": ["bill*"]}
    key, _ = place.key(ada, scopes=scopes)
    with Talk(place, key) as talk:
        assert talk.ask(op="ping") == {"op": "pong"}
        talk.subscribe(1)
        for wanted, members in (
            ((422, "validation_error"), {"op": "subscribe", "id": 1}),  # twice one id
            ((403, "outside_scope"), {"op": "subscribe", "id": 2, "services": ["web"]}),
            ((422, "validation_error"), {"op": "subscribe", "id": 2, "services": "billing"}),
            ((422, "validation_error"), {"op": "subscribe", "id": 2, "services": [1]}),
            ((422, "validation_error"), {"op": "subscribe", "id": 2, "services": ["a\0b"]}),
            ((422, "validation_error"), {"op": "subscribe", "id": 2, "types": ["secret"]}),
            ((422, "validation_error"), {"op": "subscribe", "id": 2, "environments": {"a": 1}}),
            ((422, "validation_error"), {"op": "subscribe", "id": {"a": 1}}),
            ((422, "validation_error"), {"op": "subscribe", "id": "x" * 1000}),
            ((422, "validation_error"), {"op": "shout"}),
            ((422, "validation_error"), {}),
            ((422, "validation_error"), {"op": "auth"}),
            ((422, "validation_error"), {"op": ["ping"]}),
        ):
            assert talk.refused(**members) == wanted, members
        write(ada, "billing", {"a": 1})
        assert talk.hear()["op"] == "change"


def test_more_subscriptions_than_may_be(place: Place, ada: Person, monkeypatch: pytest.MonkeyPatch):
    with Talk(place, ada) as talk:
        for number in range(sockets.MOST_SUBSCRIPTIONS):
            talk.subscribe(number)
        assert talk.refused(op="subscribe", id="more") == (422, "validation_error")
        monkeypatch.setattr(place.live, "_most", 50)
        talk.ask(op="unsubscribe", id=0)
        assert talk.refused(op="subscribe", id="more") == (503, "too_many_listeners")
        with Talk(place) as other:
            assert other.refused(op="auth", token=ada.token) == (503, "too_many_listeners")
        with Talk(place, ada) as other:
            assert other.closed() == sockets.TRY_AGAIN


# Who may not


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "x"])
def test_pages_of_other_sites_are_refused(place: Place, ada: Person, origin: str):
    with pytest.raises(InvalidStatus) as refused:
        Talk(place, ada, origin=origin)
    assert refused.value.response.status_code == 403


def test_pages_of_this_site_are_not(place: Place, ada: Person):
    with Talk(place, ada, origin=place.url) as talk:
        talk.subscribe(1)


@pytest.mark.parametrize("said", [{}, {"op": "ping"}, {"op": "nonsense"}], ids=str)
def test_who_does_not_say_who_it_is_is_closed(
    place: Place, ada: Person, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]
):
    monkeypatch.setattr(sockets, "AUTH_SECONDS", 0.5)
    with Talk(place) as talk:
        if said:
            talk.ask(**said)
        assert talk.closed() == 4401
    with Talk(place, ada) as talk:  # who is known may be silent
        time.sleep(0.7)
        talk.subscribe(1)


def test_bad_credentials_are_closed(place: Place, ada: Person):
    with Talk(place) as talk:
        assert talk.refused(op="auth", token="cs_nonsense")[0] == 401
        assert talk.closed() == 4401
    with Talk(place) as talk:
        assert talk.refused(op="subscribe", id=1) == (401, "login_required")
        assert talk.closed() == 4401
    with Talk(place, headers={"Authorization": "Bearer nonsense"}) as talk:
        assert talk.closed() == 4401
    blind, _ = place.key(ada, scopes={"actions": ["write"]})
    with Talk(place, blind) as talk:
        assert talk.closed() == 4401


@pytest.mark.parametrize("subscribed", [True, False], ids=["subscribed", "not yet"])
def test_lost_rights_close_the_connection(place: Place, ada: Person, *, subscribed: bool):
    key, made = place.key(ada)
    with Talk(place, key) as one, Talk(place, ada) as other:
        for talk in (one, other):
            assert talk.ask(op="ping") == {"op": "pong"}
            if subscribed:
                talk.subscribe(1)
                talk.subscribe(2)
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").is_success
        assert one.closed() == 4401
        assert other.ask(op="ping") == {"op": "pong"}
        assert ada.post("/auth/logout").is_success
        assert other.closed() == 4401


# Whatever may be sent


@pytest.mark.parametrize(
    "sent",
    [
        *("", "{", "null", "[]", "7", '"op"', "\0", '{"op": NaN}', "\ufeff{}", '{"op":"\\ud800"}'),
        *("[" * 30_000, '{"op": "subscribe", "id": "\\u0000"}', '{"a":' * 5000),
    ],
    ids=lambda sent: repr(sent)[:12],
)
def test_garbage_is_answered(place: Place, ada: Person, sent: str):
    with Talk(place, ada) as talk:
        talk.link.send(sent)
        assert talk.hear()["op"] in {"error", "ok"}
        assert talk.ask(op="ping") == {"op": "pong"}


@pytest.mark.parametrize("who", ["ada", "nobody"])
def test_what_is_no_text_or_too_much_is_closed(place: Place, ada: Person, who: str):
    caller = ada if who == "ada" else None
    with Talk(place, caller) as talk:
        talk.link.send(b'{"op": "ping"}')
        assert talk.closed() == 1003
    for size in (sockets.MOST_CHARACTERS + 1, 5_000_000):
        with Talk(place, caller) as talk:
            with suppress(ConnectionClosed):
                talk.link.send("x" * size)
            assert talk.closed() in ({1009} if size < 100_000 else {1009, 0})  # or hung up


def test_noise_does_no_harm(place: Place, ada: Person):
    dice = random.Random(7)
    for _ in range(20):
        with Talk(place, ada) as talk, suppress(ConnectionClosed):
            link: socket.socket = talk.link.socket
            link.sendall(dice.randbytes(200))
            talk.link.recv(0.2)
    with Talk(place, ada) as talk:
        talk.subscribe(1)


def test_who_hangs_up_is_forgotten(place: Place, ada: Person):
    talks = [Talk(place, ada) for _ in range(5)]
    for talk in talks:
        talk.subscribe(1)
        talk.subscribe(2)
    assert place.count() == 15
    for talk in talks:
        talk.link.socket.close()
    for number in range(3):
        write(ada, "billing", {"n": number})
    until(lambda: place.count() == 0, "all are gone")


def test_who_does_not_read_is_cut_off(place: Place, ada: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.realtime.hub.MOST_BYTES", 20_000)
    url = place.url.removeprefix("http://")
    host, _, port = url.partition(":")
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect((host, int(port)))
    lazy = Talk(place, ada, sock=small, max_queue=1)
    lazy.subscribe(1)
    with Talk(place, ada) as other:
        other.subscribe(1)
        for number in range(5000):
            if place.count() == 2:
                break
            revision = write(ada, "billing", {"n": number}, message="m" * 1000)
            assert other.hear()["revision"] == revision
        else:
            raise AssertionError("it is not cut off")
    lazy.link.recv_events_thread.join(5)
    small.close()
