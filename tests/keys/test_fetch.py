"""Fetching the effective config by key."""

from tests.client import Person, assert_problem
from tests.keys.calls import CONFIGS, fetch, make, write


def test_a_fetch_says_everything(ada: Person):
    make(ada, "a", 1, app_id=None)
    make(ada, "b", {"c": None}, environment="staging")
    answer = fetch(ada, environment="staging")
    effective = ada.get("/config/billing", environment="staging")
    assert answer.json() == {
        "configs": {"a": 1, "b": {"c": None}},
        "secrets": [],
        "version": effective.json()["version"],
        "revision": 2,
        "cache_ttl": 60,
    }
    assert answer.headers["etag"] == effective.headers["etag"]


def test_the_version_changes_with_the_config_only(ada: Person):
    made = make(ada, "a", 1)
    first = fetch(ada).json()
    write(ada, made["id"], description="d")
    make(ada, "x", 1, app_id="other")
    assert fetch(ada).json()["version"] == first["version"]
    write(ada, made["id"], value=2)
    second = fetch(ada).json()
    assert second["version"] != first["version"]
    assert second["version"] == ada.get("/config/billing").json()["version"]
    write(ada, made["id"], value=1)
    assert fetch(ada).json()["version"] == first["version"]


def test_keys_are_found_literally_and_by_path(ada: Person):
    ada.update("billing", {"db": {"host": "h", "pool": {"size": 5}}, "a.b": 1, "n": None})
    names = ["db.host", "db.pool", "a.b", "n", "db", "none", "db.none", "a", "db.host.x", "n"]
    assert fetch(ada, keys=names).json()["configs"] == {
        "db.host": "h",
        "db.pool": {"size": 5},
        "a.b": 1,
        "n": None,
        "db": {"host": "h", "pool": {"size": 5}},
    }
    assert fetch(ada, keys=[]).json()["configs"] == {}
    assert fetch(ada, keys=None).json()["configs"] == ada.get("/config/billing").json()["config"]


def test_what_a_level_takes_away_is_left_out(ada: Person):
    ada.update("_global", {"a": 1, "b": {"c": 1, "d": 2}})
    ada.update("billing", {"a": {"$unset": True}, "b": {"c": {"$unset": True}}})
    assert fetch(ada, keys=["a", "b.c", "b.d"]).json()["configs"] == {"b.d": 2}


def test_members_of_newer_clients_are_ignored(ada: Person):
    make(ada)
    for more in ({"new": [1]}, {"user_id": "u", "group_ids": ["g"], "context": {"a": 1}}):
        assert fetch(ada, **more).json()["configs"] == {"timeout": 30}


def test_bad_fetches(ada: Person):
    make(ada)
    for body in (
        {},
        {"app_id": None},
        {"app_id": "list"},
        {"app_id": "billing", "keys": "timeout"},
        {"app_id": "billing", "keys": [1]},
        {"app_id": "billing", "keys": ["k"] * 10_001},
        {"app_id": "billing", "environment": ""},
        [],
    ):
        assert_problem(ada.post(f"{CONFIGS}/fetch", body), 422, "validation_error")
    assert_problem(fetch(ada, environment="nowhere"), 422, "unknown_environment")
    assert_problem(fetch(ada, "nobody"), 404, "config_not_found")
    assert fetch(ada, "billing", environment="staging").status_code == 200


def test_fetching_the_past(ada: Person):
    made = make(ada, value=1)
    changed = write(ada, made["id"], value=2)

    def at(moment: object):
        return ada.post(f"{CONFIGS}/fetch", {"app_id": "billing"}, params={"at": moment})

    assert at(1).json()["configs"] == at(made["updated_at"]).json()["configs"] == {"timeout": 1}
    assert at(2).json()["configs"] == at(changed["updated_at"]).json()["configs"] == {"timeout": 2}
    assert_problem(at(0), 404, "config_not_found")
    for moment in (3, "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
        assert_problem(at(moment), 422, "at_out_of_range")
    assert_problem(at("yesterday"), 422, "validation_error")


def test_a_fetch_waits_for_a_revision(ada: Person):
    path = f"{CONFIGS}/fetch"
    revision = ada.update("billing", {"a": 1}).headers["x-configsync-revision"]
    for wanted in ("1", revision):
        answer = ada.post(path, {"app_id": "billing"}, params={"min_revision": wanted})
        assert answer.json()["configs"] == {"a": 1}
    late = ada.post(path, {"app_id": "billing"}, params={"min_revision": 2})
    assert_problem(late, 503, "revision_not_reached")
    assert late.headers["retry-after"].isdecimal()
    other = ada.post(path, {"app_id": "billing"}, params={"min_revision": "abc-1"})
    assert_problem(other, 410, "unknown_epoch")
