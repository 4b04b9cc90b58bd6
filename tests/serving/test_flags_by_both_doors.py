"""Flags by every door the same, whatever is asked, and at once after every change."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.client import Person, create_key
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS, make, put
from tests.serving.doors import Call, Doors, facts, send

EVALUATE, BATCH, SNAPSHOT = f"{FLAGS}/evaluate", f"{FLAGS}/evaluate/batch", f"{FLAGS}/snapshot"
SINGLE, BULK = "/ofrep/v1/evaluate/flags/", "/ofrep/v1/evaluate/flags"
PRO = {"attribute": "plan", "op": "equals", "value": "pro"}
CONTEXTS: tuple[Any, ...] = (
    None,
    {"targetingKey": "ada"},
    {"targetingKey": "grace", "plan": "pro"},
    {"targetingKey": 7, "plan": ["pro"]},
    {"user_id": "bob", "targetingKey": [1], "a": {"b": {"c": 1e2}}},
)


def half(on: str, off: str) -> list[dict[str, Any]]:
    split = [{"variant": on, "weight": 50}, {"variant": off, "weight": 50}]
    return [{"id": "half", "serve": {"split": split}}]


def fill(person: Person) -> dict[str, dict[str, Any]]:
    """Make flags of all sorts; return them by name."""
    segment = {"name": "staff", "included": ["ada"], "excluded": ["bob"], "when": PRO}
    assert person.post(SEGMENTS, segment).status_code == 201
    staff = [{"id": "staff", "when": {"segment": "staff"}, "serve": {"variant": "on"}}]
    person.update("billing", {"a": 1, "pw": {"$secret": "s3cr3t"}})
    return {
        one["name"]: one
        for one in (
            make(person, "plain"),
            make(person, "off", is_enabled=False),
            make(person, "web.users", target_users=["ada"], rollout_percentage=30),
            make(person, "staff", rules=staff, type="boolean"),
            make(person, "web.half", rules=half("on", "off")),
            make(person, "needs", prerequisites=[{"flag": "staff", "variant": "on"}]),
            make(person, "number", type="number", variants={"a": 1.50, "b": 2}),
            make(person, "text", type="string", variants={"a": "é\u2028", "b": "</script>"}),
            make(person, "object", type="object", variants={"a": {"x": [1e2, None]}}),
            make(person, "a/b c".replace(" ", ".")),
        )
    }


def calls(**query: str) -> list[Call]:
    """Return evaluations in every form, and unusual ones."""
    place = {"environment": PRODUCTION, **query}
    names = ("plain", "off", "web.users", "staff", "web.half", "needs", "number", "text", "object")
    made = []
    for context in CONTEXTS:
        said = {} if context is None else {"context": context}
        made += [
            Call(EVALUATE, query, {"flag_name": name, "environment": PRODUCTION, **said})
            for name in names
        ]
        made += [Call(f"{SINGLE}{name}", place, said) for name in (*names, "a/b.c", "a%2Fb.c")]
        made.append(Call(BATCH, query, {"environment": PRODUCTION, **said}))
        made.append(Call(BULK, place, said))
    made += [
        Call(SNAPSHOT, place),
        Call(SNAPSHOT, query),
        Call(SNAPSHOT, place | {"environment": "nowhere"}),
        Call(SNAPSHOT, place | {"other": "1"}),
        Call(BATCH, query, batch(flags=["plain", "nothing", "off"])),
        Call(BATCH, query, batch(flags=[])),
        Call(BATCH, query, batch(config={"app_id": "billing"})),
        Call(BATCH, query, batch(config={"app_id": "billing", "keys": ["a", "no"]})),
        Call(BATCH, query, batch(config={"app_id": "nothing"})),
        Call(BATCH, query, batch(config={"app_id": ""})),
        Call(BATCH, query, batch(environment="nowhere")),
        Call(EVALUATE, query, one("nothing")),
        Call(EVALUATE, query, one("plain", environment="nowhere")),
        Call(EVALUATE, query, one("web.half", user_id="ada")),
        Call(EVALUATE, query, one("web.half", user_id=7)),
        Call(EVALUATE, query, one("web.half", user_id=[7])),
        Call(EVALUATE, query, one("web.half", user_id=True)),
        Call(EVALUATE, query, one("plain", context=[])),
        Call(EVALUATE, query, one("plain", later="ignored")),
        Call(EVALUATE, query, {"environment": PRODUCTION}),
        Call(EVALUATE, query | {"x": "1"}, one("plain")),
        Call(f"{EVALUATE}/", query, one("plain")),
        Call(f"{EVALUATE}/batch/", query, batch()),
        Call(EVALUATE, query | {"at": "1"}, one("plain")),
        Call(EVALUATE, query | {"min_revision": "1"}, one("plain")),
        Call(EVALUATE, query | {"min_revision": "x"}, one("plain")),
        Call(f"{SINGLE}nothing", place, {}),
        Call(SINGLE, place, {}),
        Call(f"{BULK}/", place, {}),
        Call(BULK, query, {}),
        Call(BULK, place | {"flagConfigEtag": "1", "flagConfigLastModified": "2"}, {}),
        Call(BULK, place | {"flagConfigEtag": "abc-1"}, {}),
        Call(BULK, place | {"environment": "nowhere"}, {}),
        Call(BULK, place | {"anything": "else"}, {}),
        Call(f"{SINGLE}plain", place | {"anything": "else"}, {}),
        Call(f"{SINGLE}plain", place),
        Call(BULK, place),
        Call(EVALUATE, place),
        Call(BULK, place, {"context": 1}),
        Call(BULK, place, {"context": None}),
        Call(BULK, place, []),
        Call(f"{SINGLE}plain", place, "text"),
    ]
    return made


def one(name: str, **more: Any) -> dict[str, Any]:
    return {"flag_name": name, "environment": PRODUCTION, **more}


def batch(**more: Any) -> dict[str, Any]:
    return {"environment": PRODUCTION, **more}


def test_everything_that_can_be_asked(doors: Doors, ada: Person):
    fill(ada)
    found: list[str] = []
    for call in calls():
        found += doors.differences(ada, call)
    assert not found, "\n".join(found[:20])


def test_by_keys_of_every_kind(doors: Doors, ada: Person, client: TestClient):
    fill(ada)
    found: list[str] = []
    for number, scopes in enumerate(
        (
            {"actions": ["read"]},
            {"actions": ["write"]},
            {"actions": ["read", "read_secrets"]},
            {"actions": ["read"], "flags": ["web.*"]},
            {"actions": ["read"], "flags": ["needs"], "environments": [PRODUCTION]},
            {"actions": ["read"], "environments": ["staging"]},
            {"actions": ["read"], "services": ["other"]},
            {"actions": ["read"], "addresses": ["10.0.0.0/8"]},
        )
    ):
        made = create_key(ada, name=f"key {number}", scopes=scopes)
        key = Person(client, made["key"], made["id"], made["name"])
        for call in calls()[number % 4 :: 4]:
            found += doors.differences(key, call)
    for call in calls()[::9]:
        found += doors.differences(None, call)
    assert not found, "\n".join(found[:20])


def test_tags(doors: Doors, ada: Person, reader: Person):
    fill(ada)
    place = {"environment": PRODUCTION}
    found: list[str] = []
    for call in (Call(SNAPSHOT, place), Call(BULK, place, {"context": {"targetingKey": "ada"}})):
        etag = send(doors.front, reader, call).headers["etag"]
        for wanted in (etag, f"W/{etag}", f'"other", {etag}', "*", '"other"', ""):
            condition = Call(call.path, call.params, call.body, {"If-None-Match": wanted})
            found += doors.differences(reader, condition)
            expected = 304 if etag in wanted or wanted == "*" else 200
            assert send(doors.front, reader, condition).status_code == expected
    assert not found, "\n".join(found[:20])


def test_every_change_is_seen_at_once(doors: Doors, ada: Person, reader: Person):
    flags = fill(ada)

    def look() -> dict[str, Any]:
        place, asking = {"environment": PRODUCTION}, {"context": {"targetingKey": "ada"}}
        found: list[str] = []
        for call in (
            Call(SNAPSHOT, place),
            Call(BULK, place, asking),
            Call(BATCH, {}, batch(**asking)),
            Call(BATCH, {}, batch(config={"app_id": "billing"}, **asking)),
        ):
            found += doors.differences(reader, call)
        assert not found, "\n".join(found[:20])
        answer = send(doors.front, reader, Call(BATCH, {}, batch(**asking))).json()
        return {name: told["value"] for name, told in answer["evaluations"].items()}

    before = look()
    assert (before["plain"], before["staff"], before["needs"]) == (True, True, True)
    assert put(ada, flags["plain"], is_enabled=False).status_code == 200
    assert look()["plain"] is False
    segment = {"included": [], "excluded": ["ada"], "when": PRO}
    assert ada.request("PUT", f"{SEGMENTS}/staff", json=segment).status_code == 200
    after = look()
    assert (after["staff"], after["needs"]) == (False, False)
    assert ada.request("DELETE", f"{FLAGS}/{flags['needs']['id']}").status_code == 204
    assert "needs" not in look()
    make(ada, "fresh")
    assert look()["fresh"] is True
    renamed = ada.request("PATCH", "/environments/production", json={"name": "live"})
    assert renamed.status_code == 200
    assert not doors.differences(reader, Call(SNAPSHOT, {"environment": PRODUCTION}))
    answer = send(doors.front, reader, Call(SNAPSHOT, {"environment": "live"}))
    assert "fresh" in answer.json()["flags"]


def test_config_and_flags_do_not_touch_each_other(
    doors: Doors, ada: Person, reader: Person, statements: Any
):
    flag = make(ada)
    ada.update("billing", {"a": 1})
    config = Call("/config/billing")
    flags = Call(EVALUATE, {}, one("checkout"))
    for call in (config, flags):
        send(doors.front, reader, call)
    put(ada, flag, is_enabled=False)
    with statements() as sent:
        assert send(doors.front, reader, config).status_code == 200
    assert not sent
    assert send(doors.front, reader, flags).json()["enabled"] is False
    ada.update("billing", {"a": 2})
    with statements() as sent:
        assert send(doors.front, reader, flags).json()["enabled"] is False
        assert send(doors.front, reader, Call(BULK, {"environment": PRODUCTION}, {})).json()
    assert not sent


def test_a_client_is_told_no_more_than_it_needs(doors: Doors, ada: Person, client: TestClient):
    fill(ada)
    make(ada, "hidden", description="plans", owner="ada", target_users=["victim@example.org"])
    made = create_key(ada, name="web", scopes={"actions": ["read"], "flags": ["web.*", "needs"]})
    key = Person(client, made["key"], made["id"], made["name"])
    everything = send(doors.front, ada, Call(SNAPSHOT, {"environment": PRODUCTION}))
    assert "victim" not in everything.text
    assert "plans" not in everything.text
    answer = send(doors.front, key, Call(SNAPSHOT, {"environment": PRODUCTION})).json()
    assert set(answer["flags"]) == {"web.users", "web.half", "needs"}
    assert set(answer["prerequisites"]) == {"staff"}
    assert set(answer["segments"]) == {"staff"}
    assert '"ada"' not in str(answer)


@pytest.mark.parametrize("size", [70_000, 1_100_000])
def test_large_contexts(doors: Doors, ada: Person, size: int):
    make(ada)
    call = Call(EVALUATE, {}, one("checkout", context={"text": "x" * size}))
    assert not doors.differences(ada, call)
    assert send(doors.front, ada, call).status_code == (200 if size < 100_000 else 413)
    assert facts(send(doors.back, ada, call))["status"] == (200 if size < 100_000 else 413)
