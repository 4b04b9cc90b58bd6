"""What a service sees: the levels that reach it, merged, the same by every door."""

from itertools import product
from typing import Any

import pytest

from tests.client import Person, assert_problem, program

UNSET = {"$unset": True}
JSON = {"Content-Type": "application/json"}
LEVELS = [
    ("_global", None),
    ("_global", "production"),
    ("billing", None),
    ("billing", "production"),
]
IDS = ["global", "environment", "service", "service in environment"]
MISSING = object()


def place(environment: str | None) -> dict[str, str]:
    return {"environment": environment} if environment else {}


def put(person: Person, level: tuple[str, str | None], config: dict[str, Any]) -> dict[str, Any]:
    name, environment = level
    answer = person.update(name, config, **place(environment))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def delete(person: Person, level: tuple[str, str | None]) -> None:
    query = {"service": level[0], **place(level[1])}
    assert person.request("DELETE", "/config/delete", params=query).status_code == 200


def see(person: Person, service: str, environment: str | None = None, **more: Any) -> dict:
    answer = person.get(f"/config/{service}", **place(environment), **more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def find(config: dict[str, Any], key: str) -> Any:
    """Look a key up as a service would: by its name, or step by step."""
    if key in config:
        return config[key]
    value: Any = config
    for step in key.split("."):
        if not isinstance(value, dict) or step not in value:
            return MISSING
        value = value[step]
    return value


def by_every_door(person: Person, key: str, service: str, environment: str | None) -> list[Any]:
    """Return the effective value of a key by every surface that has it."""
    where = place(environment)
    explained = see(person, service, environment, explain=True)
    asked = {"app_id": service, **where}
    some = person.post("/api/v1/configs/fetch", {**asked, "keys": [key]}).json()
    every = person.post("/api/v1/configs/fetch", asked).json()
    item = person.get(f"/api/v1/config/{key}", service_name=service, **where)
    if person.get("/config/get", service="empty").status_code == 404:
        put(person, ("empty", None), {key: UNSET})
    reference = f"{service}@{environment}" if environment else service
    read = {"from": "empty", "to": reference, "effective": True}
    compared = person.get("/api/v1/diff", **read).json()
    added = {op["path"]: op["value"] for op in compared["patch"] if op["op"] == "add"}
    values = explained["explain"]["values"]
    assert some["version"] == every["version"] == explained["version"]
    assert every["configs"] == explained["config"]
    return [
        find(see(person, service, environment)["config"], key),
        values[key]["value"] if key in values else MISSING,
        some["configs"].get(key, MISSING),
        item.json()["value"] if item.status_code == 200 else MISSING,
        find({path[1:]: value for path, value in added.items()}, key),
    ]


def timeouts(person: Person) -> None:
    put(person, ("_global", None), {"database": {"timeout": 30, "pool": 5}, "name": "all"})
    put(person, ("billing", None), {"database": {"timeout": 60}})
    put(person, ("billing", "production"), {"database": {"timeout": 120}})


@pytest.mark.parametrize(
    ("service", "environment", "expected"),
    [
        ("_global", None, 30),
        ("_global", "production", 30),
        ("billing", None, 60),
        ("billing", "staging", 60),
        ("billing", "production", 120),
        ("other", None, 30),
        ("other", "production", 30),
    ],
)
def test_the_narrowest_timeout_holds_by_every_door(
    ada: Person, service: str, environment: str | None, expected: int
):
    put(ada, ("_global", None), {"database.timeout": 30})
    put(ada, ("billing", None), {"database.timeout": 60})
    put(ada, ("billing", "production"), {"database.timeout": 120})
    assert by_every_door(ada, "database.timeout", service, environment) == [expected] * 5


def test_an_environment_wide_level_stands_between_global_and_service(ada: Person):
    timeouts(ada)
    put(ada, ("_global", "production"), {"database": {"timeout": 45, "tls": True}})
    put(ada, ("_global", "staging"), {"database": {"timeout": 1}})
    seen = see(ada, "billing", "production")["config"]
    assert seen == {"database": {"timeout": 120, "pool": 5, "tls": True}, "name": "all"}
    assert see(ada, "_global", "production")["config"]["database"]["timeout"] == 45
    assert see(ada, "other", "production")["config"]["database"]["timeout"] == 45
    assert see(ada, "other")["config"]["database"]["timeout"] == 30
    assert see(ada, "billing")["config"] == {"database": {"timeout": 60, "pool": 5}, "name": "all"}


def test_stored_reads_show_one_level_and_nothing_else(ada: Person):
    timeouts(ada)
    for level, timeout in ((("billing", None), 60), (("billing", "production"), 120)):
        name, environment = level
        where = place(environment)
        alone = {"database": {"timeout": timeout}}
        assert see(ada, name, environment, stored=True)["config"] == alone
        assert ada.get("/config/get", service=name, **where).json()["config"] == alone
        assert (
            ada.get("/config/versions", name=name, **where).json()["versions"][0]["config"] == alone
        )
        keys = ada.get("/api/v1/configs", app_id=name, **where).json()["configs"]
        own = [key for key in keys if key["environment"] == environment]
        assert [(key["key"], key["value"]) for key in own] == [("database", {"timeout": timeout})]
        items = ada.get("/api/v1/config", service_name=name, **where).json()["configurations"]
        own = [item for item in items if item["environment"] == environment]
        assert [(item["key"], item["value"]) for item in own] == [
            ("database", {"timeout": timeout})
        ]
    assert ada.get("/configs/billing").json()["data"] == {"database": {"timeout": 60}}


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({"database.timeout": 30}, {"database": {"timeout": 60}}, 60),
        ({"database": {"timeout": 60}}, {"database.timeout": 30}, 30),
        ({"database.timeout": 30}, {"database.timeout": 60}, 60),
        ({"database": {"timeout": 30}}, {"database.timeout": None}, None),
        ({"database.timeout": 30}, {"database": {"timeout": [1]}}, [1]),
    ],
)
@pytest.mark.parametrize("levels", [(0, 2), (0, 1), (1, 2), (2, 3), (0, 3)])
def test_spellings_may_differ_from_level_to_level(
    ada: Person, wide: dict, narrow: dict, expected: Any, levels: tuple[int, int]
):
    put(ada, LEVELS[levels[0]], wide)
    put(ada, LEVELS[levels[1]], narrow)
    found = by_every_door(ada, "database.timeout", "billing", "production")
    assert found == [expected] * 5


@pytest.mark.parametrize("level", range(4), ids=IDS)
@pytest.mark.parametrize(
    ("taken", "kept"),
    [
        ({"a": UNSET}, {"b": 2}),
        ({"a": {"x": UNSET}}, {"a": {"y": {"z": 1}}, "b": 2}),
        ({"a": {"y": {"z": UNSET}}}, {"a": {"x": 1, "y": {}}, "b": 2}),
        ({"a.x": UNSET}, {"a": {"y": {"z": 1}}, "b": 2}),
        ({"none": UNSET, "a": {"none": UNSET}}, {"a": {"x": 1, "y": {"z": 1}}, "b": 2}),
    ],
)
def test_each_level_can_take_away_what_it_inherits(
    ada: Person, level: int, taken: dict, kept: dict
):
    full = {"a": {"x": 1, "y": {"z": 1}}, "b": 2}
    for wider in LEVELS[:level]:
        put(ada, wider, full)
    put(ada, LEVELS[level], taken if level else taken | {"b": 2})
    seen = see(ada, "billing", "production")
    if level:
        assert seen["config"] == kept
    else:
        assert "$unset" not in str(seen["config"])
    stored = see(ada, *LEVELS[level], stored=True)["config"]
    assert stored == (taken if level else taken | {"b": 2})


def test_a_narrower_level_gives_back_what_was_taken(ada: Person):
    put(ada, LEVELS[0], {"a": {"x": 1}})
    put(ada, LEVELS[2], {"a": UNSET})
    put(ada, LEVELS[3], {"a": {"y": 2}})
    assert see(ada, "billing")["config"] == {}
    assert see(ada, "billing", "production")["config"] == {"a": {"y": 2}}
    gone = ada.get("/api/v1/config/a", service_name="billing")
    assert_problem(gone, 404, "key_not_found")
    nothing = ada.post("/api/v1/configs/fetch", {"app_id": "billing", "keys": ["a", "a.x"]})
    assert nothing.json()["configs"] == {}


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [(1, None), (None, 1), ([1, 2], [3]), ({"x": 1}, "text"), ({"x": 1}, None), ([1], {"x": 1})],
)
def test_null_is_a_value_and_only_objects_merge(ada: Person, wide: Any, narrow: Any):
    put(ada, LEVELS[0], {"a": wide, "b": {"c": wide}})
    put(ada, LEVELS[2], {"a": narrow, "b": {"c": narrow}})
    assert see(ada, "billing")["config"] == {"a": narrow, "b": {"c": narrow}}
    item = ada.get("/api/v1/config/b.c", service_name="billing").json()
    assert item["value"] == narrow


def test_explain_names_levels_versions_and_what_is_hidden(ada: Person):
    put(ada, LEVELS[0], {"a": 0})
    put(ada, LEVELS[0], {"a": 1, "only": True})
    put(ada, LEVELS[1], {"a": None})
    put(ada, LEVELS[2], {"a": [1], "b": {"c": 1}})
    put(ada, LEVELS[3], {"a": 4, "b": UNSET})
    seen = see(ada, "billing", "production", explain=True)
    assert seen["config"] == {"a": 4, "only": True}
    told = seen["explain"]
    described = [
        {"level": "global", "service": "_global", "environment": None, "version": 2, "revision": 2},
        {
            "level": "environment",
            "service": "_global",
            "environment": "production",
            "version": 1,
            "revision": 3,
        },
        {
            "level": "service",
            "service": "billing",
            "environment": None,
            "version": 1,
            "revision": 4,
        },
        {
            "level": "service in environment",
            "service": "billing",
            "environment": "production",
            "version": 1,
            "revision": 5,
        },
    ]
    assert told["levels"] == described
    assert told["warnings"] == []
    hidden = [
        {"value": value, **level}
        for value, level in zip((1, None, [1]), described[:3], strict=True)
    ]
    assert told["values"] == {
        "a": {"value": 4, **described[3], "hides": hidden},
        "only": {"value": True, **described[0], "hides": []},
    }


def test_explain_says_the_same_config_as_without(ada: Person):
    timeouts(ada)
    plain = see(ada, "billing", "production")
    explained = see(ada, "billing", "production", explain=True)
    assert {name: explained[name] for name in plain if name != "explain"} == {
        name: plain[name] for name in plain if name != "explain"
    }
    assert "explain" not in plain or plain["explain"] is None


@pytest.mark.parametrize("level", range(4), ids=IDS)
def test_a_document_written_both_ways_is_warned_of(ada: Person, level: int):
    put(ada, LEVELS[level], {"a": {"b": 1, "c": 1}, "a.b": 2})
    put(ada, ("other", None), {"x": {"y": 1}, "x.y": 1})
    (warning,) = see(ada, "billing", "production", explain=True)["explain"]["warnings"]
    assert "'a.b'" in warning
    name, environment = LEVELS[level]
    assert (f"{name}@{environment}" if environment else name) in warning
    assert by_every_door(ada, "a.b", "billing", "production")[:4] == [2] * 4


def test_two_levels_that_spell_differently_are_not_warned_of(ada: Person):
    put(ada, LEVELS[0], {"a": {"b": 1}})
    put(ada, LEVELS[2], {"a.b": 2})
    assert see(ada, "billing", explain=True)["explain"]["warnings"] == []


def test_an_empty_wider_level_changes_nothing(ada: Person):
    document = {"log": "info", "log.file": "a.txt"}
    put(ada, ("billing", None), document)
    before = see(ada, "billing")
    assert before["config"] == document
    put(ada, ("_global", None), {})
    after = see(ada, "billing")
    assert (after["config"], after["version"]) == (document, before["version"])


def test_global_is_addressed_like_a_service(ada: Person):
    put(ada, LEVELS[0], {"a": 1})
    put(ada, LEVELS[1], {"b": 2})
    put(ada, LEVELS[2], {"c": 3})
    everywhere, here = see(ada, "_global"), see(ada, "_global", "production")
    assert (everywhere["service"], everywhere["environment"]) == ("_global", None)
    assert everywhere["config"] == {"a": 1}
    assert (here["service"], here["environment"]) == ("_global", "production")
    assert here["config"] == {"a": 1, "b": 2}
    asked = {"app_id": "_global", "environment": "production"}
    assert ada.post("/api/v1/configs/fetch", asked).json()["configs"] == {"a": 1, "b": 2}
    assert see(ada, "never-heard-of", "production")["config"] == {"a": 1, "b": 2}


def test_without_any_level_there_is_nothing(ada: Person):
    put(ada, ("_global", "production"), {"a": 1})
    put(ada, ("billing", "production"), {"a": 1})
    for where in ({}, {"environment": "staging"}):
        answer = ada.get("/config/billing", **where)
        problem = assert_problem(answer, 404, "config_not_found")
        assert "'billing'" in problem["detail"]
        asked = {"app_id": "billing", **where}
        assert_problem(ada.post("/api/v1/configs/fetch", asked), 404, "config_not_found")
        item = ada.get("/api/v1/config/a", service_name="billing", **where)
        assert_problem(item, 404, "config_not_found")
    delete(ada, ("billing", "production"))
    assert see(ada, "billing", "production")["config"] == {"a": 1}
    delete(ada, ("_global", "production"))
    gone = ada.get("/config/billing", environment="production")
    assert_problem(gone, 404, "config_not_found")


def test_an_unknown_environment_is_told_apart_from_an_empty_one(ada: Person):
    put(ada, LEVELS[0], {"a": 1})
    assert see(ada, "billing", "staging")["config"] == {"a": 1}
    answers = [
        ada.get("/config/billing", environment="nowhere"),
        ada.get("/config/_global", environment="nowhere"),
        ada.post("/api/v1/configs/fetch", {"app_id": "billing", "environment": "nowhere"}),
        ada.get("/api/v1/config/a", service_name="billing", environment="nowhere"),
        ada.get("/api/v1/diff", **{"from": "x@nowhere", "to": "x", "effective": True}),
    ]
    for answer in answers:
        problem = assert_problem(answer, 422, "unknown_environment")
        assert "'nowhere'" in problem["detail"]


@pytest.mark.parametrize("has", list(product((False, True), repeat=4)))
def test_document_members_are_those_of_the_very_level(ada: Person, has: tuple[bool, ...]):
    written: dict[tuple, dict] = {}
    for level, present in zip(LEVELS, has, strict=True):
        if present:
            written[level] = put(ada, level, {"at": str(level)})
    if not any(has):
        gone = ada.get("/config/billing", environment="production")
        assert_problem(gone, 404, "config_not_found")
        return
    seen = see(ada, "billing", "production")
    assert seen["revision"] == sum(has)
    assert seen["config"] == {"at": str(list(written)[-1])}
    if own := written.get(LEVELS[3]):
        assert seen["document_version"] == own["version"]
        got = ada.get("/config/get", service="billing", environment="production")
        assert seen["document_etag"] == got.headers["etag"]
    else:
        assert (seen["document_version"], seen["document_etag"]) == (None, None)


def test_the_tag_of_a_merged_answer_fits_no_write(ada: Person):
    timeouts(ada)
    answer = ada.get("/config/billing", environment="production")
    tag, document_tag = answer.headers["etag"], answer.json()["document_etag"]
    assert tag == f'"e{answer.json()["version"]}"'
    body = {"environment": "production", "config": {"database": {"timeout": 1}}}
    refused = ada.post("/config/billing", body, headers={"If-Match": tag})
    problem = assert_problem(refused, 412, "etag_of_effective")
    assert problem["current"]["etag"] == document_tag
    patched = ada.request(
        "PATCH",
        "/config/billing",
        params={"environment": "production"},
        json={"x": 1},
        headers={"If-Match": tag},
    )
    assert_problem(patched, 412, "etag_of_effective")
    written = ada.post("/config/billing", body, headers={"If-Match": document_tag})
    assert written.status_code == 200
    absent = ada.post(
        "/config/billing", {**body, "environment": "staging"}, headers={"If-Match": tag}
    )
    assert assert_problem(absent, 412, "etag_of_effective")["current"] is None


def test_the_version_changes_exactly_when_the_config_does(ada: Person):
    timeouts(ada)
    first = ada.get("/config/billing", environment="production")
    tag = {"If-None-Match": first.headers["etag"]}
    path = "/config/billing?environment=production"

    def again() -> tuple[int, int]:
        answer = ada.request("GET", path, headers=tag)
        now = see(ada, "billing", "production")
        same = now["version"] == first.json()["version"]
        assert same == (now["config"] == first.json()["config"]) == (answer.status_code == 304)
        return answer.status_code, now["revision"]

    put(ada, LEVELS[0], {"database": {"timeout": 31, "pool": 5}, "name": "all"})
    assert again() == (304, 4)
    put(ada, ("other", None), {"database": {"timeout": 7}})
    put(ada, ("_global", "staging"), {"database": {"timeout": 7}})
    assert again() == (304, 4)
    put(ada, LEVELS[2], {"name": "all", "database": {"timeout": 60}})
    assert again() == (304, 7)
    put(ada, LEVELS[2], {"name": "billing", "database": {"timeout": 60}})
    assert again() == (200, 8)
    put(ada, LEVELS[2], {"database": {"timeout": 60}})
    assert again() == (304, 9)
    delete(ada, LEVELS[2])
    assert again() == (304, 10)
    delete(ada, LEVELS[3])
    assert again() == (200, 11)


def test_equal_configs_have_one_version_wherever_they_come_from(ada: Person, bob: Person):
    put(ada, ("billing", None), {"a": 1, "b": {"c": 1e2}})
    put(bob, ("_global", None), {"b": {"c": 100.0, "d": 1}})
    put(bob, ("shop", "staging"), {"b": {"d": UNSET}, "a": 1})
    assert see(ada, "billing")["version"] == see(bob, "shop", "staging")["version"]


def test_a_key_that_is_not_active_is_as_if_absent(ada: Person):
    put(ada, LEVELS[0], {"a": 1})
    made = ada.post("/api/v1/configs", {"key": "a", "value": 2, "app_id": "billing"}).json()
    assert by_every_door(ada, "a", "billing", None) == [2] * 5
    parked = ada.request("PUT", f"/api/v1/configs/{made['id']}", json={"is_active": False})
    assert parked.status_code == 200
    assert by_every_door(ada, "a", "billing", None) == [1] * 5


@pytest.mark.parametrize(
    "config",
    ['{"z":1,"a":{"y":1e2,"x":-0.0}}', '{"n":[1.50,1E+2,-0],"a.b":{"c":null}}', '{"ü":"€"}'],
)
@pytest.mark.parametrize("level", range(4), ids=IDS)
def test_a_single_level_comes_back_as_it_was_written(ada: Person, config: str, level: int):
    name, environment = LEVELS[level]
    where = f',"environment":"{environment}"' if environment else ""
    body = f'{{"config":{config}{where}}}'.encode()
    assert ada.request("POST", f"/config/{name}", content=body, headers=JSON).status_code == 200
    for text in (
        ada.get("/config/billing", environment="production").text,
        ada.get("/config/billing", environment="production", explain=True).text,
        ada.get("/config/billing", environment="production", at=1).text,
    ):
        assert f'"config":{config}' in text
    asked = {"app_id": "billing", "environment": "production"}
    assert f'"configs":{config}' in ada.post("/api/v1/configs/fetch", asked).text


def test_numbers_keep_their_writing_through_a_merge(ada: Person):
    for name, config in (("_global", '{"z":1e2,"m":{"b":-0.0}}'), ("billing", '{"m":{"a":1.50}}')):
        body = f'{{"config":{config}}}'.encode()
        ada.request("POST", f"/config/{name}", content=body, headers=JSON)
    assert '"config":{"z":1e2,"m":{"b":-0.0,"a":1.50}}' in ada.get("/config/billing").text


def test_levels_and_values_cost_no_more_queries(ada: Person, query_recorder):
    def count(**params: Any) -> int:
        where = {"environment": "production", **params}
        ada.get("/config/billing", **where)
        with query_recorder() as queries:
            assert ada.get("/config/billing", **where).status_code == 200
        return len(queries)

    put(ada, LEVELS[3], {"a": 1})
    alone = [count(), count(explain=True), count(at=1)]
    for level in LEVELS[:3]:
        put(ada, level, {f"key{n}": {"x": n} for n in range(50)})
    for number in range(5):
        put(ada, LEVELS[0], {"n": number})
    assert [count(), count(explain=True), count(at=1)] == alone
    assert count() <= 4


SCOPED = {"services": ["billing"], "environments": ["production"]}


def test_an_api_key_sees_the_whole_config_of_its_own_place_only(ada: Person):
    timeouts(ada)
    key = program(ada, actions=["read"], **SCOPED)
    seen = see(key, "billing", "production")["config"]
    assert seen == see(ada, "billing", "production")["config"]
    refused = [
        key.get("/config/billing"),
        key.get("/config/billing", environment="staging"),
        key.get("/config/other", environment="production"),
        key.get("/config/_global"),
        key.get("/config/_global", environment="production"),
        key.get("/config/billing", explain=True),
        key.get("/api/v1/config/name", service_name="billing"),
        key.post("/api/v1/configs/fetch", {"app_id": "billing"}),
        key.post("/api/v1/configs/fetch", {"app_id": "other", "environment": "production"}),
    ]
    for answer in refused:
        assert_problem(answer, 403, "outside_scope")
    item = key.get("/api/v1/config/name", service_name="billing", environment="production")
    assert item.json()["value"] == "all"
    asked = {"app_id": "billing", "environment": "production"}
    assert key.post("/api/v1/configs/fetch", asked).json()["configs"] == seen


def test_an_api_key_without_read_sees_nothing(ada: Person):
    timeouts(ada)
    key = program(ada, actions=["write"])
    assert_problem(key.get("/config/billing"), 403, "not_allowed")
    fetched = key.post("/api/v1/configs/fetch", {"app_id": "billing"})
    assert_problem(fetched, 403, "not_allowed")


def test_workspaces_do_not_mix(ada: Person, bob: Person):
    put(ada, LEVELS[0], {"of": "ada"})
    put(bob, LEVELS[2], {"mine": True})
    assert see(bob, "billing")["config"] == {"mine": True}
    assert see(ada, "billing")["config"] == {"of": "ada"}
    assert_problem(bob.get("/config/other"), 404, "config_not_found")
