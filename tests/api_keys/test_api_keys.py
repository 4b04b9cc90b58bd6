"""API keys: how far each reaches, how it is shown, rotated, and ended."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from sqlalchemy import text, update

from app.auth.deps import key_digest
from app.core import db
from app.core.settings import Settings
from app.models import ApiKey, Base
from app.outbox.recorder import recorder
from app.workspaces.deps import open_access
from app.workspaces.errors import OutsideScope
from app.workspaces.permissions import Permission
from tests.client import Person, assert_problem, create_key, program
from tests.conftest import QueryRecorder, environment

URL = "/api/v1/api-keys"
BOOTSTRAP = "bootstrap-key-0123456789-abcdefghijkl"
ALL = ["read", "read_secrets", "write", "publish", "admin", "metrics"]


def listed(person: Person) -> list[dict[str, Any]]:
    answer = person.get(URL)
    assert answer.status_code == 200, answer.text
    return answer.json()["api_keys"]


def use(client: TestClient, key: str):
    """Call with a key where reading is enough."""
    return client.get("/api/v1/workspaces", headers={"X-API-Key": key})


def rotate(person: Person, key_id: int, **body: Any):
    return person.post(f"{URL}/{key_id}/rotate", body)


def set_key(key_id: int, **values: Any) -> None:
    with db.transaction() as session:
        session.execute(update(ApiKey).where(ApiKey.id == key_id).values(**values))


def past(interval: str):
    return text(f"now() - interval '{interval}'")


# Creating, listing, ending


def test_a_key_is_shown_once(client: TestClient, ada: Person):
    made = create_key(ada, name="billing")
    key = made.pop("key")
    assert made == {
        "id": made["id"],
        "name": "billing",
        "prefix": made["prefix"],
        "scopes": {
            "actions": ["read"],
            "services": ["*"],
            "environments": ["*"],
            "flags": ["*"],
            "addresses": [],
        },
        "expires_at": None,
        "expired": False,
        "last_used_at": None,
        "created_at": made["created_at"],
        "created_by": "ada",
    }
    assert re.fullmatch(r"cs_[0-9a-f]{8}_[\w-]{43}", key)
    assert key.startswith(made["prefix"])
    assert listed(ada) == [made]
    assert ada.get(f"{URL}/{made['id']}").json() == made
    assert use(client, key).status_code == 200


def test_only_the_digest_is_stored(client: TestClient, ada: Person, settings: Settings):
    headers = {"Idempotency-Key": "one"}
    made = ada.post(URL, {"name": "a key"}, headers=headers).json()
    rotated = ada.post(f"{URL}/{made['id']}/rotate", {}, headers=headers).json()
    assert use(client, rotated["key"]).status_code == 200
    recorder.flush()
    with db.transaction() as session:
        rows = "".join(
            str(row)
            for table in Base.metadata.sorted_tables
            for row in session.execute(text(f'SELECT t::text FROM "{table.name}" t')).scalars()
        )
        kept = b"".join(session.execute(text("SELECT body FROM idempotency_keys")).scalars())
    for key in (made["key"], rotated["key"]):
        secret = key.rpartition("_")[2] if key.count("_") == 2 else key[12:]
        assert hashlib.sha256(key.encode()).hexdigest() in rows
        assert secret not in rows
        assert secret.encode() not in bytes(kept)
        assert secret not in ada.get("/api/v1/audit").text


def test_a_replay_does_not_show_the_key_again(ada: Person):
    headers = {"Idempotency-Key": "one"}
    first = ada.post(URL, {"name": "a key"}, headers=headers)
    again = ada.post(URL, {"name": "a key"}, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json()["key"]
    assert (again.status_code, again.json()) == (201, {**first.json(), "key": None})
    assert len(listed(ada)) == 1
    path = f"{URL}/{first.json()['id']}/rotate"
    first = ada.post(path, {}, headers=headers)
    again = ada.post(path, {}, headers=headers)
    assert again.json() == {**first.json(), "key": None}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 101},
        {"name": None},
        {"name": "k", "key": "mine"},
        {"name": "k", "scopes": None},
        {"name": "k", "scopes": {"actions": []}},
        {"name": "k", "scopes": {"actions": ["fly"]}},
        {"name": "k", "scopes": {"services": ["a b"]}},
        {"name": "k", "scopes": {"services": [None]}},
        {"name": "k", "scopes": {"services": ["a"] * 51}},
        {"name": "k", "scopes": {"environments": []}},
        {"name": "k", "scopes": {"environments": ["*****"]}},
        {"name": "k", "scopes": {"addresses": ["here"]}},
        {"name": "k", "scopes": {"addresses": [f"10.0.0.{n}" for n in range(51)]}},
        {"name": "k", "scopes": {"rights": ["read"]}},
        {"name": "k", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "k", "expires_at": "2999-01-01T00:00:00"},
        {"name": "k", "expires_at": "9999-12-31T23:59:59-12:00"},
        {"name": "k", "expires_at": "soon"},
    ],
    ids=lambda body: repr(body)[:60],
)
def test_a_key_that_is_none(ada: Person, body: dict[str, Any]):
    assert_problem(ada.post(URL, body), 422, "validation_error")
    assert listed(ada) == []


def test_scopes_are_kept_in_order_and_once(ada: Person):
    scopes = {
        "actions": ["write", "read", "write"],
        "services": ["billing", "a*", "billing"],
        "environments": ["production"],
        "addresses": ["10.1.2.3/8", "::1", "10.0.0.0/8"],
    }
    assert create_key(ada, scopes=scopes)["scopes"] == {
        "actions": ["write", "read"],
        "services": ["billing", "a*"],
        "environments": ["production"],
        "flags": ["*"],
        "addresses": ["10.0.0.0/8", "::1/128"],
    }


def test_keys_have_pages_and_cost_the_same(ada: Person, query_recorder: QueryRecorder):
    with query_recorder() as none:
        assert listed(ada) == []
    made = [create_key(ada, name=f"key {number}")["id"] for number in range(5)]
    with query_recorder() as many:
        assert [one["id"] for one in listed(ada)] == made
    assert len(none) == len(many) <= 6
    first = ada.get(URL, limit=3).json()
    rest = ada.get(URL, limit=3, cursor=first["next_cursor"]).json()
    assert [one["id"] for page in (first, rest) for one in page["api_keys"]] == made
    assert rest["next_cursor"] is None
    assert_problem(ada.get(URL, cursor="x"), 422, "invalid_cursor")


def test_a_revoked_key_is_refused_at_once(client: TestClient, ada: Person):
    made = create_key(ada)
    rotated = rotate(ada, made["id"]).json()["key"]
    gone = ada.request("DELETE", f"{URL}/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for key in (made["key"], rotated):
        answer = use(client, key)
        assert_problem(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert listed(ada) == []
    for answer in (
        ada.get(f"{URL}/{made['id']}"),
        rotate(ada, made["id"]),
        ada.request("DELETE", f"{URL}/{made['id']}"),
    ):
        assert_problem(answer, 404, "api_key_not_found")


def test_an_expired_key_is_refused_but_listed(client: TestClient, ada: Person):
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = create_key(ada, expires_at=ends)
    assert datetime.fromisoformat(made["expires_at"]) == datetime.fromisoformat(ends)
    assert use(client, made["key"]).status_code == 200
    set_key(made["id"], expires_at=past("1 second"))
    answer = use(client, made["key"])
    assert_problem(answer, 401, "api_key_expired")
    assert "www-authenticate" in answer.headers
    assert [one["expired"] for one in listed(ada)] == [True]


def test_keys_of_others_are_not_there(client: TestClient, ada: Person, bob: Person):
    key_id = create_key(bob)["id"]
    for method, path in (
        ("GET", f"{URL}/{key_id}"),
        ("DELETE", f"{URL}/{key_id}"),
        ("POST", f"{URL}/{key_id}/rotate"),
        ("GET", f"{URL}/999999"),
    ):
        assert_problem(ada.request(method, path), 404, "api_key_not_found")
        assert_problem(client.request(method, path), 401, "login_required")
        answer = ada.request(method, path, params={"workspace": "bob"})
        assert_problem(answer, 404, "workspace_not_found")
    assert_problem(client.post(URL, json={"name": "k"}), 401, "login_required")
    assert_problem(client.get(URL), 401, "login_required")
    assert listed(ada) == []
    assert_problem(ada.get(f"{URL}/x"), 422, "validation_error")


@pytest.mark.parametrize(("role", "may"), [("viewer", 403), ("editor", 403), ("admin", 201)])
def test_keys_are_for_admins_of_the_workspace(ada: Person, bob: Person, role: str, may: int):
    put = ada.request("PUT", "/api/v1/workspaces/ada/members/bob", json={"role": role})
    assert put.status_code == 200
    answer = bob.post(f"{URL}?workspace=ada", {"name": "k"})
    assert answer.status_code == may
    if may == 403:
        assert_problem(answer, 403, "not_allowed")
        assert_problem(bob.get(URL, workspace="ada"), 403, "not_allowed")
    else:
        assert listed(ada)[0]["created_by"] == "bob"


# Showing a key


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer {}",
        "Authorization: ApiKey {}",
        "authorization: apikey  {} ",
        "X-API-Key: {}",
    ],
)
def test_ways_to_show_a_key(client: TestClient, ada: Person, header: str):
    name, _, value = header.format(create_key(ada)["key"]).partition(": ")
    answer = client.get("/api/v1/workspaces", headers={name: value})
    assert [one["slug"] for one in answer.json()["workspaces"]] == ["ada"]


@pytest.mark.parametrize("key", ["cs_", "cs_00000000_x", "nothing", "x" * 5000])
def test_a_key_that_nobody_made(client: TestClient, ada: Person, key: str):
    create_key(ada)
    for headers in ({"X-API-Key": key}, {"Authorization": f"ApiKey {key}"}):
        answer = client.get("/api/v1/workspaces", headers=headers)
        assert_problem(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_with_one_letter_changed_is_none(client: TestClient, ada: Person):
    key = create_key(ada)["key"]
    assert_problem(use(client, key[:-1] + ("a" if key[-1] != "a" else "b")), 401, "invalid_api_key")
    assert_problem(use(client, key.upper()), 401, "invalid_api_key")


def test_a_key_has_no_account(ada: Person):
    key = program(ada, actions=ALL)
    for method, path in (("GET", "/auth/me"), ("POST", "/auth/logout"), ("GET", "/auth/users")):
        assert_problem(key.request(method, path), 403, "users_only")


def test_a_key_stays_in_its_workspace(ada: Person, bob: Person):
    key = program(ada, actions=ALL)
    assert key.get(URL, workspace="ada").status_code == 200
    for slug in ("bob", "default", "nothing"):
        assert_problem(key.get(URL, workspace=slug), 404, "workspace_not_found")


def test_the_last_use_is_noted(client: TestClient, ada: Person):
    made = create_key(ada)
    before = datetime.now(UTC) - timedelta(seconds=5)
    use(client, made["key"])
    recorder.flush()
    [key] = listed(ada)
    assert before < datetime.fromisoformat(key["last_used_at"]) < datetime.now(UTC)


# Rotating


def test_both_texts_work_during_the_overlap(client: TestClient, ada: Person):
    made = create_key(ada, scopes={"services": ["billing"]})
    rotated = rotate(ada, made["id"])
    assert rotated.status_code == 200
    now = rotated.json()
    assert now["key"] != made["key"]
    assert now["key"].startswith(now["prefix"])
    assert now["prefix"] != made["prefix"]
    assert now == {**made, "key": now["key"], "prefix": now["prefix"]}
    for key in (made["key"], now["key"]):
        assert use(client, key).status_code == 200
    set_key(made["id"], previous_until=past("1 second"))
    assert_problem(use(client, made["key"]), 401, "invalid_api_key")
    assert use(client, now["key"]).status_code == 200


def test_without_an_overlap_the_old_text_ends_at_once(client: TestClient, ada: Person):
    made = create_key(ada)
    now = rotate(ada, made["id"], overlap_seconds=0).json()["key"]
    assert_problem(use(client, made["key"]), 401, "invalid_api_key")
    assert use(client, now).status_code == 200


def test_a_second_rotation_ends_the_oldest_text(client: TestClient, ada: Person):
    made = create_key(ada)
    second = rotate(ada, made["id"]).json()["key"]
    third = rotate(ada, made["id"], overlap_seconds=604_800).json()["key"]
    assert_problem(use(client, made["key"]), 401, "invalid_api_key")
    assert [use(client, key).status_code for key in (second, third)] == [200, 200]
    fourth = rotate(ada, made["id"], overlap_seconds=0).json()["key"]
    assert [use(client, key).status_code for key in (second, third, fourth)] == [401, 401, 200]


@pytest.mark.parametrize("seconds", [-1, 604_801, "soon", None, 1.5])
def test_overlaps_that_are_none(client: TestClient, ada: Person, seconds: Any):
    made = create_key(ada)
    answer = rotate(ada, made["id"], overlap_seconds=seconds)
    assert_problem(answer, 422, "validation_error")
    assert use(client, made["key"]).status_code == 200


def test_a_rotation_needs_no_body(ada: Person):
    made = create_key(ada)
    assert ada.request("POST", f"{URL}/{made['id']}/rotate").status_code == 200


def test_a_key_may_rotate_itself(client: TestClient, ada: Person):
    key = program(ada, actions=["admin", "read"])
    now = rotate(key, key.id, overlap_seconds=0).json()["key"]
    assert_problem(key.get(URL), 401, "invalid_api_key")
    assert use(client, now).status_code == 200


# How far a key reaches


@pytest.mark.parametrize("missing", ["admin", "read"])
def test_an_action_that_the_key_has_not(ada: Person, missing: str):
    key = program(ada, actions=[one for one in ALL if one != missing])
    path = {"admin": URL, "read": "/api/v1/workspaces"}[missing]
    problem = assert_problem(key.get(path), 403, "not_allowed")
    assert missing in problem["detail"]


class At:
    def __init__(self, name: str, environment: str | None = None) -> None:
        self.name, self.environment = name, environment


@pytest.mark.parametrize(
    ("scopes", "inside", "outside"),
    [
        ({}, [At("a"), At("_global"), At("a", "production")], []),
        ({"services": ["a*"]}, [At("a"), At("ab", "x")], [At("b"), At("_global")]),
        ({"services": ["_global"]}, [At("_global")], [At("a"), At("_globalx")]),
        (
            {"environments": ["prod*"]},
            [At("a", "production"), At("_global", "prod")],
            [At("a"), At("_global"), At("a", "staging")],
        ),
        (
            {"services": ["a"], "environments": ["staging", "production"]},
            [At("a", "staging")],
            [At("a"), At("b", "staging"), At("a", "development")],
        ),
    ],
    ids=["all", "services", "global", "environments", "both"],
)
def test_a_level_is_inside_or_outside(
    ada: Person, scopes: dict[str, Any], inside: list[At], outside: list[At]
):
    digest = program(ada, **scopes).token
    with db.transaction() as session:
        access = open_access(session, credential=key_digest(digest), slug=None, target_user_id=None)
    for place in inside:
        access.require(Permission.READ, place)
    for place in outside:
        with pytest.raises(OutsideScope):
            access.require(Permission.READ, place)
        assert not access.allows(Permission.READ, place)


@pytest.mark.parametrize(
    ("scopes", "service", "environment", "may"),
    [
        ({}, "billing", None, True),
        ({"services": ["billing"]}, "billing", "production", True),
        ({"services": ["bill*"]}, "billing", None, True),
        ({"services": ["web"]}, "billing", None, False),
        ({"services": ["billing"]}, "_global", None, False),
        ({"services": ["_global"]}, "_global", None, True),
        ({"environments": ["production"]}, "billing", "production", True),
        ({"environments": ["production"]}, "billing", "staging", False),
        ({"environments": ["production"]}, "billing", None, False),
    ],
    ids=repr,
)
def test_documents_inside_and_outside(
    ada: Person, scopes: dict[str, Any], service: str, environment: str | None, may: bool
):
    level = {"environment": environment} if environment else {}
    assert ada.update(service, {"a": 1}, **level).status_code == 200
    key = program(ada, actions=["read", "write"], **scopes)
    read = key.get("/config/get", service=service, **level)
    written = key.update(service, {"a": 2}, **level)
    if may:
        assert read.json()["config"] == {"a": 1}
        assert written.json()["updated_by"] == "key:a key"
    else:
        assert service in assert_problem(read, 403, "outside_scope")["detail"]
        assert service in assert_problem(written, 403, "outside_scope")["detail"]
        assert ada.get("/config/get", service=service, **level).json()["version"] == 1


def test_documents_need_their_actions(ada: Person):
    ada.update("billing", {"a": 1})
    reader, writer = (program(ada, actions=[one]) for one in ("read", "write"))
    assert reader.get("/config/get", service="billing").status_code == 200
    assert_problem(reader.update("billing", {"a": 2}), 403, "not_allowed")
    assert_problem(writer.get("/config/get", service="billing"), 403, "not_allowed")
    for gone in (create_key(ada, scopes={"actions": ["read", "write"]}) for _ in range(2)):
        person = Person(ada.client, gone["key"], 0, "")
        assert person.update("billing", {"a": gone["id"]}).status_code == 200
        ada.request("DELETE", f"{URL}/{gone['id']}")
        assert_problem(person.update("billing", {"a": 0}), 401, "invalid_api_key")
        assert_problem(person.get("/config/get", service="billing"), 401, "invalid_api_key")


def test_a_key_for_another_address(ada: Person):
    assert program(ada, addresses=[]).get("/api/v1/workspaces").status_code == 200
    confined = program(ada, addresses=["10.0.0.0/8"])
    assert_problem(confined.get("/api/v1/workspaces"), 403, "address_not_allowed")


@pytest.mark.parametrize(
    ("address", "status"),
    [("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("11.0.0.1", 403), ("::1", 403)],
)
def test_a_key_for_this_address(client: TestClient, ada: Person, address: str, status: int):
    key = create_key(ada, scopes={"addresses": ["10.0.0.0/8"]})["key"]
    there = TestClient(client.app, client=(address, 5000))
    assert use(there, key).status_code == status


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({}, {"actions": ["read", "write"]}),
        ({"services": ["a", "b"]}, {"services": ["*"]}),
        ({"services": ["a*"]}, {"services": ["ab"]}),
        ({"services": ["a"]}, {}),
        ({"environments": ["production"]}, {"environments": ["staging"]}),
        ({"environments": ["production"]}, {}),
    ],
    ids=repr,
)
def test_a_key_gives_no_more_than_it_has(ada: Person, own: dict[str, Any], wanted: dict[str, Any]):
    key = program(ada, actions=["read", "admin"], **own)
    other = create_key(ada, scopes=wanted)
    answer = key.post(URL, {"name": "more", "scopes": wanted})
    assert_problem(answer, 403, "outside_scope")
    assert_problem(rotate(key, other["id"]), 403, "outside_scope")
    assert_problem(key.request("DELETE", f"{URL}/{other['id']}"), 403, "outside_scope")
    assert other["id"] in {one["id"] for one in listed(ada)}


def test_a_key_gives_what_it_has(client: TestClient, ada: Person):
    own = {"actions": ["read", "admin"], "services": ["a", "b*"], "environments": ["production"]}
    key = program(ada, **own)
    for scopes in (own, {**own, "actions": ["read"], "services": ["b*"], "addresses": ["::1"]}):
        made = key.post(URL, {"name": "part", "scopes": scopes})
        assert made.status_code == 201
        assert made.json()["created_by"] == "key:a key"
        assert rotate(key, made.json()["id"]).status_code == 200
        assert key.request("DELETE", f"{URL}/{made.json()['id']}").status_code == 204


# The audit


def test_keys_leave_their_rows_in_the_audit(ada: Person):
    made = create_key(ada, name="billing")
    key = program(ada, actions=["read", "admin"])
    rotate(key, made["id"])
    key.request("DELETE", f"{URL}/{made['id']}")
    logs = ada.get("/api/v1/audit", entity_type="api_key", entity_id=made["id"]).json()["logs"]
    assert [(log["action"], log["user_id"], log["metadata"]["actor"]) for log in logs] == [
        ("delete", None, "key:a key"),
        ("rotate", None, "key:a key"),
        ("create", ada.id, "ada"),
    ]
    assert logs[-1]["metadata"]["scopes"]["actions"] == ["read"]
    assert {log["metadata"]["name"] for log in logs} == {"billing"}


def test_a_refused_key_is_named_in_the_audit(ada: Person):
    key = program(ada, actions=["read"])
    assert_problem(key.get(URL), 403, "not_allowed")
    recorder.flush()
    [log] = ada.get("/api/v1/audit", action="refused").json()["logs"]
    assert (log["metadata"]["actor"], log["metadata"]["workspace"]) == ("key:a key", "ada")


# The bootstrap key


@pytest.mark.parametrize("variables", [{"API_KEY": BOOTSTRAP}])
@pytest.mark.parametrize("scheme", ["Bearer", "ApiKey"])
def test_the_bootstrap_key_administers_default(client: TestClient, admin: Person, scheme: str):
    headers = {"Authorization": f"{scheme} {BOOTSTRAP}"}
    answer = client.get("/api/v1/workspaces", headers=headers)
    assert [one["slug"] for one in answer.json()["workspaces"]] == ["default"]
    made = client.post(URL, json={"name": "k", "scopes": {"actions": ALL}}, headers=headers)
    assert made.status_code == 201
    assert made.json()["created_by"] == "key:bootstrap"
    assert [one["id"] for one in listed(admin)] == [made.json()["id"]]
    assert_problem(
        client.get(URL, params={"workspace": "root"}, headers=headers), 404, "workspace_not_found"
    )
    assert_problem(client.get("/auth/me", headers=headers), 403, "users_only")


def test_without_the_setting_there_is_no_bootstrap_key(client: TestClient):
    answer = use(client, BOOTSTRAP)
    assert_problem(answer, 401, "invalid_api_key")
    answer = client.get(URL, headers={"Authorization": f"Bearer {BOOTSTRAP}"})
    assert_problem(answer, 401, "invalid_token")


@pytest.mark.parametrize("key", ["changeme", "supersecretkey", "short", "a" * 40])
def test_a_weak_bootstrap_key_is_refused(key: str):
    with (
        environment(DATABASE_URL="postgresql://localhost/x", API_KEY=key),
        pytest.raises(ValidationError) as refused,
    ):
        Settings()
    assert "API_KEY" in str(refused.value)
