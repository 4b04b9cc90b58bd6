"""API keys and protected environments, at every route of keys."""

from typing import Any

from tests.client import Person, assert_problem, program
from tests.keys.calls import (
    BY_ID,
    CONFIGS,
    ITEMS,
    READS,
    WRITES,
    change,
    delete,
    document,
    drop,
    fetch,
    head,
    item,
    label,
    make,
    put,
    roll_back,
    send,
    write,
)

READ, WRITE = ["read"], ["write"]


def test_a_reader_reads_and_writes_nothing(ada: Person):
    made = make(ada)
    reader = program(ada, actions=READ)
    for call in READS:
        assert send(reader, call, made["id"]).status_code == 200, label(call)
    for call in WRITES:
        assert_problem(send(reader, call, made["id"]), 403, "not_allowed")
    assert head(ada) == 1


def test_a_writer_reads_nothing(ada: Person):
    made = make(ada)
    writer = program(ada, actions=WRITE)
    for call in READS:
        assert_problem(send(writer, call, made["id"]), 403, "not_allowed")


def test_no_write_shows_a_value_to_a_writer(ada: Person):
    made = make(ada, value="canary")
    ada.update("billing", {"timeout": "canary2", "other": "canary"})
    writer = program(ada, actions=WRITE)
    key_id, set_other = made["id"], {"service": "billing", "key": "other", "op": "set"}
    versions = ada.version_ids("billing")
    answers = [
        put(writer, key_id, {"description": "d"}),
        put(writer, key_id, {}),
        put(writer, key_id, {"is_active": False}),
        put(writer, key_id, {"is_active": True}),
        writer.request("PUT", f"{ITEMS}/{key_id}", json={"description": "e"}),
        roll_back(writer, key_id, 1),
        change(writer, {**set_other, "value": "canary"}),
        change(writer, {**set_other, "op": "unset"}),
        writer.post(CONFIGS, {"key": "a", "value": "canary", "app_id": "billing"}),
        writer.post(ITEMS, {"key": "b", "value": "canary", "service_name": "billing"}),
        writer.update("billing", {"timeout": "canary"}),
        writer.post("/config/billing", {"config": {"timeout": "canary", "x": 1}}),
        writer.post("/config/rollback", params={"service": "billing", "version_id": versions[0]}),
        writer.post("/config/billing/rollback", {"version": 2}),
        writer.request("PUT", "/configs/billing", json={"data": {"x": "canary"}}),
        writer.request("DELETE", "/config/delete", params={"service": "billing"}),
        writer.post("/config/restore", params={"service": "billing"}),
        roll_back(writer, key_id, 1),
    ]
    for answer in answers:
        assert answer.status_code in {200, 201}, (str(answer.request.url), answer.text)
        assert "canary" not in answer.text, str(answer.request.url)
        body = answer.json()
        for one in body.get("changes", [body]):
            assert one.get("value") is None
    refused = [
        put(writer, key_id, {"value_type": "number"}),
        writer.post(CONFIGS, {"key": "timeout", "value": 1, "app_id": "billing"}),
        put(writer, key_id, {"value": 1, "expected_version": 99}),
        writer.request("PATCH", "/config/billing", json={"x": 1}),
        writer.post("/config/billing/merge", {"base_version": 1, "config": {}}),
    ]
    for answer, status in zip(refused, (422, 409, 412, 403, 403), strict=True):
        assert answer.status_code == status, answer.text
        assert "canary" not in answer.text
    assert delete(writer, key_id).status_code == 204


def test_patching_needs_the_right_to_read(ada: Person):
    ada.update("billing", {"a": 1})
    writer = program(ada, actions=WRITE)
    for kind in ("merge-patch", "json-patch"):
        headers = {"Content-Type": f"application/{kind}+json"}
        body: Any = {"a": 2} if kind == "merge-patch" else [{"op": "remove", "path": "/a"}]
        answer = writer.request("PATCH", "/config/billing", json=body, headers=headers)
        assert_problem(answer, 403, "not_allowed")
    assert document(ada) == {"a": 1}


def test_a_replay_shows_no_value_either(ada: Person):
    writer = program(ada, actions=WRITE)
    body = {"key": "a", "value": "canary", "app_id": "billing"}
    for _ in range(2):
        answer = writer.post(CONFIGS, body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 201
        assert "canary" not in answer.text


def test_services_outside_the_scope(ada: Person):
    inside, outside = make(ada), make(ada, app_id="secret")
    shared = make(ada, "shared", 1, app_id=None)
    key = program(ada, actions=[*READ, *WRITE], services=["bill*"])
    for key_id in (outside["id"], shared["id"]):
        for call in BY_ID:
            assert_problem(send(key, call, key_id), 404, "key_not_found")
    for answer in (
        key.post(CONFIGS, {"key": "a", "value": 1, "app_id": "secret"}),
        key.post(CONFIGS, {"key": "a", "value": 1}),
        key.post(ITEMS, {"key": "a", "value": 1, "service_name": "secret"}),
        item(key, "timeout", service_name="secret"),
        fetch(key, "secret"),
        fetch(key, "_global"),
        change(
            key,
            {"service": "billing", "key": "a", "op": "set", "value": 1},
            {"service": "secret", "key": "a", "op": "set", "value": 1},
        ),
        change(key, {"key": "a", "op": "set", "value": 1}),
    ):
        assert_problem(answer, 403, "outside_scope")
    assert head(ada) == 3
    listed = key.get(CONFIGS).json()
    assert ([one["id"] for one in listed["configs"]], listed["total"]) == ([inside["id"]], 1)
    items = key.get(ITEMS).json()
    assert ([one["id"] for one in items["configurations"]], items["total"]) == ([inside["id"]], 1)
    for params in ({"q": "shared"}, {"app_id": "secret"}, {"prefix": "s"}, {"app_id": "_global"}):
        assert key.get(CONFIGS, **params).json()["total"] == 0
    assert fetch(key).json()["configs"] == {"timeout": 30, "shared": 1}


def test_environments_outside_the_scope(ada: Person):
    staging = make(ada, environment="staging")
    everywhere = make(ada)
    key = program(ada, actions=[*READ, *WRITE], environments=["stag*"])
    for call in BY_ID:
        assert_problem(send(key, call, everywhere["id"]), 404, "key_not_found")
    for answer in (
        item(key, "timeout"),
        fetch(key, environment="production"),
        fetch(key),
        key.post(CONFIGS, {"key": "a", "value": 1, "app_id": "billing"}),
    ):
        assert_problem(answer, 403, "outside_scope")
    assert [one["id"] for one in key.get(CONFIGS).json()["configs"]] == [staging["id"]]
    assert write(key, staging["id"], value=1)["version"] == 2
    drop(key, staging["id"])
    assert roll_back(key, staging["id"], 1).status_code == 200


def team(ada: Person, bob: Person, role: str) -> int:
    """Protect production of a workspace that bob belongs to; return a key there."""
    workspace = {"params": {"workspace": "team"}}
    ada.post("/api/v1/workspaces", {"slug": "team"})
    ada.request("PUT", f"/api/v1/workspaces/team/members/{bob.username}", json={"role": role})
    body = {"protected": True}
    assert ada.request("PATCH", "/environments/production", json=body, **workspace).is_success
    body = {"key": "timeout", "value": 1, "app_id": "billing", "environment": "production"}
    return int(ada.post(CONFIGS, body, **workspace).json()["id"])


def protected_writes(person: Person, key_id: int) -> list[Any]:
    workspace = {"params": {"workspace": "team"}}
    place = {"environment": "production"}
    entry = {"service": "billing", "key": "c", "op": "set", "value": 1}
    path = f"/api/v1/versions/rollback/{key_id}"
    return [
        person.post(CONFIGS, {"key": "a", "value": 1, "app_id": "billing", **place}, **workspace),
        person.post(ITEMS, {"key": "b", "value": 1, "service_name": "new", **place}, **workspace),
        person.post(CONFIGS, {"key": "g", "value": 1, **place}, **workspace),
        put(person, key_id, {"value": 2}, **workspace),
        put(person, key_id, {"description": "d"}, **workspace),
        put(person, key_id, {"is_active": False}, **workspace),
        person.request("PUT", f"{ITEMS}/{key_id}", json={"value": 3}, **workspace),
        person.post(path, {"target_version": 1}, **workspace),
        person.post("/api/v1/changes", {"changes": [entry, {**entry, **place}]}, **workspace),
        delete(person, key_id, **workspace),
    ]


def test_an_editor_does_not_touch_a_protected_environment(ada: Person, bob: Person):
    key_id = team(ada, bob, "editor")
    before = head(ada, workspace="team")
    for answer in protected_writes(bob, key_id):
        problem = assert_problem(answer, 403, "protected_environment")
        assert "'production'" in problem["detail"]
    answer = bob.request("DELETE", f"{ITEMS}/{key_id}", params={"workspace": "team"})
    assert_problem(answer, 403, "protected_environment")
    assert head(ada, workspace="team") == before
    made = bob.post(
        CONFIGS,
        {"key": "a", "value": 1, "app_id": "billing", "environment": "staging"},
        params={"workspace": "team"},
    )
    assert made.status_code == 201


def test_an_admin_publishes(ada: Person, bob: Person):
    key_id = team(ada, bob, "admin")
    for answer in protected_writes(bob, key_id):
        assert answer.status_code in {200, 201, 204}, answer.text


def test_an_api_key_publishes_with_the_action(ada: Person, bob: Person):
    key_id = team(ada, bob, "viewer")
    writer = program(ada, workspace="team", actions=[*READ, *WRITE])
    assert_problem(put(writer, key_id, {"value": 2}), 403, "protected_environment")
    publisher = program(ada, workspace="team", actions=[*READ, *WRITE, "publish"])
    assert put(publisher, key_id, {"value": 2}).status_code == 200
