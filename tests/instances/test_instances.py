"""Instances: what they report, who sees it, how far behind they are, when they are forgotten."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.background import sweep
from app.core import db
from app.instances import crud, service
from app.outbox.recorder import recorder
from tests.client import Person, assert_problem, program
from tests.conftest import QueryRecorder

PATH = "/api/v1/instances"
SHOWN = {
    *("instance_id", "service", "environment", "revision", "version", "behind", "status"),
    *("error", "app_version", "metadata", "first_seen", "last_seen"),
}


def body(**more: Any) -> dict[str, Any]:
    said = {"service": "billing", "environment": "production", "instance_id": "one"}
    return {**said, "revision": 0, "version": "abc", "status": "applied", **more}


def report(person: Person, *, query: str = "", **more: Any) -> httpx.Response:
    return person.post(f"{PATH}/report{query}", body(**more))


def listed(person: Person, **params: Any) -> list[dict[str, Any]]:
    answer = person.get(PATH, **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["instances"]
    return found


def names(person: Person, **params: Any) -> list[str]:
    return [one["instance_id"] for one in listed(person, **params)]


def execute(statement: str) -> list[Any]:
    with db.transaction() as session:
        done: Any = session.execute(text(statement))
        return list(done) if done.returns_rows else []


def fill(person: Person, count: int) -> None:
    """Store so many instances of `web` at once, the last of them named w<count>."""
    execute(
        "INSERT INTO instances (workspace_id, service, environment, instance_id, revision, "
        "version, status) SELECT id, 'web', '', 'w' || lpad(n::text, 5, '0'), 0, 'abc', 'applied' "
        f"FROM workspaces, generate_series(1, {count}) AS n WHERE slug = '{person.username}'"
    )


def test_a_report_is_accepted_and_shown(ada: Person):
    answer = report(ada, app_version="2.3.1", metadata={"zone": "eu-1a", "pid": 4711, "x": None})
    assert (answer.status_code, answer.json()) == (202, {"msg": "reported"})
    [one] = listed(ada)
    assert one.keys() == SHOWN
    assert one["first_seen"] == one["last_seen"]
    assert one["last_seen"].endswith("Z")
    said = {"app_version": "2.3.1", "metadata": {"zone": "eu-1a", "pid": 4711, "x": None}}
    seen = {name: one[name] for name in SHOWN - {"first_seen", "last_seen"}}
    assert seen == body(behind=0, error=None, **said)


def test_the_last_report_counts(ada: Person):
    report(ada, app_version="1", metadata={"a": 1})
    [first] = listed(ada)
    report(ada, revision=7, version="def", status="rejected", error="no \u00fcber-timeout")
    [one] = listed(ada)
    assert (one["revision"], one["version"], one["status"]) == (7, "def", "rejected")
    assert one["error"] == "no \u00fcber-timeout"
    assert (one["app_version"], one["metadata"]) == (None, {})
    assert one["first_seen"] == first["first_seen"]
    assert one["last_seen"] > first["last_seen"]
    report(ada, revision=3)  # back on an older config
    [one] = listed(ada)
    assert (one["revision"], one["status"], one["error"]) == (3, "applied", None)


def test_instances_are_told_apart_by_service_environment_and_name(ada: Person):
    for more in ({}, {"instance_id": "two"}, {"service": "web"}, {"environment": "staging"}):
        report(ada, **more)
    report(ada, environment=None)
    without = body()
    del without["environment"]
    assert ada.post(f"{PATH}/report", without).status_code == 202
    places = [(one["service"], one["environment"], one["instance_id"]) for one in listed(ada)]
    assert places == [
        ("billing", None, "one"),
        ("billing", "production", "one"),
        ("billing", "production", "two"),
        ("billing", "staging", "one"),
        ("web", "production", "one"),
    ]


def test_a_report_is_one_statement_and_makes_no_revision_and_no_event(
    ada: Person, query_recorder: QueryRecorder
):
    ada.update("billing", {"a": 1})
    counts = "SELECT (SELECT count(*) FROM revisions), (SELECT count(*) FROM events)"
    before = execute(counts)
    with query_recorder() as queries:
        answer = report(ada)
    assert answer.headers["x-configsync-revision"].endswith("-1")
    assert [query for query in queries if "instances" in query] == [queries[-1]]
    assert "ON CONFLICT" in queries[-1]
    assert execute(counts) == before


def test_members_that_the_server_does_not_know_are_ignored(ada: Person):
    answer = report(ada, uptime=12, workspace="other", first_seen="2000-01-01T00:00:00Z")
    assert answer.status_code == 202
    [one] = listed(ada)
    assert one["first_seen"] > "2001"
    assert one.keys() == SHOWN


@pytest.mark.parametrize(
    "wrong",
    [
        {"service": "_global"},
        {"service": "update"},
        {"service": ""},
        {"service": None},
        {"environment": ""},
        {"environment": "a b"},
        {"instance_id": ""},
        {"instance_id": "a" * 256},
        {"instance_id": "a\nb"},
        {"instance_id": 1},
        {"revision": -1},
        {"revision": 2**53},
        {"revision": "1"},
        {"revision": 1.5},
        {"revision": True},
        {"version": "a" * 65},
        {"version": None},
        {"status": "pending"},
        {"error": "a" * 2001},
        {"app_version": "a" * 101},
        {"metadata": []},
        {"metadata": {"a": {}}},
        {"metadata": {"a": [1]}},
        {"metadata": {"a": "b" * 4096}},
        {"metadata": {str(number): 1e300 for number in range(14)}},
    ],
    ids=lambda wrong: str(wrong)[:30],
)
def test_wrong_input_is_refused(ada: Person, wrong: dict[str, Any]):
    problem = assert_problem(report(ada, **wrong), 422, "validation_error")
    assert problem["errors"][0]["loc"][:2] == ["body", *wrong]
    assert listed(ada) == []


@pytest.mark.parametrize(
    "edge",
    [
        {"instance_id": "\u00e9" * 255},
        {"instance_id": "10.0.0.1:8080 / pod-1"},
        {"revision": 2**53 - 1},
        {"version": ""},
        {"version": "a" * 64},
        {"error": "a\n" * 1000},
        {"app_version": "a" * 100},
        {"metadata": {"a": "b" * 4000}},
        {"metadata": {"a": True, "b": -0.5, "c": 10**30, "d": "", "": None}},
    ],
    ids=lambda edge: str(edge)[:30],
)
def test_what_just_fits_comes_back(ada: Person, edge: dict[str, Any]):
    assert report(ada, **edge).status_code == 202
    [one] = listed(ada)
    assert {name: one[name] for name in edge} == edge


def test_nulls_are_as_good_as_nothing(ada: Person):
    assert report(ada, error=None, app_version=None, metadata=None).status_code == 202
    [one] = listed(ada)
    assert (one["error"], one["app_version"], one["metadata"]) == (None, None, {})


@pytest.mark.parametrize("missing", ["service", "instance_id", "revision", "version", "status"])
def test_what_a_report_must_say(ada: Person, missing: str):
    said = body()
    del said[missing]
    assert_problem(ada.post(f"{PATH}/report", said), 422, "validation_error")


def test_nobody_reports_and_nobody_lists(client: TestClient, ada: Person):
    report(ada)
    assert_problem(client.post(f"{PATH}/report", json=body()), 401, "login_required")
    assert_problem(client.get(PATH), 401, "login_required")


class TestOpenReads:
    """With open reads nobody sees the instances of `default`, and still reports nothing."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"REQUIRE_API_KEY": "false", "ALLOW_ANONYMOUS_ACCESS": "true"}

    def test_open_reads_open_no_reports(self, client: TestClient, admin: Person):
        assert_problem(client.post(f"{PATH}/report", json=body()), 401, "login_required")
        assert report(admin).status_code == 202
        assert len(client.get(PATH).json()["instances"]) == 1


def test_workspaces_do_not_see_each_other(ada: Person, bob: Person):
    report(ada)
    assert listed(bob) == []
    for answer in (report(bob, query="?workspace=ada"), bob.get(PATH, workspace="ada")):
        assert_problem(answer, 404, "workspace_not_found")
    report(bob, revision=5)
    assert [one["revision"] for one in listed(ada)] == [0]


def test_a_viewer_sees_and_reports(ada: Person, bob: Person):
    assert ada.post("/api/v1/workspaces", {"slug": "team"}).status_code == 201
    member = ada.request("PUT", "/api/v1/workspaces/team/members/bob", json={"role": "viewer"})
    assert member.status_code == 200
    assert report(bob, query="?workspace=team").status_code == 202
    assert names(ada, workspace="team") == ["one"]
    assert listed(bob) == []


def test_reports_need_read_at_their_level(ada: Person):
    key = program(ada, actions=["write"])
    assert_problem(report(key), 403, "not_allowed")
    assert_problem(key.get(PATH), 403, "not_allowed")
    key = program(ada, actions=["read"], services=["bill*"], environments=["production"])
    assert report(key).status_code == 202
    for more in ({"service": "web"}, {"environment": "staging"}, {"environment": None}):
        assert_problem(report(key, **more), 403, "outside_scope")


def test_keys_see_what_their_scopes_reach(ada: Person):
    for number, (of, environment) in enumerate(
        [("billing", "production"), ("billing", None), ("web", "production"), ("web", "staging")]
    ):
        report(ada, service=of, environment=environment, instance_id=f"i{number}")

    def seen(**scopes: Any) -> list[str]:
        return names(program(ada, **scopes))

    assert seen() == ["i1", "i0", "i2", "i3"]
    assert seen(services=["bill*"]) == ["i1", "i0"]
    assert seen(environments=["production"]) == ["i0", "i2"]
    assert seen(environments=["*ing", "prod*"], services=["web"]) == ["i2", "i3"]
    assert seen(environments=["**"]) == ["i0", "i2", "i3"]
    assert seen(services=["_global"]) == []


def test_the_list_is_narrowed(ada: Person):
    report(ada)
    report(ada, instance_id="two", status="rejected", error="bad")
    report(ada, instance_id="three", service="web", environment=None)
    assert names(ada, service="billing") == ["one", "two"]
    assert names(ada, environment="production", status="rejected") == ["two"]
    assert names(ada, status="applied") == ["one", "three"]
    assert names(ada, service="nothing") == []
    for wrong in ({"service": "_global"}, {"environment": ""}, {"status": "x"}, {"state": "x"}):
        assert ada.get(PATH, **wrong).status_code == 422


def head(person: Person) -> int:
    found = person.get(PATH).headers["x-configsync-revision"]
    return int(found.rpartition("-")[2])


LEVELS = {
    "global": ("_global", {}),
    "environment": ("_global", {"environment": "production"}),
    "service": ("billing", {}),
    "service in environment": ("billing", {"environment": "production"}),
}


def test_behind_counts_each_level_and_nothing_foreign(ada: Person, bob: Person):
    for name, more in LEVELS.values():
        assert ada.update(name, {"a": 0}, **more).status_code == 200
    report(ada, revision=head(ada))
    report(ada, instance_id="bare", environment=None, revision=head(ada))

    def behind() -> dict[str, int]:
        return {one["instance_id"]: one["behind"] for one in listed(ada)}

    assert behind() == {"one": 0, "bare": 0}
    for name, more in (
        ("billing", {"environment": "staging"}),
        ("_global", {"environment": "staging"}),
        ("web", {}),
        ("web", {"environment": "production"}),
    ):
        assert ada.update(name, {"a": 1}, **more).status_code == 200
        assert behind() == {"one": 0, "bare": 0}, name
    for name, more in LEVELS.values():
        bob.update(name, {"a": 1}, **more)
    assert behind() == {"one": 0, "bare": 0}
    wanted = {"one": 0, "bare": 0}
    for name, more in LEVELS.values():
        assert ada.update(name, {"a": 1}, **more).status_code == 200
        wanted["one"] += 1
        wanted["bare"] += not more
        assert behind() == wanted, (name, more)
    assert ada.update("billing", {"a": 1}).status_code == 200  # says nothing new
    assert behind() == wanted
    where = {"service": "billing", "environment": "production"}
    assert ada.request("DELETE", "/config/delete", params=where).status_code == 200
    assert behind() == {"one": 5, "bare": 2}
    report(ada, revision=head(ada))
    assert behind() == {"one": 0, "bare": 2}


def test_behind_counts_a_revision_once(ada: Person):
    sets = [
        {"service": name, "key": "a", "op": "set", "value": 1, **more}
        for name, more in LEVELS.values()
    ]
    report(ada)
    assert ada.post("/api/v1/changes", {"changes": sets}).status_code == 200
    assert [one["behind"] for one in listed(ada)] == [1]


def test_behind_is_nothing_for_a_revision_to_come(ada: Person):
    ada.update("billing", {"a": 1})
    report(ada, revision=2**53 - 1)
    assert [one["behind"] for one in listed(ada)] == [0]


def test_what_effective_answers_say_is_not_behind(ada: Person):
    for number, (name, more) in enumerate(LEVELS.values()):
        ada.update(name, {"a": number}, **more)
    ada.update("web", {"a": 1})
    said = ada.get("/config/billing", environment="production").json()
    assert report(ada, revision=said["revision"], version=said["version"]).status_code == 202
    assert [one["behind"] for one in listed(ada)] == [0]


def test_behind_is_capped(ada: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crud, "MAX_BEHIND", 3)
    report(ada)
    for number in range(5):
        ada.update("billing", {"a": number})
        ada.update("_global", {"a": number})
    assert [one["behind"] for one in listed(ada)] == [3]


def test_a_page_is_one_query(ada: Person, query_recorder: QueryRecorder):
    ada.update("billing", {"a": 1})
    counts = []
    for number in range(3):
        report(ada, instance_id=f"i{number}")
        with query_recorder() as queries:
            assert {one["behind"] for one in listed(ada)} == {1}
        counts.append(len(queries))
        assert len([query for query in queries if "instances" in query]) == 1
    assert len(set(counts)) == 1


def test_pages_follow_each_other(ada: Person):
    places = [
        (of, environment, name)
        for of in ("a", "b")
        for environment in (None, "production", "staging")
        for name in ("A", "a b/c", "\u00fc")
    ]
    for of, environment, name in reversed(places):
        report(ada, service=of, environment=environment, instance_id=name)
    for limit in (1, 4, 18, 19):
        found, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = ada.get(PATH, limit=limit, **more).json()
            found += page["instances"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert [(one["service"], one["environment"], one["instance_id"]) for one in found] == places


def test_the_longest_names_fit_in_a_cursor(ada: Person):
    for last in "ab":
        name = "\U0001f600" * 254 + last
        report(ada, service="s" * 100, environment="e" * 100, instance_id=name)
    page = ada.get(PATH, limit=1).json()
    assert names(ada, cursor=page["next_cursor"]) == ["\U0001f600" * 254 + "b"]


@pytest.mark.parametrize("cursor", ["x", "YQ==", "YQphCmEKYQ==", "YQoACmE=", "1"])
def test_cursors_of_others_are_refused(ada: Person, cursor: str):
    assert_problem(ada.get(PATH, cursor=cursor), 422, "invalid_cursor")


def test_reading_is_counted_for_the_audit(ada: Person):
    report(ada)
    for _ in range(2):
        listed(ada)
    recorder.flush()
    counted = (
        "SELECT sum(count) FROM read_counts WHERE (resource_type, resource) = ('instance', '*')"
    )
    assert execute(counted) == [(2,)]


def test_instances_that_stay_away_are_forgotten(ada: Person):
    for name, hours in (("here", 23), ("gone", 25)):
        report(ada, instance_id=name)
        execute(
            f"UPDATE instances SET last_seen = now() - interval '{hours} hours' "
            f"WHERE instance_id = '{name}'"
        )
    execute("DELETE FROM leases")
    assert sweep.sweep("test")
    assert names(ada) == ["here"]


def test_a_workspace_has_a_limit(ada: Person, bob: Person):
    fill(ada, service.MAX_INSTANCES - 1)
    assert report(ada).status_code == 202
    problem = assert_problem(report(ada, instance_id="two"), 422, "too_many_instances")
    assert problem["errors"][0]["loc"] == ["body", "instance_id"]
    assert report(ada, revision=1).status_code == 202  # a known one goes on
    assert [one["revision"] for one in listed(ada, service="billing")] == [1]
    assert report(bob).status_code == 202
    execute("DELETE FROM instances WHERE instance_id = 'w00001'")
    assert report(ada, instance_id="two").status_code == 202
