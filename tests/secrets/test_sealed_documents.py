"""Secrets in documents and keys: stored as handles, shown to those who may see them."""

import json

import pytest
from sqlalchemy import text

from app.core import db
from app.secrets.markers import BULLETS
from tests.client import Person, assert_problem, program

PLAIN = "correct-horse-battery"


def stored(person: Person, service: str = "billing", **more):
    return person.get("/config/get", service=service, **more).json()["config"]


def everything_stored() -> str:
    """Return all that the database holds, but for ciphertexts."""
    with db.transaction() as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).all()
        return "\n".join(
            str(session.scalar(text(f"SELECT json_agg(t) FROM {table} t"))) for table in tables
        )


def test_a_secret_is_stored_as_a_handle_and_shown_as_bullets(ada: Person):
    answer = ada.update("billing", {"db": {"password": {"$secret": PLAIN}, "host": "db1"}})
    assert answer.status_code == 200, answer.text
    marker = answer.json()["config"]["db"]["password"]
    assert marker["$secret"] == BULLETS
    assert set(marker) == {"$secret", "handle", "fingerprint"}
    assert stored(ada) == {"db": {"password": marker, "host": "db1"}}
    revealed = stored(ada, reveal=True)["db"]["password"]
    assert revealed == {**marker, "$secret": PLAIN}
    assert PLAIN not in everything_stored()


def test_services_get_the_value_and_viewers_bullets(ada: Person, bob: Person):
    ada.update("billing", {"db": {"password": {"$secret": PLAIN}}})
    assert ada.get("/config/billing").json()["config"] == {"db": {"password": PLAIN}}
    reader = program(ada, actions=["read"])
    assert reader.get("/config/billing").json()["config"] == {"db": {"password": BULLETS}}
    fetch = {"app_id": "billing"}
    key = program(ada, actions=["read", "read_secrets"])
    for person, seen in ((key, PLAIN), (reader, BULLETS)):
        answer = person.post("/api/v1/configs/fetch", fetch).json()
        assert answer["configs"] == {"db": {"password": seen}}
        assert answer["secrets"] == ["db.password"]
        answer = person.get("/api/v1/config/db.password", service_name="billing").json()
        assert (answer["value"], answer["is_encrypted"]) == (seen, True)
    problem = reader.get("/config/get", service="billing", reveal=True)
    assert_problem(problem, 403, "not_allowed")


def test_a_handle_keeps_its_secret_wherever_it_moves(ada: Person):
    ada.update("billing", {"list": [{"$secret": "one"}, {"$secret": "two"}], "other": 1})
    config = stored(ada)
    moved = {"first": config["list"][1], "list": [{"deep": config["list"][0]}, 5]}
    assert ada.update("billing", moved).status_code == 200
    effective = ada.get("/config/billing").json()["config"]
    assert effective == {"first": "two", "list": [{"deep": "one"}, 5]}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"$secret": BULLETS}, "invalid_secret"),
        ({"$secret": 5}, "invalid_secret"),
        ({"$secret": None}, "invalid_secret"),
        ({"$secret": "x", "more": 1}, "invalid_secret"),
        ({"$secret": "x", "handle": 5}, "invalid_secret"),
        ({"$secret": BULLETS, "handle": "sec_000000000000000000000000"}, "unknown_handle"),
        ({"$secret": "x", "handle": "sec_000000000000000000000000"}, "unknown_handle"),
        ({"$secret": "x", "handle": "anything"}, "unknown_handle"),
        ({"$fernet": "x", "handle": "y"}, "invalid_secret"),
        (BULLETS, "masked_value"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_what_is_not_a_secret_is_refused_and_changes_nothing(ada: Person, value, code: str):
    ada.update("billing", {"a": 1})
    for config in ({"a": value}, {"a": [{"b": value}]}):
        assert_problem(ada.update("billing", config), 422, code)
    assert stored(ada) == {"a": 1}
    assert ada.get("/config/get", service="billing").json()["version"] == 1


@pytest.mark.parametrize("name", ["$secret", "$fernet"])
def test_a_document_is_no_secret(ada: Person, name: str):
    for config in ({name: "x"}, {name: "x", "handle": "y"}):
        assert_problem(ada.update("billing", config), 422, "invalid_secret")
    key = {"service": "billing", "key": name, "op": "set", "value": "x"}
    answer = ada.post("/api/v1/changes", {"changes": [key]})
    assert_problem(answer, 422, "invalid_secret")
    assert_problem(ada.get("/config/get", service="billing"), 404, "config_not_found")


def test_a_handle_of_another_document_or_workspace_is_refused(ada: Person, bob: Person):
    handle = ada.update("billing", {"a": {"$secret": PLAIN}}).json()["config"]["a"]
    assert_problem(ada.update("shop", {"a": handle}), 422, "unknown_handle")
    level = {"environment": "staging"}
    assert_problem(ada.update("billing", {"a": handle}, **level), 422, "unknown_handle")
    assert_problem(bob.update("billing", {"a": handle}), 422, "unknown_handle")


def test_equal_values_make_no_version_and_fingerprints_tell_changes(ada: Person):
    first = ada.update("billing", {"a": {"$secret": PLAIN}}).json()
    again = ada.update("billing", {"a": {"$secret": PLAIN}}).json()
    assert again == first
    revealed = stored(ada, reveal=True)
    assert ada.update("billing", revealed).json() == first
    changed = ada.update("billing", {"a": {"$secret": "another"}}).json()
    assert changed["version"] == 2
    assert changed["config"]["a"]["fingerprint"] != first["config"]["a"]["fingerprint"]
    back = ada.update("billing", {"a": {"$secret": PLAIN}}).json()
    assert back["config"]["a"]["fingerprint"] == first["config"]["a"]["fingerprint"]


def test_whoever_only_writes_learns_nothing_from_versions(ada: Person):
    ada.update("billing", {"a": {"$secret": PLAIN}})
    writer = program(ada, actions=["write"])
    for number, guess in enumerate((PLAIN, PLAIN), start=2):
        answer = writer.update("billing", {"a": {"$secret": guess}}).json()
        assert (answer["version"], answer["config"]) == (number, None)


def test_fingerprints_differ_between_workspaces(ada: Person, bob: Person):
    mine, yours = (
        person.update("billing", {"a": {"$secret": PLAIN}}).json()["config"]["a"]
        for person in (ada, bob)
    )
    assert mine["fingerprint"] != yours["fingerprint"]


def test_the_tag_tells_what_each_caller_sees(ada: Person):
    ada.update("billing", {"a": {"$secret": PLAIN}})
    reader = program(ada, actions=["read"])
    seen = ada.get("/config/billing")
    masked = reader.get("/config/billing")
    assert seen.headers["etag"] != masked.headers["etag"]
    ada.update("billing", {"a": {"$secret": "another"}})
    for before, person, status in ((seen, ada, 200), (masked, reader, 304)):
        headers = {"If-None-Match": before.headers["etag"]}
        assert person.request("GET", "/config/billing", headers=headers).status_code == status


def test_secrets_replace_and_are_replaced_as_a_whole(ada: Person):
    ada.update("_global", {"a": {"$secret": PLAIN}, "b": {"x": 1, "y": 2}})
    ada.update("billing", {"a": {"x": 1}, "b": {"$secret": "b"}})
    assert ada.get("/config/billing").json()["config"] == {"a": {"x": 1}, "b": "b"}
    ada.update("billing", {"c": 1}, environment="staging")
    ada.update("billing", {"a": {"$unset": True}})
    params = {"environment": "staging"}
    assert ada.get("/config/billing", **params).json()["config"] == {"b": {"x": 1, "y": 2}, "c": 1}
    answer = ada.get("/api/v1/config/a.handle", service_name="_global")
    assert_problem(answer, 404, "key_not_found")


def test_going_back_brings_the_old_value(ada: Person):
    for value in ("one", "two"):
        ada.update("billing", {"a": {"$secret": value}})
    ada.post("/config/billing/rollback", {"version": 1})
    assert ada.get("/config/billing").json()["config"] == {"a": "one"}
    assert ada.get("/config/billing", at=2).json()["config"] == {"a": "two"}
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    assert ada.request("POST", "/config/restore", params={"service": "billing"}).status_code == 200
    assert ada.get("/config/billing").json()["config"] == {"a": "one"}
    assert ada.post("/api/v1/workspaces/ada/restore", {"at": 2}).status_code == 200
    assert ada.get("/config/billing").json()["config"] == {"a": "two"}


def test_patches_and_merges_keep_secrets(ada: Person):
    ada.update("billing", {"a": {"$secret": PLAIN}, "b": 1})
    patch = {"b": 2, "c": {"$secret": "new"}}
    answer = ada.request("PATCH", "/config/billing", json=patch)
    assert answer.status_code == 200, answer.text
    operations = [{"op": "move", "from": "/a", "path": "/d"}]
    headers = {"Content-Type": "application/json-patch+json"}
    answer = ada.request(
        "PATCH", "/config/billing", content=json.dumps(operations), headers=headers
    )
    assert answer.status_code == 200, answer.text
    assert ada.get("/config/billing").json()["config"] == {"b": 2, "c": "new", "d": PLAIN}
    base = stored(ada)
    ada.update("billing", {**base, "b": 3})
    mine = {"base_version": 3, "config": {**base, "e": {"$secret": "mine"}}}
    assert ada.post("/config/billing/merge", mine).status_code == 200
    effective = ada.get("/config/billing").json()["config"]
    assert effective == {"b": 3, "c": "new", "d": PLAIN, "e": "mine"}
    ada.request("PATCH", "/config/billing", json={"c": {"$secret": "newer"}})
    assert ada.get("/config/billing").json()["config"]["c"] == "newer"


def test_comparisons_tell_changed_from_unchanged_and_no_more(ada: Person):
    ada.update("billing", {"a": {"$secret": PLAIN}, "b": 1}, environment="staging")
    ada.update("billing", {"a": {"$secret": PLAIN}, "b": 2}, environment="production")
    sides = {"from": "billing@staging", "to": "billing@production"}
    for effective in (False, True):
        answer = ada.get("/api/v1/diff", **sides, effective=effective)
        assert [one["path"] for one in answer.json()["patch"]] == ["/b"]
        assert PLAIN not in answer.text
    ada.update("billing", {"a": {"$secret": "other"}, "b": 2}, environment="production")
    answer = ada.get("/api/v1/diff", **sides)
    assert [one["path"] for one in answer.json()["patch"]] == ["/a/fingerprint", "/b"]
    explained = ada.get("/config/billing", environment="staging", explain=True).json()
    assert explained["explain"]["values"]["a"]["value"] == BULLETS


def test_editors_see_secrets_of_unprotected_environments(ada: Person, bob: Person):
    for environment in ("staging", "production"):
        ada.update("billing", {"a": {"$secret": PLAIN}}, environment=environment)
    ada.request("PATCH", "/environments/production", json={"protected": True})
    ada.request("PUT", "/api/v1/workspaces/ada/members/bob", json={"role": "editor"})
    for environment, seen in (("staging", PLAIN), ("production", BULLETS)):
        params = {"workspace": "ada", "environment": environment}
        assert bob.get("/config/billing", **params).json()["config"] == {"a": seen}
        answer = bob.get("/config/get", service="billing", reveal=True, **params)
        assert answer.status_code == (200 if seen == PLAIN else 403)


def test_a_large_secret_is_kept_whole(ada: Person):
    large = "x" * (1024 * 1024 - 200)
    assert ada.update("billing", {"a": {"$secret": large}}).status_code == 200
    assert ada.get("/config/billing").json()["config"] == {"a": large}
    answer = ada.update("billing", {"a": {"$secret": large + "y" * 200}})
    assert_problem(answer, 413, "body_too_large")


def test_a_merge_takes_a_secret_as_one_value(ada: Person):
    base = ada.update("billing", {"a": {"$secret": "one"}, "n": 1}).json()["config"]
    revealed = stored(ada, reveal=True)
    ada.update("billing", {"a": {"$secret": "theirs"}, "n": 1})
    for mine in ({**base["a"], "$secret": "mine"}, {"$secret": "mine"}, revealed["a"]):
        body = {"base_version": 1, "config": {"a": mine, "n": 2}}
        answer = ada.post("/config/billing/merge", body)
        problem = assert_problem(answer, 409, "merge_conflict")
        assert [one["path"] for one in problem["conflicts"]] == ["/a"]
        assert "mine" not in answer.text
    body = {"base_version": 1, "config": {**base, "n": 2}}
    assert ada.post("/config/billing/merge", body).status_code == 200
    assert ada.get("/config/billing").json()["config"] == {"a": "theirs", "n": 2}


def test_deleted_environments_stay_as_protected_as_they_were(ada: Person, bob: Person):
    level = {"environment": "live"}
    ada.post("/environments", {"name": "live"})
    ada.update("billing", {"a": {"$secret": PLAIN}}, **level)
    ada.request("PATCH", "/environments/live", json={"protected": True})
    ada.request("PUT", "/api/v1/workspaces/ada/members/bob", json={"role": "editor"})
    at = ada.get("/config/get", service="billing", **level).headers["x-configsync-revision"]
    past = {"at": at.partition("-")[2], "workspace": "ada", **level}
    ada.request("DELETE", "/config/delete", params={"service": "billing", **level})
    assert ada.request("DELETE", "/environments/live").status_code in {200, 204}
    assert bob.get("/config/billing", **past).json()["config"] == {"a": BULLETS}
    answer = bob.get("/config/get", service="billing", reveal=True, **past)
    assert_problem(answer, 403, "secrets_not_allowed")


@pytest.mark.parametrize("variables", [{"MAX_DOCUMENT_BYTES": "2048"}])
def test_sealed_values_count_as_the_documents_size(ada: Person):
    for number in range(3):
        body = {"key": f"k{number}", "value": "x" * 800, "app_id": "billing", "is_encrypted": True}
        answer = ada.post("/api/v1/configs", body)
        if number < 2:
            assert answer.status_code == 201, answer.text
    assert_problem(answer, 422, "document_too_large")


def test_versions_with_equal_secrets_do_not_differ(ada: Person):
    ada.update("billing", {"a": {"$secret": PLAIN}, "n": 1})
    program(ada, actions=["write"]).update("billing", {"a": {"$secret": PLAIN}, "n": 2})
    one, two = ada.version_ids("billing")
    answer = ada.get("/config/diff", service="billing", version1_id=one, version2_id=two)
    assert [change["path"] for change in answer.json()["patch"]] == ["/n"]
