"""The effective config of the past: several levels, each as it was then."""

from typing import Any

import pytest

from tests.client import Person, assert_problem

UNSET = {"$unset": True}


def put(person: Person, name: str, config: dict[str, Any], environment: str | None = None) -> str:
    more = {"environment": environment} if environment else {}
    answer = person.update(name, config, **more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["updated_at"])


def at(person: Person, when: object, environment: str | None = "production") -> Any:
    where = {"environment": environment} if environment else {}
    return person.get("/config/billing", at=when, **where)


def history(person: Person) -> list[tuple[str, dict[str, Any] | None]]:
    """Make a history over all levels; return the time and the config of each revision."""
    steps = [
        (put(person, "_global", {"a": 1}), {"a": 1}),
        (put(person, "billing", {"b": 2}), {"a": 1, "b": 2}),
        (put(person, "_global", {"a": 3, "c": 3}, "production"), {"a": 3, "b": 2, "c": 3}),
        (put(person, "billing", {"a": 4}, "production"), {"a": 4, "b": 2, "c": 3}),
        (put(person, "billing", {"b": UNSET}), {"a": 4, "c": 3}),
        (put(person, "_global", {"a": 9, "d": 9}), {"a": 4, "c": 3, "d": 9}),
    ]
    where = {"service": "billing", "environment": "production"}
    assert person.request("DELETE", "/config/delete", params=where).status_code == 200
    gone = person.get("/config/versions", name="billing", environment="production").json()
    return [*steps, (gone["versions"][0]["created_at"], {"a": 3, "c": 3, "d": 9})]


def test_every_revision_and_its_time_answer_as_it_was(ada: Person):
    steps = history(ada)
    for revision, (moment, config) in enumerate(steps, start=1):
        by_number, by_time = at(ada, revision).json(), at(ada, moment).json()
        assert by_number["config"] == config
        assert by_number["revision"] == revision
        assert by_time == by_number
    assert at(ada, len(steps)).json() == ada.get("/config/billing", environment="production").json()
    assert [at(ada, n).json()["document_version"] for n in range(1, 8)] == [
        *(None, None, None),
        *(1, 1, 1),
        None,
    ]


def test_a_time_between_two_revisions_is_the_earlier_one(ada: Person):
    steps = history(ada)
    zero = steps[3][0].replace("Z", "+00:00")
    assert at(ada, zero).json()["revision"] == 4


def test_fetch_items_and_diff_see_the_same_past(ada: Person):
    for revision, (_, config) in enumerate(history(ada), start=1):
        asked = {"app_id": "billing", "environment": "production"}
        fetched = ada.post("/api/v1/configs/fetch", asked, params={"at": revision}).json()
        assert (fetched["configs"], fetched["revision"]) == (config, revision)
        item = ada.get(
            "/api/v1/config/a", service_name="billing", environment="production", at=revision
        ).json()
        assert item["value"] == (config or {})["a"]
        sides = {"from": f"billing@production@{revision}", "to": "billing@production"}
        compared = ada.get("/api/v1/diff", **sides, effective=True).json()
        assert (compared["patch"] == []) == (config == {"a": 3, "c": 3, "d": 9})


def test_explain_tells_the_versions_of_then(ada: Person):
    history(ada)
    told = ada.get("/config/billing", environment="production", at=5, explain=True).json()
    versions = [
        (one["level"], one["version"], one["revision"]) for one in told["explain"]["levels"]
    ]
    assert versions == [
        ("global", 1, 1),
        ("environment", 1, 3),
        ("service", 2, 5),
        ("service in environment", 1, 4),
    ]
    assert told["explain"]["values"]["a"]["hides"][0]["value"] == 1


def test_before_any_level_existed_there_is_nothing(ada: Person):
    history(ada)
    assert_problem(at(ada, 0), 404, "config_not_found")
    assert_problem(ada.get("/config/_global", environment="staging", at=0), 404, "config_not_found")
    assert at(ada, 1, None).json()["config"] == {"a": 1}


def test_after_all_levels_were_deleted_the_past_is_still_there(ada: Person):
    put(ada, "billing", {"b": 1})
    ada.request("DELETE", "/config/delete", params={"service": "billing"})
    put(ada, "billing", {"b": 3})
    assert at(ada, 1).json()["config"] == {"b": 1}
    assert_problem(at(ada, 2), 404, "config_not_found")
    assert at(ada, 3).json()["config"] == {"b": 3}


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("2", "at_out_of_range"),
        ("2999-01-01T00:00:00Z", "at_out_of_range"),
        ("1999-01-01T00:00:00Z", "at_out_of_range"),
        ("soon", "validation_error"),
        ("1.0", "validation_error"),
        ("2026-01-01T00:00:00", "validation_error"),
    ],
)
def test_the_future_the_time_before_the_workspace_and_nonsense(ada: Person, when: str, code: str):
    put(ada, "billing", {"b": 1})
    asked = {"app_id": "billing"}
    for answer in (
        at(ada, when),
        ada.post("/api/v1/configs/fetch", asked, params={"at": when}),
        ada.get("/api/v1/config/b", service_name="billing", at=when),
    ):
        assert_problem(answer, 422, code)


def test_the_past_of_a_renamed_environment_goes_by_its_name_of_today(ada: Person):
    put(ada, "billing", {"b": 1}, "staging")
    assert ada.request("PATCH", "/environments/staging", json={"name": "test"}).status_code == 200
    assert at(ada, 1, "test").json()["config"] == {"b": 1}
    assert_problem(at(ada, 1, "staging"), 422, "unknown_environment")
