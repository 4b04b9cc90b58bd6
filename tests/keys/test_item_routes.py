"""Keys in the second family's words."""

from typing import Any

from tests.client import Person, assert_problem
from tests.keys.calls import (
    CONFIGS,
    ITEMS,
    document,
    drop,
    fetch,
    head,
    history,
    item,
    make,
    write,
)


def make_item(person: Person, key: str = "timeout", value: Any = 30, **more: Any) -> dict[str, Any]:
    body = {"key": key, "value": value, "service_name": "billing", **more}
    answer = person.post(ITEMS, body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_an_item_says_everything(ada: Person):
    made = make_item(ada, environment="production", description="seconds")
    assert made == {
        "id": made["id"],
        "key": "timeout",
        "value": 30,
        "environment": "production",
        "service_name": "billing",
        "description": "seconds",
        "is_encrypted": False,
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert item(ada, "timeout", environment="production").json() == made
    assert ada.get(ITEMS).json()["configurations"] == [made]


def test_an_item_is_the_key_of_the_first_family(ada: Person):
    made = make_item(ada)
    key = ada.get(f"{CONFIGS}/{made['id']}").json()
    assert {name: key[name] for name in made if name != "service_name"} == {
        name: made[name] for name in made if name != "service_name"
    }
    assert key["app_id"] == made["service_name"]


def test_a_global_item(ada: Person):
    made = make_item(ada, service_name="_global")
    assert made["service_name"] == "_global"
    assert ada.get(f"{CONFIGS}/{made['id']}").json()["app_id"] is None
    assert ada.get(f"{ITEMS}/timeout").json() == made
    inherited = item(ada, "timeout").json()
    assert (inherited["id"], inherited["service_name"]) == (made["id"], "billing")


def test_a_bad_item_is_refused(ada: Person):
    good = {"key": "a", "value": 1, "service_name": "billing"}
    bodies: list[dict[str, Any]] = [
        {name: value for name, value in good.items() if name != missing} for missing in good
    ]
    bodies += [
        {**good, "service_name": None},
        {**good, "value_type": "number"},
        {**good, "app_id": "billing"},
        {**good, "is_active": False},
    ]
    for body in bodies:
        assert_problem(ada.post(ITEMS, body), 422, "validation_error")
    assert head(ada) == 0
    made = make_item(ada)
    for more in ({"value_type": "json"}, {"is_active": False}, {"key": "b"}):
        answer = ada.request("PUT", f"{ITEMS}/{made['id']}", json=more)
        assert_problem(answer, 422, "validation_error")


def test_an_item_is_updated_and_deleted(ada: Person):
    made = make_item(ada, description="d")
    path = f"{ITEMS}/{made['id']}"
    answer = ada.request("PUT", path, json={"value": 60, "message": "slow"})
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["value"], changed["version"], changed["description"]) == (60, 2, "d")
    described = ada.request("PUT", path, json={"description": "new"}).json()
    assert (described["value"], described["version"], described["description"]) == (60, 3, "new")
    gone = ada.request("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert_problem(ada.request("DELETE", path), 404, "key_not_found")
    assert ada.get(ITEMS).json()["total"] == 0
    assert document(ada) == {}


def test_an_item_has_the_effective_value_and_the_key_it_comes_from(ada: Person):
    levels = [("_global", None), ("_global", "staging"), ("billing", None), ("billing", "staging")]
    for number, (service, environment) in enumerate(levels):
        made = make_item(ada, "n", number, service_name=service, environment=environment)
        seen = item(ada, "n", environment="staging").json()
        assert (seen["value"], seen["id"]) == (number, made["id"])
        assert (seen["service_name"], seen["environment"]) == ("billing", "staging")
    assert item(ada, "n").json()["value"] == 2
    assert item(ada, "n", service_name="other").json()["value"] == 0
    assert item(ada, "n", service_name="other", environment="staging").json()["value"] == 1


def test_objects_of_several_levels_are_merged(ada: Person):
    make(ada, "db", {"host": "a", "port": 1}, app_id=None)
    narrow = make(ada, "db", {"host": "b"})
    merged = item(ada, "db").json()
    assert (merged["value"], merged["id"]) == ({"host": "b", "port": 1}, narrow["id"])


def test_dots_lead_into_objects_and_the_holder_is_named(ada: Person):
    wide = make(ada, "db", {"host": "a", "pool": {"size": 5}}, app_id=None, description="the db")
    narrow = make(ada, "db", {"host": "b"})
    size = item(ada, "db.pool.size").json()
    assert (size["value"], size["id"], size["description"]) == (5, wide["id"], "the db")
    assert size["key"] == "db.pool.size"
    host = item(ada, "db.host").json()
    assert (host["value"], host["id"]) == ("b", narrow["id"])
    for name in ("db.none", "db.host.x", "db.", ".db", "d"):
        assert_problem(item(ada, name), 404, "key_not_found")


def test_a_literal_dot_comes_first(ada: Person):
    ada.update("billing", {"db": {"host": "nested", "port": 1}, "db.host": "literal"})
    assert item(ada, "db.host").json()["value"] == "literal"
    assert item(ada, "db.port").json()["value"] == 1


def test_a_path_beside_a_dotted_key_names_its_own_holder(ada: Person):
    ada.update("billing", {"a": {"b": {"x": 1}}, "a.b": {"c": 2}})
    for name, holder in (("a.b.x", "a"), ("a.b.c", "a.b")):
        key = next(k for k in ada.get(CONFIGS).json()["configs"] if k["key"] == holder)
        assert item(ada, name).json()["id"] == key["id"], name


def test_a_null_is_a_value_and_unset_is_none(ada: Person):
    make(ada, "n", 1, app_id=None)
    narrow = make(ada, "n", None)
    seen = item(ada, "n")
    assert (seen.status_code, seen.json()["value"]) == (200, None)
    write(ada, narrow["id"], value={"$unset": True})
    assert_problem(item(ada, "n"), 404, "key_not_found")
    assert item(ada, "n", service_name="other").json()["value"] == 1


def test_missing_items(ada: Person):
    assert_problem(item(ada, "a"), 404, "config_not_found")
    make(ada)
    problem = assert_problem(item(ada, "a"), 404, "key_not_found")
    assert "'a'" in problem["detail"]
    assert "'ada'" in problem["detail"]
    assert_problem(item(ada, "timeout", environment="nowhere"), 422, "unknown_environment")
    assert_problem(ada.get(f"{ITEMS}/timeout"), 404, "config_not_found")


def test_an_item_of_the_past(ada: Person):
    made = make(ada, value=1)
    write(ada, made["id"], value=2)
    drop(ada, made["id"])
    for at, number in ((1, 1), (2, 2)):
        seen = item(ada, "timeout", at=at).json()
        assert (seen["value"], seen["version"], seen["id"]) == (number, number, made["id"])
    assert_problem(item(ada, "timeout", at=3), 404, "key_not_found")
    assert_problem(item(ada, "timeout", at=4), 422, "at_out_of_range")


def test_an_item_has_an_effective_tag(ada: Person):
    made = make(ada)
    tag = item(ada, "timeout").headers["etag"]
    assert tag.startswith('"e')
    path = f"{ITEMS}/timeout?service_name=billing"
    assert ada.request("GET", path, headers={"If-None-Match": tag}).status_code == 304
    write(ada, made["id"], value=31)
    fresh = ada.request("GET", path, headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["value"]) == (200, 31)


def test_a_changed_description_is_sent_again(ada: Person):
    made = make(ada)
    path = f"{ITEMS}/timeout?service_name=billing"
    tag = ada.request("GET", path).headers["etag"]
    write(ada, made["id"], description="seconds")
    fresh = ada.request("GET", path, headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["description"]) == (200, "seconds")


def test_a_history_has_old_and_new_values(ada: Person):
    made = make(ada, value=1)
    write(ada, made["id"], value={"a": 2}, message="m")
    drop(ada, made["id"])
    ada.update("billing", {"timeout": None})
    changes = history(ada, made["id"])
    assert [(one["old_value"], one["new_value"]) for one in changes] == [
        (None, 1),
        (1, {"a": 2}),
        ({"a": 2}, None),
        (None, None),
    ]
    assert [(one["version"], one["revision"]) for one in changes] == [(n, n) for n in range(1, 5)]
    assert {one["configuration_id"] for one in changes} == {made["id"]}
    assert {one["changed_by"] for one in changes} == {"ada"}
    assert set(changes[0]) == {
        "id",
        "configuration_id",
        "old_value",
        "new_value",
        "changed_by",
        "changed_at",
        "version",
        "revision",
    }


def test_a_history_in_pages(ada: Person):
    made = make(ada, value=0)
    for number in range(1, 4):
        write(ada, made["id"], value=number)
    for limit in (1, 2, 4, 500):
        seen: list[tuple[int, Any]] = []
        cursor: dict[str, Any] = {}
        for _ in range(6):
            page = ada.get(f"{ITEMS}/{made['id']}/history", limit=limit, **cursor).json()
            seen += [(one["version"], one["old_value"]) for one in page["history"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == [(4, 2), (3, 1), (2, 0), (1, None)]


def test_bad_pages_of_a_history(ada: Person):
    path = f"{ITEMS}/{make(ada)['id']}/history"
    assert_problem(ada.get(path, limit=0), 422, "validation_error")
    assert_problem(ada.get(path, limit=501), 422, "validation_error")
    assert_problem(ada.get(path, cursor="x"), 422, "invalid_cursor")


NAMES = [
    "a" * 255,
    "ü" * 255,
    "😀" * 255,
    "a/b",
    "/a",
    "a//b",
    "a/",
    "a.b/c",
    "100%",
    "a b",
    "a+b",
    "a?b=c&d#e",
    "Ключ-键-مفتاح",
    "a\\b",
    "'; DROP TABLE keys --",
    '"',
    "{id}",
    "$unset",
    "__proto__",
    "...",
    "a..b",
    "42",
    "-1",
    "0x1",
    "history",
    "x/history",
    "null",
    "<script>",
    "=cmd()",
]


def test_names_go_through_the_path_percent_encoded(ada: Person):
    for name in NAMES:
        made = make(ada, name, {"x": name})
        assert made["key"] == name
        seen = item(ada, name)
        assert seen.status_code == 200, (name, seen.text)
        assert (seen.json()["key"], seen.json()["id"]) == (name, made["id"])
        assert seen.json()["value"] == {"x": name}
    assert document(ada) == {name: {"x": name} for name in NAMES}


def test_names_need_no_path(ada: Person):
    for name in (*NAMES, "%2F", "a%20b"):
        made = make(ada, name, {"x": name})
        listed = ada.get(ITEMS, key=name).json()
        assert [one["key"] for one in listed["configurations"]] == [name]
        assert fetch(ada, keys=[name]).json()["configs"] == {name: {"x": name}}
        assert write(ada, made["id"], value=1)["key"] == name
        drop(ada, made["id"])
    assert document(ada) == {}


def test_a_slash_in_a_path_may_stand_unencoded(ada: Person):
    made = make(ada, "a/b", 1)
    assert ada.get(f"{ITEMS}/a/b", service_name="billing").json()["id"] == made["id"]


def test_a_key_with_a_final_slash_is_another_key(ada: Person):
    plain, slashed = make(ada, "a", 1), make(ada, "a/", 2)
    assert item(ada, "a").json()["id"] == plain["id"]
    assert item(ada, "a/").json()["id"] == slashed["id"]
    assert ada.get(f"{ITEMS}/a/", service_name="billing").json()["id"] == plain["id"]


def test_a_number_before_history_is_an_id(ada: Person):
    made = make(ada, "7/history", "a key")
    number = make(ada, str(made["id"]), "named like an id")
    assert item(ada, str(made["id"])).json()["id"] == number["id"]
    changes = ada.get(f"{ITEMS}/{made['id']}/history").json()["history"]
    assert [one["configuration_id"] for one in changes] == [made["id"]]
    (found,) = ada.get(ITEMS, key="7/history").json()["configurations"]
    assert found["value"] == "a key"
    assert ada.get(f"{ITEMS}/seven/history", service_name="billing").status_code == 404


BAD_NAMES = ["", "a" * 256, "a\nb", "a\tb", "\x7f", "\u200b", "\u2028", "a\u202eb", "\ue000"]


def test_bad_names_are_refused_wherever_one_is_given(ada: Person):
    make(ada)
    for name in BAD_NAMES:
        bodies = [
            (CONFIGS, {"key": name, "value": 1, "app_id": "billing"}),
            (ITEMS, {"key": name, "value": 1, "service_name": "billing"}),
            ("/api/v1/changes", {"changes": [{"key": name, "op": "set", "value": 1}]}),
            (f"{CONFIGS}/fetch", {"app_id": "billing", "keys": [name]}),
        ]
        for path, body in bodies:
            assert_problem(ada.post(path, body), 422, "validation_error")
        assert_problem(ada.get(ITEMS, key=name), 422, "validation_error")
        if name and "\n" not in name:
            assert_problem(item(ada, name), 422, "validation_error")
    assert head(ada) == 1


def test_bytes_that_are_no_name(ada: Person):
    make(ada)
    for name in ("a%00b", "%ff", "%ed%a0%80"):
        answer = ada.get(f"{ITEMS}/{name}", service_name="billing")
        assert_problem(answer, 422, "invalid_encoding")


def test_names_differ_by_case_and_by_form(ada: Person):
    names = ["Key", "key", "\u00e9", "e\u0301"]
    ids = {make(ada, name, name)["id"] for name in names}
    assert len(ids) == 4
    for name in names:
        assert item(ada, name).json()["value"] == name


def test_a_key_with_a_line_break_is_no_key(ada: Person):
    answer = ada.request("GET", f"{ITEMS}/a%0Ab")
    assert_problem(answer, 422, "validation_error")
