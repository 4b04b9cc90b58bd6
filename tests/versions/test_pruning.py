"""KEEP_VERSIONS: old versions go, what is needed stays, and nobody is told a wrong past."""

import pytest
from sqlalchemy import text

from app.background.sweep import prune
from app.core import db
from app.core.settings import get_settings
from tests.client import Person, assert_problem

pytestmark = pytest.mark.parametrize("variables", [{"KEEP_VERSIONS": "2"}])


def numbers(person: Person, name: str) -> list[int]:
    versions = person.get("/config/versions", name=name).json()["versions"]
    return [version["version"] for version in versions]


def test_the_newest_versions_stay(ada: Person):
    for n in range(5):
        ada.update("billing", {"n": n})
    ada.update("small", {"n": 0})
    prune()
    assert numbers(ada, "billing") == [5, 4]
    assert numbers(ada, "small") == [1]
    (key,) = ada.get("/api/v1/configs", app_id="billing").json()["configs"]
    kept = ada.get(f"/api/v1/versions/config/{key['id']}").json()
    assert [one["version"] for one in kept["versions"]] == [5, 4]
    assert ada.update("billing", {"n": 9}).json()["version"] == 6
    assert ada.post("/config/billing/rollback", {"version": 5}).json()["config"] == {"n": 4}
    assert_problem(ada.post("/config/billing/rollback", {"version": 1}), 404, "version_not_found")


def test_the_past_that_is_gone_is_said_to_be_gone(ada: Person):
    for n in range(5):
        ada.update("billing", {"n": n})
    prune()
    for at, n in ((5, 4), (4, 3)):
        assert ada.get("/config/billing", at=at).json()["config"] == {"n": n}
    for path, params in (("/config/billing", {}), ("/config/get", {"service": "billing"})):
        assert_problem(ada.get(path, **params, at=3), 410, "history_pruned")
    assert_problem(
        ada.get("/api/v1/diff", **{"from": "billing@@1", "to": "billing"}), 410, "history_pruned"
    )
    assert_problem(ada.post("/api/v1/workspaces/ada/restore", {"at": 1}), 410, "history_pruned")
    assert ada.post("/api/v1/workspaces/ada/restore", {"at": 4}).status_code == 200


def test_what_was_deleted_can_still_be_restored(ada: Person):
    ada.update("billing", {"n": 1})
    for _ in range(3):
        ada.request("DELETE", "/config/delete", params={"service": "billing"})
        ada.post("/config/restore?service=billing")
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    with db.transaction() as session:  # as if it had been deleted more than once
        session.execute(
            text("UPDATE objects SET version = version + 5 WHERE revision > 0 AND checksum IS NULL")
        )
    prune()
    assert ada.post("/config/restore?service=billing").json()["config"] == {"n": 1}


def test_keeping_everything_is_the_default(ada: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEEP_VERSIONS", "0")
    get_settings.cache_clear()
    for n in range(4):
        ada.update("billing", {"n": n})
    prune()
    assert len(numbers(ada, "billing")) == 4
