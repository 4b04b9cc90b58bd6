"""Every document route: who may, what is there, what it answers."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.core import db
from app.models import Member, Workspace
from tests.client import Person, assert_problem

READS = [
    ("GET", "/config/list", {}, None),
    ("GET", "/config/get", {"service": "billing"}, None),
    ("GET", "/config/versions", {"name": "billing"}, None),
    ("GET", "/config/diff", {"service": "billing", "version1_id": 1, "version2_id": 1}, None),
    ("GET", "/config/billing", {}, None),
    ("GET", "/config/billing/history", {}, None),
]
WRITES = [
    ("POST", "/config/update", {}, {"name": "billing", "config": {"a": 9}}),
    ("POST", "/config/billing", {}, {"config": {"a": 9}}),
    ("POST", "/config/rollback", {"service": "billing", "version_id": 1}, None),
    ("POST", "/config/billing/rollback", {}, {"version": 1}),
    ("DELETE", "/config/delete", {"service": "billing"}, None),
    ("POST", "/config/restore", {"service": "billing"}, None),
]
JSON = {"Content-Type": "application/json"}


def join(person: Person, slug: str, role: str) -> None:
    with db.transaction() as session:
        workspace = session.scalars(select(Workspace).where(Workspace.slug == slug)).one()
        session.add(Member(workspace_id=workspace.id, user_id=person.id, role=role))


def send(person: Person, call: tuple, **params: Any):
    method, path, query, body = call
    return person.request(method, path, params={**query, **params}, json=body)


def head(person: Person, **params: Any) -> str:
    return person.get("/config/list", **params).headers["x-configsync-revision"]


@pytest.mark.parametrize("call", READS + WRITES, ids=lambda c: f"{c[0]} {c[1]}")
def test_nobody_gets_in_without_credentials(client: TestClient, call: tuple):
    method, path, query, body = call
    answer = client.request(method, path, params=query, json=body)
    assert_problem(answer, 401, "login_required")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("call", READS + WRITES, ids=lambda c: f"{c[0]} {c[1]}")
def test_a_foreign_workspace_is_not_there_and_is_named(ada: Person, bob: Person, call: tuple):
    ada.update("billing", {"a": 1})
    problem = assert_problem(send(bob, call, workspace="ada"), 404, "workspace_not_found")
    assert "'ada'" in problem["detail"]
    assert ada.get("/config/get", service="billing").json()["version"] == 1


@pytest.mark.parametrize("call", READS + WRITES, ids=lambda c: f"{c[0]} {c[1]}")
def test_somebody_elses_target_user_id_is_refused(ada: Person, bob: Person, call: tuple):
    ada.update("billing", {"a": 1})
    assert_problem(send(bob, call, target_user_id=ada.id), 403, "foreign_user")
    assert ada.get("/config/get", service="billing").json()["version"] == 1


def test_a_viewer_reads_but_writes_nothing(ada: Person, bob: Person):
    ada.update("billing", {"a": 1})
    (version,) = ada.version_ids("billing")
    join(bob, "ada", "viewer")
    before = head(ada)
    for method, path, query, body in READS:
        given = {key: version if "version" in key else value for key, value in query.items()}
        assert send(bob, (method, path, given, body), workspace="ada").status_code == 200, path
    for call in WRITES:
        problem = assert_problem(send(bob, call, workspace="ada"), 403, "not_allowed")
        assert "viewer" in problem["detail"]
        assert "'ada'" in problem["detail"]
    assert head(ada) == before


@pytest.mark.parametrize("role", ["editor", "admin", "owner"])
def test_members_write_where_they_belong(ada: Person, bob: Person, role: str):
    join(bob, "ada", role)
    written = bob.post(
        "/config/update", {"name": "billing", "config": {"by": "bob"}}, params={"workspace": "ada"}
    ).json()
    assert (written["workspace"], written["updated_by"]) == ("ada", "bob")
    assert written["user_id"] == ada.id
    assert ada.get("/config/get", service="billing").json()["config"] == {"by": "bob"}
    assert_problem(bob.get("/config/get", service="billing"), 404, "config_not_found")


def test_an_admin_acts_for_others_by_id_and_by_workspace(ada: Person, admin: Person):
    target = {"target_user_id": ada.id}
    for_ada = admin.post("/config/update", {"name": "one", "config": {"a": 1}}, params=target)
    assert for_ada.json()["workspace"] == "ada"
    assert for_ada.json()["user_id"] == ada.id
    assert for_ada.json()["updated_by"] == "root"
    assert ada.get("/config/get", service="one").json()["config"] == {"a": 1}
    assert admin.get("/config/one", workspace="ada").json()["config"] == {"a": 1}
    assert_problem(admin.get("/config/one"), 404, "config_not_found")
    assert_problem(admin.get("/config/one", workspace="nowhere"), 404, "workspace_not_found")
    assert_problem(admin.get("/config/one", target_user_id=10**9), 404, "workspace_not_found")
    deleted = admin.request("DELETE", "/config/delete", params={"service": "one", **target})
    assert deleted.status_code == 200
    assert_problem(ada.get("/config/get", service="one"), 404, "config_not_found")


def test_ones_own_target_user_id_changes_nothing(ada: Person):
    ada.update("one", {"a": 1})
    assert ada.get("/config/get", service="one", target_user_id=ada.id).json()["version"] == 1


def test_a_list_is_ones_own_and_an_admins_is_everybodys(ada: Person, bob: Person, admin: Person):
    ada.update("one", {})
    bob.update("two", {})
    admin.update("three", {})

    def names(person: Person, **params: Any) -> list[str]:
        return [c["name"] for c in person.get("/config/list", **params).json()["configs"]]

    assert names(ada) == ["one"]
    assert names(admin) == ["one", "two", "three"]
    assert names(admin, target_user_id=ada.id) == ["one"]
    assert names(admin, workspace="bob") == ["two"]
    assert names(admin, workspace="default") == ["three"]
    ada.request("DELETE", "/config/delete", params={"service": "one"})
    assert names(ada) == []
    assert names(admin) == ["two", "three"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 500])
def test_pages_give_everything_once(ada: Person, limit: int):
    for number in range(5):
        ada.update(f"s{number}", {"n": number})
    for number in range(4):
        ada.update("s0", {"changed": number})

    def pages(path: str, key: str, **params: Any) -> list[dict]:
        found, cursor = [], None
        for _ in range(10):
            more = {"cursor": cursor} if cursor else {}
            page = ada.get(path, limit=limit, **params, **more).json()
            assert len(page[key]) <= limit
            found += page[key]
            if (cursor := page["next_cursor"]) is None:
                return found
        raise AssertionError("the pages do not end")

    assert [c["name"] for c in pages("/config/list", "configs")] == [f"s{n}" for n in range(5)]
    for path, params in (("/config/versions", {"name": "s0"}), ("/config/s0/history", {})):
        assert [v["version"] for v in pages(path, "versions", **params)] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("cursor", ["abc", "-1", "0", "1.5", "٣", str(2**53), "9" * 30])
def test_a_cursor_that_was_never_given_is_refused(ada: Person, cursor: str):
    assert_problem(ada.get("/config/list", cursor=cursor), 422, "invalid_cursor")
    versions = ada.get("/config/versions", name="none", cursor=cursor)
    assert versions.status_code in {200, 422}


def test_levels_are_apart(ada: Person):
    levels = [
        ("_global", None),
        ("_global", "production"),
        ("billing", None),
        ("billing", "production"),
        ("billing", "staging"),
    ]
    for number, (name, environment) in enumerate(levels):
        more = {"environment": environment} if environment else {}
        made = ada.update(name, {"level": number}, **more).json()
        assert (made["name"], made["service"], made["environment"]) == (name, name, environment)
        assert made["version"] == 1
    for number, (name, environment) in enumerate(levels):
        params = {"environment": environment} if environment else {}
        for path, query in (("/config/get", {"service": name}), (f"/config/{name}", {})):
            if path == "/config/get":
                got = ada.get(path, **query, **params).json()
                assert got["config"] == {"level": number}
        stored = ada.get(f"/config/{name}", stored=True, **params).json()
        assert stored["config"] == {"level": number}
    gone = {"service": "billing", "environment": "production"}
    assert ada.request("DELETE", "/config/delete", params=gone).status_code == 200
    assert_problem(ada.get("/config/get", **gone), 404, "config_not_found")
    assert ada.get("/config/get", service="billing").json()["config"] == {"level": 2}
    back = ada.request("POST", "/config/restore", params=gone).json()
    assert (back["environment"], back["config"]) == ("production", {"level": 3})


def test_an_unknown_environment_is_refused_when_writing(ada: Person):
    ada.update("billing", {})
    before = head(ada)
    problem = assert_problem(
        ada.update("billing", {"a": 1}, environment="nowhere"), 422, "unknown_environment"
    )
    assert "'nowhere'" in problem["detail"]
    assert "'ada'" in problem["detail"]
    answer = ada.get("/config/get", service="billing", environment="nowhere")
    assert_problem(answer, 404, "config_not_found")
    assert head(ada) == before


def test_missing_configs_are_404_and_name_the_place(ada: Person):
    for path, params in (
        ("/config/get", {"service": "nothing"}),
        ("/config/nothing", {}),
        ("/config/nothing", {"stored": True}),
        ("/config/get", {"service": "nothing", "environment": "production"}),
    ):
        problem = assert_problem(ada.get(path, **params), 404, "config_not_found")
        assert "'nothing'" in problem["detail"]
        assert "'ada'" in problem["detail"]
    for method, path in (("DELETE", "/config/delete"), ("POST", "/config/restore")):
        answer = ada.request(method, path, params={"service": "nothing"})
        assert_problem(answer, 404, "config_not_found")
    rollback = ada.post("/config/nothing/rollback", {"version": 1})
    assert rollback.status_code == 404


def test_unknown_names_have_an_empty_history(ada: Person):
    for path, params in (
        ("/config/versions", {"name": "nothing"}),
        ("/config/versions", {"service": "nothing"}),
        ("/config/nothing/history", {}),
    ):
        answer = ada.get(path, **params)
        assert answer.status_code == 200
        assert answer.json() == {"service_name": "nothing", "versions": [], "next_cursor": None}


def test_versions_takes_exactly_one_of_its_two_names(ada: Person):
    ada.update("billing", {})
    by_name = ada.get("/config/versions", name="billing").json()
    assert ada.get("/config/versions", service="billing").json() == by_name
    assert_problem(ada.get("/config/versions"), 422, "validation_error")
    both = ada.get("/config/versions", name="billing", service="billing")
    assert_problem(both, 422, "validation_error")


def test_a_version_says_who_when_and_why(ada: Person):
    start = datetime.now(UTC) - timedelta(seconds=5)
    ada.update("billing", {"b": 1, "a": 2}, message="why — because")
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    gone, made = ada.get("/config/versions", name="billing").json()["versions"]
    assert (made["action"], made["version"], made["revision"]) == ("create", 1, 1)
    assert (made["message"], made["created_by"]) == ("why — because", "ada")
    assert made["config"] == {"a": 2, "b": 1}
    assert len(made["checksum"]) == 64
    assert start < datetime.fromisoformat(made["created_at"]) < datetime.now(UTC) + timedelta(0, 5)
    assert (gone["action"], gone["version"], gone["config"], gone["checksum"]) == (
        "delete",
        2,
        None,
        None,
    )


def test_both_write_routes_are_the_same(ada: Person):
    ada.update("billing", {"a": 1})
    answer = ada.post("/config/billing", {"config": {"a": 2}, "expected_version": 1})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    back = ada.post("/config/billing/rollback", {"version": 1, "message": "no"}).json()
    assert (back["version"], back["config"]) == (3, {"a": 1})
    newest = ada.get("/config/billing/history").json()["versions"][0]
    assert (newest["action"], newest["message"]) == ("rollback", "no")


def test_the_effective_config_points_to_its_document(ada: Person):
    made = ada.update("billing", {"a": 1})
    got = ada.get("/config/billing")
    body = got.json()
    assert body["config"] == {"a": 1}
    assert (body["service"], body["environment"]) == ("billing", None)
    assert (body["revision"], body["document_version"]) == (1, 1)
    assert body["document_etag"] == made.headers["etag"]
    assert got.headers["etag"].startswith('"e')
    ada.update("other", {"x": 1})
    assert ada.get("/config/billing").json()["version"] == body["version"]
    ada.update("billing", {"a": 2})
    changed = ada.get("/config/billing").json()["version"]
    assert changed != body["version"]
    ada.update("billing", {"a": 1})
    assert ada.get("/config/billing").json()["version"] == body["version"]


@pytest.mark.parametrize("path", ["/config/get?service=billing", "/config/billing"])
def test_what_you_have_is_not_sent_again(ada: Person, path: str):
    ada.update("billing", {"a": 1})
    tag = ada.request("GET", path).headers["etag"]
    for wanted in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = ada.request("GET", path, headers={"If-None-Match": wanted})
        assert (answer.status_code, answer.content) == (304, b""), wanted
        assert answer.headers["etag"] == tag
        assert answer.headers["x-configsync-revision"].endswith("-1")
    assert ada.request("GET", path, headers={"If-None-Match": '"d0-0"'}).status_code == 200
    ada.update("billing", {"a": 2})
    fresh = ada.request("GET", path, headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["config"]) == (200, {"a": 2})


def test_at_answers_the_past(ada: Person):
    first = ada.update("billing", {"n": 1}).json()
    time.sleep(0.02)
    ada.update("other", {})
    second = ada.update("billing", {"n": 2}).json()
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    for path, params in (("/config/get", {"service": "billing"}), ("/config/billing", {})):
        for at, number in ((1, 1), (2, 1), (3, 2)):
            assert ada.get(path, **params, at=at).json()["config"] == {"n": number}
        for at, number in ((first["updated_at"], 1), (second["updated_at"], 2)):
            assert ada.get(path, **params, at=at).json()["config"] == {"n": number}
        assert_problem(ada.get(path, **params, at=0), 404, "config_not_found")
        assert_problem(ada.get(path, **params, at=4), 404, "config_not_found")
        ancient = ada.get(path, **params, at="2001-01-01T00:00:00+02:00")
        assert_problem(ancient, 422, "at_out_of_range")


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2", "at_out_of_range"),
        ("9" * 40, "at_out_of_range"),
        ("2999-01-01T00:00:00Z", "at_out_of_range"),
        ("2026-01-01T00:00:00", "validation_error"),
        ("2026-01-01", "validation_error"),
        ("yesterday", "validation_error"),
        ("-1", "validation_error"),
        ("٣", "validation_error"),
        ("", "validation_error"),
    ],
)
def test_at_refuses_the_future_and_nonsense(ada: Person, at: str, code: str):
    ada.update("billing", {})
    for path, params in (("/config/get", {"service": "billing"}), ("/config/billing", {})):
        assert_problem(ada.get(path, **params, at=at), 422, code)


def test_min_revision_is_reached_or_not_or_of_another_epoch(ada: Person):
    revision = ada.update("billing", {}).headers["x-configsync-revision"]
    epoch, _, number = revision.rpartition("-")
    assert number == "1"
    for wanted in ("0", "1", revision):
        answer = ada.get("/config/get", service="billing", min_revision=wanted)
        assert answer.status_code == 200
    start = time.monotonic()
    late = ada.get("/config/billing", min_revision=f"{epoch}-2")
    assert_problem(late, 503, "revision_not_reached")
    assert 1.5 < time.monotonic() - start < 5
    assert late.headers["retry-after"].isdecimal()
    other = ada.get("/config/billing", min_revision="abcdef-1")
    assert assert_problem(other, 410, "unknown_epoch")["epoch"] == epoch
    for wrong in ("x", "-1", "1-", "1-x", "", "1" * 17):
        answer = ada.get("/config/billing", min_revision=wrong)
        assert_problem(answer, 422, "validation_error")


def test_min_revision_waits_in_the_workspace_that_is_asked(ada: Person, admin: Person):
    ada.update("billing", {"a": 1})
    got = admin.get("/config/billing", target_user_id=ada.id, min_revision=1)
    assert got.json()["config"] == {"a": 1}


def test_every_answer_names_the_newest_revision(ada: Person):
    revisions = [
        ada.update("billing", {"n": 1}),
        ada.post("/config/billing", {"config": {"n": 2}}),
        ada.post("/config/billing/rollback", {"version": 1}),
        ada.request("DELETE", "/config/delete", params={"service": "billing"}),
        ada.request("POST", "/config/restore", params={"service": "billing"}),
    ]
    numbers = [answer.headers["x-configsync-revision"].rpartition("-")[2] for answer in revisions]
    assert numbers == ["1", "2", "3", "4", "5"]
    ada.update("billing", {"n": 1})
    assert head(ada).endswith("-5")


def conditional_writes(person: Person, version: int, headers: dict[str, str]) -> dict[str, Any]:
    """Send every write of `billing` with these headers."""
    (first, *_) = person.version_ids("billing")
    query = {"service": "billing"}
    calls = {
        "update": ("POST", "/config/update", {}, {"name": "billing", "config": {"n": version}}),
        "put": ("POST", "/config/billing", {}, {"config": {"n": version}}),
        "rollback": ("POST", "/config/rollback", {**query, "version_id": first}, None),
        "rollback2": ("POST", "/config/billing/rollback", {}, {"version": 1}),
        "delete": ("DELETE", "/config/delete", query, None),
    }
    return {
        name: person.request(method, path, params=params, json=body, headers=headers)
        for name, (method, path, params, body) in calls.items()
    }


def test_if_match_refuses_what_somebody_changed(ada: Person):
    old = ada.update("billing", {"n": 0}).headers["etag"]
    newest = ada.update("billing", {"n": 1})
    before = head(ada)
    for name, answer in conditional_writes(ada, 99, {"If-Match": old}).items():
        problem = assert_problem(answer, 412, "precondition_failed")
        assert problem["current"] == {
            "id": newest.json()["id"],
            "version": 2,
            "etag": newest.headers["etag"],
        }, name
    effective = ada.get("/config/billing").headers["etag"]
    for answer in conditional_writes(ada, 99, {"If-Match": effective}).values():
        problem = assert_problem(answer, 412, "etag_of_effective")
        assert problem["current"]["etag"] == newest.headers["etag"]
    for answer in conditional_writes(ada, 99, {"If-None-Match": "*"}).values():
        assert_problem(answer, 412, "precondition_failed")
    for answer in conditional_writes(ada, 99, {"If-None-Match": '"d1-1"'}).values():
        assert_problem(answer, 422, "validation_error")
    assert head(ada) == before


@pytest.mark.parametrize("how", ["exact", "star", "list"])
def test_if_match_lets_pass_what_fits(ada: Person, how: str):
    tag = ada.update("billing", {"n": 0}).headers["etag"]
    header = {"exact": tag, "star": "*", "list": f'"d0-7", {tag}'}[how]
    body = {"name": "billing", "config": {"n": 1}}
    answer = ada.post("/config/update", body, headers={"If-Match": header})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert answer.headers["etag"] == ada.get("/config/get", service="billing").headers["etag"]


def test_if_match_star_and_a_weak_tag_fit_nothing_that_is_not_there(ada: Person):
    body = {"name": "billing", "config": {"n": 1}}
    absent = ada.post("/config/update", body, headers={"If-Match": "*"})
    assert assert_problem(absent, 412, "precondition_failed")["current"] is None
    tag = ada.update("billing", {"n": 0}).headers["etag"]
    weak = ada.post("/config/update", body, headers={"If-Match": f"W/{tag}"})
    assert_problem(weak, 412, "precondition_failed")


def test_expected_version(ada: Person):
    assert_problem(ada.update("billing", {}, expected_version=1), 412, "precondition_failed")
    assert ada.update("billing", {"n": 1}, expected_version=0).json()["version"] == 1
    again = ada.update("billing", {"n": 2}, expected_version=0)
    assert assert_problem(again, 412, "precondition_failed")["current"]["version"] == 1
    assert ada.update("billing", {"n": 2}, expected_version=1).json()["version"] == 2
    assert ada.update("billing", {"n": 3}, expected_version=1).status_code == 412
    stale = ada.post("/config/billing/rollback", {"version": 1, "expected_version": 1})
    assert_problem(stale, 412, "precondition_failed")
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    assert_problem(ada.update("billing", {"n": 4}, expected_version=3), 412, "precondition_failed")
    assert ada.update("billing", {"n": 4}, expected_version=0).json()["version"] == 4


def test_if_none_match_star_creates_once_and_again_after_a_deletion(ada: Person):
    def create():
        body = {"name": "billing", "config": {"n": 1}}
        return ada.post("/config/update", body, headers={"If-None-Match": "*"})

    assert create().status_code == 200
    assert_problem(create(), 412, "precondition_failed")
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    assert create().json()["version"] == 3


def test_a_deleted_name_revives_the_same_id_and_counts_on(ada: Person):
    first = ada.update("billing", {"n": 1}).json()
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    again = ada.request("DELETE", "/config/delete", params={"service": "billing"})
    assert_problem(again, 404, "config_not_found")
    revived = ada.update("billing", {"n": 1}).json()
    assert (revived["id"], revived["version"]) == (first["id"], 3)
    actions = [v["action"] for v in ada.get("/config/versions", name="billing").json()["versions"]]
    assert actions == ["create", "delete", "create"]


def test_restore_needs_a_deletion_and_rollback_some_content(ada: Person):
    ada.update("billing", {"n": 1})
    ada.update("billing", {"n": 2})
    restore = {"params": {"service": "billing"}}
    assert_problem(ada.request("POST", "/config/restore", **restore), 409, "not_deleted")
    ada.request("DELETE", "/config/delete", **restore)
    before = head(ada)
    deletion = ada.version_ids("billing")[2]
    empty = {"service": "billing", "version_id": deletion}
    assert_problem(ada.request("POST", "/config/rollback", params=empty), 409, "version_empty")
    assert_problem(ada.post("/config/billing/rollback", {"version": 3}), 409, "version_empty")
    assert_problem(ada.post("/config/billing/rollback", {"version": 4}), 404, "version_not_found")
    assert head(ada) == before
    back = ada.post("/config/billing/rollback", {"version": 1}).json()
    assert (back["version"], back["config"]) == (4, {"n": 1})
    ada.request("DELETE", "/config/delete", **restore)
    restored = ada.request("POST", "/config/restore", **restore).json()
    assert (restored["version"], restored["config"]) == (6, {"n": 1})


def test_going_back_to_the_same_content_is_recorded(ada: Person):
    ada.update("billing", {"n": 1})
    assert ada.post("/config/billing/rollback", {"version": 1}).json()["version"] == 2


@pytest.mark.parametrize("foreign", ["other service", "other level", "other user", "unknown"])
def test_versions_of_something_else_are_not_found(ada: Person, bob: Person, foreign: str):
    ada.update("billing", {"n": 1})
    ada.update("billing", {"n": 2}, environment="production")
    ada.update("other", {"n": 1})
    bob.update("billing", {"n": 1})
    (own,) = ada.version_ids("billing")
    version = {
        "other service": ada.version_ids("other")[0],
        "other level": ada.version_ids("billing", environment="production")[0],
        "other user": bob.version_ids("billing")[0],
        "unknown": 2**53 - 1,
    }[foreign]
    before = head(ada)
    for pair in ((own, version), (version, own)):
        query = dict(zip(("version1_id", "version2_id"), pair, strict=True))
        answer = ada.get("/config/diff", service="billing", **query)
        assert_problem(answer, 404, "version_not_found")
    query = {"service": "billing", "version_id": version}
    answer = ada.request("POST", "/config/rollback", params=query)
    assert_problem(answer, 404, "version_not_found")
    assert head(ada) == before


def test_a_diff_of_one_version_with_itself_is_empty(ada: Person):
    ada.update("billing", {"n": [1, 2]})
    (one,) = ada.version_ids("billing")
    diff = ada.get("/config/diff", service="billing", version1_id=one, version2_id=one).json()
    assert diff == {
        "service": "billing",
        "version1": 1,
        "version2": 1,
        "diff": {},
        "patch": [],
        "text": "",
        "summary": {"added": 0, "removed": 0, "changed": 0},
        "diff_truncated": False,
    }


def test_a_diff_with_a_deletion_removes_everything(ada: Person):
    ada.update("billing", {"a": 1, "b": {"c": 2}})
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    one, two = ada.version_ids("billing")
    diff = ada.get("/config/diff", service="billing", version1_id=one, version2_id=two).json()
    assert sorted(op["path"] for op in diff["patch"]) == ["/a", "/b"]
    assert {op["op"] for op in diff["patch"]} == {"remove"}
    back = ada.get("/config/diff", service="billing", version1_id=two, version2_id=one).json()
    assert (back["version1"], back["version2"]) == (2, 1)
    assert {op["op"] for op in back["patch"]} == {"add"}


def test_order_counts_in_the_patch_but_not_in_the_diff(ada: Person):
    ada.update("billing", {"list": [1, 2, 3]})
    ada.update("billing", {"list": [3, 2, 1]})
    one, two = ada.version_ids("billing")
    diff = ada.get("/config/diff", service="billing", version1_id=one, version2_id=two).json()
    assert diff["diff"] == {}
    assert diff["diff_truncated"] is False
    assert diff["patch"]


def test_a_diff_that_explodes_is_truncated_and_the_server_lives(ada: Person):
    def heavy(shift: int) -> dict[str, Any]:
        things = [{"id": n + shift * (n % 2), "tags": [n / 7, n / 3]} for n in range(2_000)]
        return {"things": things}

    assert ada.update("heavy", heavy(0)).status_code == 200
    assert ada.update("heavy", heavy(100_000)).status_code == 200
    one, two = ada.version_ids("heavy", limit=2)
    start = time.monotonic()
    answer = ada.get("/config/diff", service="heavy", version1_id=one, version2_id=two)
    took = time.monotonic() - start
    diff = answer.json()
    assert answer.status_code == 200, answer.text[:300]
    assert (diff["diff"], diff["diff_truncated"]) == (None, True)
    assert diff["patch"]
    assert diff["summary"]["changed"] + diff["summary"]["added"] > 0
    assert took < 15
    ada.update("small", {"n": 1})
    ada.update("small", {"n": 2})
    one, two = ada.version_ids("small")
    small = ada.get("/config/diff", service="small", version1_id=one, version2_id=two).json()
    assert small["diff"]["values_changed"]["root['n']"]["new_value"] == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"z":1,"a":2}',
        '{"n":[1e2,1E+2,-0,-0.0,1.50,0.1,123456789012345678901234567890,5e-324]}',
        '{"":{"":null},"a.b":{"a":[[],{}]},"__proto__":true}',
        '{"ü":"€😀\\n\\t\\"\\\\ \x7f\u2028"}',
    ],
    ids=["order", "numbers", "names", "strings"],
)
def test_the_text_is_kept_exactly_through_every_way_back(ada: Person, text: str):
    body = f'{{"config":{text}}}'.encode()
    written = ada.request("POST", "/config/billing", content=body, headers=JSON)
    assert f'"config":{text}' in written.text
    ada.request("POST", "/config/billing", json={"config": {"other": 1}})
    back = ada.post("/config/billing/rollback", {"version": 1})
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    restored = ada.request("POST", "/config/restore", params={"service": "billing"})
    answers = [
        back,
        restored,
        ada.get("/config/get", service="billing"),
        ada.get("/config/billing"),
        ada.get("/config/list"),
        ada.get("/config/billing/history"),
        ada.get("/config/billing", at=1),
    ]
    for answer in answers:
        assert f'"config":{text}' in answer.text


def test_equal_content_gives_no_version_and_says_so(ada: Person):
    first = ada.update("billing", {"a": {"x": 1, "y": [1, 2]}, "b": 2})
    same = ada.update("billing", {"b": 2, "a": {"y": [1, 2], "x": 1}}, message="again")
    assert same.json() == first.json()
    assert same.headers["etag"] == first.headers["etag"]
    for different in ({"a": {"x": 1, "y": [2, 1]}, "b": 2}, {"a": {"x": 1, "y": [1, 2]}}, {}):
        before = ada.get("/config/get", service="billing").json()["version"]
        assert ada.update("billing", different).json()["version"] == before + 1
    assert ada.update("billing", {"a": True}).json()["version"] == 5
    assert ada.update("billing", {"a": 1}).json()["version"] == 6
    assert ada.update("billing", {"a": "1"}).json()["version"] == 7
    assert ada.update("billing", {"a": None}).json()["version"] == 8


def test_a_final_slash_changes_nothing(ada: Person, client: TestClient):
    client.follow_redirects = False
    body = {"name": "billing", "config": {"a": 1}}
    made = ada.post("/config/update/", body)
    assert (made.status_code, made.json()["config"]) == (200, {"a": 1})
    for path in ("/config/billing/", "/config/billing/history/", "/config/list/", "/auth/me/"):
        slashed, plain = ada.get(path), ada.get(path[:-1])
        assert slashed.status_code == 200
        assert slashed.text == plain.text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("has space", False),
        ("é".encode(), False),
    ],
)
def test_a_request_id_comes_back_or_is_made(ada: Person, given: str, kept: bool):
    for path, status in (("/config/list", 200), ("/config/nothing", 404), ("/nowhere", 404)):
        answer = ada.request("GET", path, headers={"X-Request-ID": given})
        assert answer.status_code == status
        assert (answer.headers["x-request-id"] == given) is kept
        assert answer.headers["x-request-id"]
        if status == 404:
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
    ids = {ada.get("/config/list").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_names_at_their_limits(ada: Person):
    for name in ("a" * 100, "A.z_0:-", "a..b", "history", "rollout"):
        assert ada.update(name, {"n": 1}).status_code == 200, name
        assert ada.get(f"/config/{name}").json()["service"] == name


def test_names_differ_by_case(ada: Person):
    for name, number in itertools.product(("api", "Api"), (1,)):
        ada.update(name, {"name": name, "n": number})
    assert ada.get("/config/Api").json()["config"]["name"] == "Api"
    assert ada.get("/config/api").json()["config"]["name"] == "api"
