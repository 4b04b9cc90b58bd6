"""Changes of flags: in the stream of everything, and in that of the OpenFeature protocol."""

from typing import Any
from urllib.parse import urlsplit

from tests.client import Person
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, make, put
from tests.realtime.conftest import Place
from tests.streams import Stream

BULK, EVENTS = "/ofrep/v1/evaluate/flags", "/ofrep/v1/events"
TYPES = "feature_flag,segment"


def bulk(person: Person, headers: dict[str, str] | None = None, **query: str) -> Any:
    """Evaluate everything."""
    query = {"environment": PRODUCTION, **query}
    return person.request("POST", BULK, json={"context": {}}, params=query, headers=headers or {})


def events(place: Place, person: Person, **more: Any) -> Stream:
    """Open the stream that a bulk evaluation names, without showing anything else."""
    [told] = bulk(person).json()["eventStreams"]
    assert told["type"] == "sse"
    address = urlsplit(told["endpoint"]["requestUri"])
    return Stream(f"{place.url}?{address.query}", path=address.path, **more).open()


def test_changes_of_flags_and_segments_are_told(place: Place):
    ada = place.person()
    with place.stream(ada, types=TYPES) as opened:
        opened.hello()
        flag = make(ada, "new/checkout")
        ada.update("billing", {"a": 1})
        assert ada.post(SEGMENTS, {"name": "staff"}).status_code == 201
        put(ada, flag, is_enabled=False)
        ada.request("DELETE", f"{FLAGS}/{flag['id']}")
        found = [opened.change()["changes"] for _ in range(4)]
    assert [(one["action"], one["resource_type"], one["key"]) for [one] in found] == [
        ("create", "feature_flag", "new/checkout"),
        ("create", "segment", "staff"),
        ("update", "feature_flag", "new/checkout"),
        ("delete", "feature_flag", "new/checkout"),
    ]
    assert [(one["level"], one["environment"]) for [one] in found[:2]] == [
        ("environment", PRODUCTION),
        ("global", None),
    ]


def test_a_flag_that_a_key_does_not_cover_has_no_name(place: Place):
    ada = place.person()
    key, _ = place.key(ada, name="web", scopes={"actions": ["read"], "flags": ["web.*"]})
    staging, _ = place.key(
        ada, name="st", scopes={"actions": ["read"], "environments": ["staging"]}
    )
    with place.stream(key) as opened, place.stream(staging) as other:
        opened.hello()
        other.hello()
        make(ada, "secret", message="for ACME alone")
        make(ada, "web.a", message="for all")
        veiled, plain = opened.change(), opened.change()
        [hidden], [told] = veiled["changes"], plain["changes"]
        assert (veiled["message"], plain["message"]) == (None, "for all")
        assert "key" not in hidden
        assert "version" not in hidden
        assert hidden["resource_id"] is None
        assert (hidden["resource_type"], told["key"]) == ("feature_flag", "web.a")
        ada.update("billing", {"a": 1})
        assert [one["resource_type"] for one in other.change()["changes"]] == ["configuration"]


def test_a_listener_is_told_to_ask_again(place: Place):
    ada = place.person()
    flag = make(ada)
    with events(place, ada) as opened:
        first = opened.frame()
        assert (first.event, first.data["type"]) == ("message", "refetchEvaluation")
        assert first.data["etag"] == first.id
        ada.update("billing", {"a": 1})
        put(ada, flag, is_enabled=False)
        second = opened.frame()
        assert second.revision == first.revision + 2
        again = bulk(ada, flagConfigEtag=second.id)
        assert again.json()["flags"][0]["value"] is False
    with events(place, ada, since=second.id) as opened:
        known = opened.frame()
        assert (known.id, known.data) == (second.id, None)
        assert ada.post(SEGMENTS, {"name": "staff"}).status_code == 201
        assert opened.frame().data["type"] == "refetchEvaluation"
    for stale in (first.id, "elsewhere-7", "nonsense"):
        with events(place, ada, since=stale) as opened:
            assert opened.frame().data["type"] == "refetchEvaluation"


def test_the_address_may_be_used_again_and_again(place: Place):
    ada = place.person()
    key, made = place.key(ada, name="web", scopes={"actions": ["read"]})
    address = bulk(key).json()["eventStreams"]
    make(ada)
    assert bulk(key).json()["eventStreams"] == address
    for _ in range(3):
        with events(place, key) as opened:
            assert opened.status == 200
    with events(place, key) as opened:
        opened.frame()
        assert ada.request("DELETE", f"/api/v1/api-keys/{made['id']}").status_code == 204
        assert opened.end().data["reason"] == "access_lost"
    uri = urlsplit(address[0]["endpoint"]["requestUri"])
    refused = place.client.get(f"{uri.path}?{uri.query}")
    assert refused.status_code == 401
    for ticket in ("", "e30.e30.e30", uri.query.removeprefix("ticket=")[:-3] + "AAA", "x" * 4000):
        assert place.client.get(EVENTS, params={"ticket": ticket}).status_code == 401


def test_a_token_of_a_person_is_no_ticket(place: Place):
    ada = place.person()
    assert place.client.get(EVENTS, params={"ticket": ada.token}).status_code == 401
