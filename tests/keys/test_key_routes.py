"""Every route of keys: who may, what is there, what it answers."""

from datetime import datetime
from typing import Any

from fastapi.testclient import TestClient

from tests.client import Person, assert_problem
from tests.keys.calls import (
    BY_ID,
    CONFIGS,
    ITEMS,
    READS,
    WRITES,
    Call,
    delete,
    document,
    drop,
    head,
    item,
    key_of,
    kinds,
    label,
    make,
    put,
    roll_back,
    send,
    versions,
    write,
)

UNKNOWN = 2**53 - 1


def join(owner: Person, guest: Person, role: str) -> None:
    assert owner.post("/api/v1/workspaces", {"slug": "team"}).status_code == 201
    path = f"/api/v1/workspaces/team/members/{guest.username}"
    assert owner.request("PUT", path, json={"role": role}).status_code in {200, 201}


def make_in_team(person: Person) -> int:
    body = {"key": "timeout", "value": 30, "app_id": "billing"}
    answer = person.post(CONFIGS, body, params={"workspace": "team"})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_no_key_without_credentials(client: TestClient):
    for method, path, query, body in READS + WRITES:
        answer = client.request(method, path.format(id=1), params=query, json=body)
        assert_problem(answer, 401, "login_required")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_viewer_reads_keys_but_writes_none(ada: Person, bob: Person):
    join(ada, bob, "viewer")
    key_id = make_in_team(ada)
    before = head(ada, workspace="team")
    for call in READS:
        assert send(bob, call, key_id, workspace="team").status_code == 200, label(call)
    for call in WRITES:
        assert_problem(send(bob, call, key_id, workspace="team"), 403, "not_allowed")
    assert head(ada, workspace="team") == before


def test_an_editor_writes_keys(ada: Person, bob: Person):
    join(ada, bob, "editor")
    key_id = make_in_team(ada)
    for call in WRITES[:-1]:
        answer = send(bob, call, key_id, workspace="team")
        assert answer.status_code in {200, 201, 204}, (label(call), answer.text)
    assert_problem(bob.get(f"{CONFIGS}/{key_id}", workspace="team"), 404, "key_not_found")


def test_keys_of_a_foreign_workspace_are_not_there(ada: Person, bob: Person):
    key_id = make(ada)["id"]
    for call in READS + WRITES:
        assert_problem(send(bob, call, key_id, workspace="ada"), 404, "workspace_not_found")
    assert ada.get(f"{CONFIGS}/{key_id}").json()["version"] == 1


def not_found(person: Person, call: Call, key_id: int) -> dict[str, Any]:
    """Return what a caller is told of a missing key, but for the ids."""
    answer = send(person, call, key_id)
    problem = assert_problem(answer, 404, "key_not_found")
    for name in ("request_id", "instance"):
        problem.pop(name)
    problem["detail"] = problem["detail"].replace(str(key_id), "N")
    problem["headers"] = sorted(answer.headers)
    return problem


def test_a_foreign_id_answers_as_an_unknown_one(ada: Person, bob: Person):
    key_id = make(ada)["id"]
    for call in BY_ID:
        foreign = not_found(bob, call, key_id)
        assert foreign == not_found(bob, call, UNKNOWN), label(call)
        assert "'bob'" in foreign["detail"]
    assert ada.get(f"{CONFIGS}/{key_id}").json()["version"] == 1


def test_what_is_no_id_is_refused(ada: Person):
    make(ada)
    for call in BY_ID:
        for key_id in (0, -1, 2**53, "x", "1.5"):
            answer = send(ada, call, key_id)  # type: ignore[arg-type]
            assert answer.status_code in {404, 422}, (label(call), key_id, answer.text)
    assert head(ada) == 1


def test_an_id_of_a_document_is_not_one_of_a_key(ada: Person):
    for number in range(5):
        ada.update(f"s{number}", {})
    config_id = ada.get("/config/get", service="s4").json()["id"]
    for call in BY_ID:
        assert_problem(send(ada, call, config_id), 404, "key_not_found")


def test_a_key_says_everything(ada: Person):
    body = {
        "key": "db.timeout",
        "value": 30,
        "app_id": "billing",
        "environment": "production",
        "description": "seconds",
        "message": "first",
    }
    answer = ada.post(CONFIGS, body)
    made = answer.json()
    assert answer.status_code == 201
    assert made == {
        "id": made["id"],
        "key": "db.timeout",
        "value": 30,
        "value_type": "number",
        "description": "seconds",
        "is_encrypted": False,
        "is_active": True,
        "app_id": "billing",
        "environment": "production",
        "version": 1,
        "revision": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "created_by": "ada",
        "updated_by": "ada",
    }
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None
    got = ada.get(f"{CONFIGS}/{made['id']}")
    assert got.json() == made
    assert got.headers["etag"] == answer.headers["etag"]
    assert versions(ada, made["id"])[0]["change_description"] == "first"
    assert document(ada, environment="production") == {"db.timeout": 30}


def test_the_same_name_at_four_levels_is_four_keys(ada: Person):
    levels = [(None, None), (None, "staging"), ("billing", None), ("billing", "staging")]
    for app_id, environment in levels:
        made = make(ada, app_id=app_id, environment=environment)
        assert (made["app_id"], made["environment"]) == (app_id, environment)
        params = {"environment": environment} if environment else {}
        assert document(ada, app_id or "_global", **params) == {"timeout": 30}
        body = {"key": "timeout", "value": 1, "environment": environment}
        again = ada.post(CONFIGS, {**body, "app_id": app_id or "_global"})
        assert assert_problem(again, 409, "key_exists")["id"] == made["id"]
    assert [key["version"] for key in ada.get(CONFIGS).json()["configs"]] == [1, 1, 1, 1]


def test_creating_what_exists_is_a_conflict_and_writes_nothing(ada: Person):
    made = make(ada)
    before = head(ada)
    for path, place in ((CONFIGS, {"app_id": "billing"}), (ITEMS, {"service_name": "billing"})):
        for value in (30, 31):
            answer = ada.post(path, {"key": "timeout", "value": value, **place})
            problem = assert_problem(answer, 409, "key_exists")
            assert problem["id"] == made["id"]
            assert "'timeout'" in problem["detail"]
    assert head(ada) == before


def test_an_unknown_environment_takes_no_key(ada: Person):
    for path, place in ((CONFIGS, {"app_id": "new"}), (ITEMS, {"service_name": "new"})):
        answer = ada.post(path, {"key": "a", "value": 1, "environment": "nowhere", **place})
        problem = assert_problem(answer, 422, "unknown_environment")
        assert "'nowhere'" in problem["detail"]
        assert "'ada'" in problem["detail"]
    assert ada.get(CONFIGS).json()["total"] == 0
    assert head(ada) == 0


BAD_CREATIONS: dict[str, dict[str, Any]] = {
    "no key": {"value": 1},
    "no value": {"key": "a"},
    "key null": {"key": None, "value": 1},
    "key a number": {"key": 1, "value": 1},
    "unknown member": {"key": "a", "value": 1, "vlaue": 2},
    "id": {"key": "a", "value": 1, "id": 7},
    "version": {"key": "a", "value": 1, "version": 7},
    "created_by": {"key": "a", "value": 1, "created_by": "root"},
    "workspace_id": {"key": "a", "value": 1, "workspace_id": 1},
    "type unknown": {"key": "a", "value": 1, "value_type": "integer"},
    "description null": {"key": "a", "value": 1, "description": None},
    "description a number": {"key": "a", "value": 1, "description": 5},
    "description long": {"key": "a", "value": 1, "description": "d" * 2001},
    "message long": {"key": "a", "value": 1, "message": "m" * 1001},
    "is_encrypted null": {"key": "a", "value": 1, "is_encrypted": None},
    "app_id bad": {"key": "a", "value": 1, "app_id": "../x"},
    "app_id a verb": {"key": "a", "value": 1, "app_id": "list"},
    "environment empty": {"key": "a", "value": 1, "environment": ""},
}


def test_a_bad_creation_is_refused(ada: Person):
    for case, body in BAD_CREATIONS.items():
        answer = ada.post(CONFIGS, {"app_id": "billing", **body})
        assert answer.status_code == 422, case
        problem = assert_problem(answer, 422, "validation_error")
        assert all(set(error) == {"loc", "msg"} for error in problem["errors"])
    assert ada.get(CONFIGS).json()["total"] == 0


def test_a_refusal_does_not_repeat_the_value(ada: Person):
    made = make(ada)
    for body in ({"value": "canary-1", "x": 1}, {"value": "canary-1", "value_type": "number"}):
        assert "canary" not in put(ada, made["id"], body).text
    both = {"key": "a", "value": "canary-1", "app_id": "billing", "is_encrypted": "canary-2"}
    refused = ada.post(CONFIGS, both)
    assert refused.status_code == 422
    assert "canary" not in refused.text


def test_a_broken_body_changes_no_key(ada: Person):
    made = make(ada)
    headers = {"Content-Type": "application/json"}
    path = f"{CONFIGS}/{made['id']}"
    for value in (b"1,", b'1,"value":2', b"NaN", b"1e999", b'"\\u0000"', b"[" * 70 + b"]" * 70):
        body = b'{"value":%s}' % value
        answer = ada.request("PUT", path, content=body, headers=headers)
        assert_problem(answer, 422, "invalid_json")
    assert ada.get(path).json() == made


def test_unknown_query_parameters_are_refused(ada: Person):
    key_id = make(ada)["id"]
    for call in READS + WRITES:
        assert_problem(send(ada, call, key_id, nonsense=1), 422, "unknown_parameter")
    assert head(ada) == 1


def test_an_update_changes_what_it_names(ada: Person):
    made = make(ada, description="seconds")
    changed = write(ada, made["id"], value=60, message="slow network")
    assert (changed["value"], changed["version"], changed["revision"]) == (60, 2, 2)
    assert (changed["id"], changed["description"]) == (made["id"], "seconds")
    assert changed["created_at"] == made["created_at"]
    assert changed["updated_at"] > made["updated_at"]
    described = write(ada, made["id"], description="")
    assert (described["value"], described["description"], described["version"]) == (60, "", 3)
    assert ada.get(f"{CONFIGS}/{made['id']}").json() == described
    assert [v["change_description"] for v in versions(ada, made["id"])] == [
        None,
        "slow network",
        None,
    ]


def test_an_update_that_says_nothing_new_changes_nothing(ada: Person):
    made = make(ada, value={"a": 1, "b": [1.0]}, description="d")
    for body in (
        {},
        {"value": {"b": [1.0], "a": 1}},
        {"description": "d"},
        {"is_active": True},
        {"is_encrypted": False},
        {"value_type": "json"},
        {"message": "nothing"},
    ):
        assert write(ada, made["id"], **body) == made, body
    assert head(ada) == 1


def test_a_deleted_key_is_gone_and_its_history_stays(ada: Person):
    made = make(ada)
    make(ada, "other", 1)
    drop(ada, made["id"])
    for answer in (
        ada.get(f"{CONFIGS}/{made['id']}"),
        put(ada, made["id"], {"value": 1}),
        delete(ada, made["id"]),
        ada.request("PUT", f"{ITEMS}/{made['id']}", json={"value": 1}),
        item(ada, "timeout"),
    ):
        assert_problem(answer, 404, "key_not_found")
    assert [key["key"] for key in ada.get(CONFIGS).json()["configs"]] == ["other"]
    assert kinds(ada, made["id"]) == ["created", "deleted"]
    last = versions(ada, made["id"])[-1]
    assert (last["value"], last["version"], last["config_id"]) == (None, 2, made["id"])
    assert document(ada) == {"other": 1}


def test_deleting_the_last_key_leaves_an_empty_document(ada: Person):
    drop(ada, make(ada)["id"])
    assert document(ada) == {}


def test_versions_come_newest_first_in_pages(ada: Person):
    made = make(ada, value=0)
    for number in range(1, 5):
        write(ada, made["id"], value=number)
    path = f"/api/v1/versions/config/{made['id']}"
    whole = ada.get(path).json()
    assert (whole["total"], whole["page"]) == (5, 1)
    assert [v["version"] for v in whole["versions"]] == [5, 4, 3, 2, 1]
    assert [v["value"] for v in whole["versions"]] == [4, 3, 2, 1, 0]
    second = ada.get(path, page=2, page_size=2).json()
    assert [v["version"] for v in second["versions"]] == [3, 2]
    assert (second["total"], second["page"], second["page_size"]) == (5, 2, 2)
    seen, cursor = [], {}
    for _ in range(6):
        page = ada.get(path, limit=2, **cursor).json()
        seen += [v["version"] for v in page["versions"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [5, 4, 3, 2, 1]
    assert ada.get(path, page=9).json()["versions"] == []


def test_a_version_says_what_happened(ada: Person):
    made = make(ada, value=1)
    write(ada, made["id"], value="x", message="as text")
    newest = versions(ada, made["id"])[-1]
    assert newest == {
        "id": newest["id"],
        "config_id": made["id"],
        "version": 2,
        "revision": 2,
        "value": "x",
        "value_type": "string",
        "change_type": "updated",
        "change_description": "as text",
        "changed_by": "ada",
        "changed_at": newest["changed_at"],
        "is_rollback": False,
        "rollback_from_version": None,
    }


def test_a_rollback_is_a_new_version(ada: Person):
    made = make(ada, value=1, description="d")
    write(ada, made["id"], value="x")
    write(ada, made["id"], value=None)
    answer = roll_back(ada, made["id"], 1, rollback_reason="wrong")
    back = answer.json()
    assert answer.status_code == 200
    assert (back["value"], back["value_type"], back["version"]) == (1, "number", 4)
    assert (back["id"], back["description"]) == (made["id"], "d")
    newest = versions(ada, made["id"])[-1]
    assert newest["change_type"] == "rollback"
    assert newest["change_description"] == "wrong"
    assert (newest["is_rollback"], newest["rollback_from_version"]) == (True, 3)
    assert document(ada) == {"timeout": 1}


def test_a_rollback_to_the_same_value_is_recorded(ada: Person):
    made = make(ada)
    assert roll_back(ada, made["id"], 1).json()["version"] == 2
    assert kinds(ada, made["id"]) == ["created", "rollback"]


def test_a_rollback_brings_a_deleted_key_back(ada: Person):
    made = make(ada, value="old")
    drop(ada, made["id"])
    back = roll_back(ada, made["id"], 1).json()
    assert (back["id"], back["version"], back["value"]) == (made["id"], 3, "old")
    assert kinds(ada, made["id"]) == ["created", "deleted", "rollback"]
    assert key_of(ada, "timeout") == back
    assert document(ada) == {"timeout": "old"}


def test_a_rollback_brings_a_key_of_a_deleted_document_back(ada: Person):
    made = make(ada)
    make(ada, "other", 1)
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    assert roll_back(ada, made["id"], 1).json()["version"] == 3
    assert document(ada) == {"timeout": 30}


def test_a_rollback_needs_a_version_with_a_value(ada: Person):
    made = make(ada)
    other = make(ada, "other", 1)
    for number in range(4):
        write(ada, other["id"], value=f"v{number}")
    drop(ada, made["id"])
    before = head(ada)
    assert_problem(roll_back(ada, made["id"], 2), 409, "version_empty")
    for number in (3, 5, UNKNOWN):
        assert_problem(roll_back(ada, made["id"], number), 404, "version_not_found")
    for number in (0, -1, "1", None, 2**53, 1.5):
        assert_problem(roll_back(ada, made["id"], number), 422, "validation_error")  # type: ignore[arg-type]
    assert_problem(roll_back(ada, made["id"], 1, reason="x"), 422, "validation_error")
    assert head(ada) == before


def test_a_final_slash_is_the_same_path(ada: Person, client: TestClient):
    client.follow_redirects = False
    made = make(ada)
    for number, path in enumerate((CONFIGS, ITEMS)):
        assert ada.get(f"{path}/").json() == ada.get(path).json()
        answer = ada.request("PUT", f"{path}/{made['id']}/", json={"value": number})
        assert (answer.status_code, answer.json()["version"]) == (200, number + 2)


def test_a_key_is_not_sent_again(ada: Person):
    made = make(ada)
    path = f"{CONFIGS}/{made['id']}"
    tag = ada.get(path).headers["etag"]
    same = ada.request("GET", path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    write(ada, made["id"], description="new")
    fresh = ada.request("GET", path, headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["description"]) == (200, "new")


def test_a_creation_sent_twice_happens_once(ada: Person):
    headers = {"Idempotency-Key": "once"}
    for path, place in ((CONFIGS, {"app_id": "billing"}), (ITEMS, {"service_name": "billing"})):
        body = {"key": path, "value": 1, **place}
        first = ada.post(path, body, headers=headers)
        again = ada.post(path, body, headers=headers)
        assert first.status_code == again.status_code == 201
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()
        other = ada.post(path, {**body, "value": 2}, headers=headers)
        assert_problem(other, 422, "idempotency_key_reused")
    assert head(ada) == 2


def test_a_rollback_sent_twice_happens_once(ada: Person):
    made = make(ada)
    path = f"/api/v1/versions/rollback/{made['id']}"
    for _ in range(2):
        answer = ada.post(path, {"target_version": 1}, headers={"Idempotency-Key": "k"})
        assert answer.json()["version"] == 2
    assert head(ada) == 2
