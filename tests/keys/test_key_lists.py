"""Lists of keys: what they find, page by page, in how many statements."""

from typing import Any

import pytest

from tests.client import Person, assert_problem
from tests.conftest import QueryRecorder
from tests.keys.calls import CONFIGS, ITEMS, drop, make, write


def found(person: Person, **params: Any) -> list[str]:
    answer = person.get(CONFIGS, **params)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["total"] == len(body["configs"])
    return [key["key"] for key in body["configs"]]


def walk(person: Person, path: str, members: str, **params: Any) -> list[int]:
    seen: list[int] = []
    cursor: dict[str, str] = {}
    for _ in range(50):
        page = person.get(path, **params, **cursor).json()
        seen += [one["id"] for one in page[members]]
        if page["next_cursor"] is None:
            return seen
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the pages do not end")


def test_filters(ada: Person):
    make(ada, "g", 1, app_id=None)
    make(ada, "ge", 1, app_id=None, environment="staging")
    make(ada, "s", 1)
    make(ada, "se", 1, environment="staging")
    sleeper = make(ada, "o", 1, app_id="other")
    write(ada, sleeper["id"], is_active=False)
    drop(ada, make(ada, "gone", 1)["id"])
    assert found(ada) == ["g", "ge", "o", "s", "se"]
    assert found(ada, app_id="_global") == ["g", "ge"]
    assert found(ada, app_id="billing") == ["s", "se"]
    assert found(ada, app_id="nobody") == []
    assert found(ada, environment="staging") == ["ge", "se"]
    assert found(ada, app_id="_global", environment="staging") == ["ge"]
    assert found(ada, is_active=True) == ["g", "ge", "s", "se"]
    assert found(ada, is_active=False) == ["o"]
    assert found(ada, app_id="billing", prefix="se") == ["se"]
    items = ada.get(ITEMS, service_name="billing", environment="staging").json()
    assert [one["key"] for one in items["configurations"]] == ["se"]
    assert [one["key"] for one in ada.get(ITEMS, key="g").json()["configurations"]] == ["g"]


def test_a_prefix_and_a_text_are_literal(ada: Person):
    names = ["a%b", "a_b", "axb", "A_B", "a.b", "a\\b", "zz"]
    for number, name in enumerate(names):
        make(ada, name, f"v{number}")
    assert found(ada, prefix="a%") == ["a%b"]
    assert found(ada, prefix="a_") == ["a_b"]
    assert found(ada, prefix="a\\") == ["a\\b"]
    assert set(found(ada, prefix="a")) == {"a%b", "a_b", "axb", "a.b", "a\\b"}
    assert found(ada, q="%") == ["a%b"]
    assert set(found(ada, q="a_b")) == {"a_b", "A_B"}
    assert set(found(ada, q="A_B")) == {"a_b", "A_B"}
    assert found(ada, q="\\") == ["a\\b"]
    for attack in ("' OR 1=1 --", "';DROP TABLE keys;--", '"', "%25", "a'", "$1", ":text"):
        assert found(ada, q=attack) == found(ada, prefix=attack) == []
        assert ada.get(CONFIGS, app_id=f"{attack} ").status_code == 422


def test_a_text_finds_names_in_every_script(ada: Person):
    make(ada, "Über", 1)
    for text in ("Über", "Ü", "über", "ÜBER"):
        assert found(ada, q=text) == ["Über"], text


def test_a_text_is_a_value_as_text_or_as_json(ada: Person):
    values: dict[str, Any] = {
        "number": 42,
        "text": "42",
        "true": True,
        "null": None,
        "object": {"b": 1, "a": [2]},
        "part": "see 42",
    }
    for name, value in values.items():
        make(ada, f"k.{name}", value)
    assert found(ada, q="42") == ["k.number", "k.text"]

    assert found(ada, q='"42"') == ["k.text"]
    assert found(ada, q='{"a": [2], "b": 1}') == ["k.object"]
    assert found(ada, q="see 42") == ["k.part"]
    assert found(ada, q="TRUE") == found(ada, q="true") == ["k.true"]
    assert found(ada, q="{broken") == []


def test_each_key_comes_once_however_one_walks(ada: Person):
    for service in ("a", "b", "c"):
        ada.update(service, {f"k{number}": number for number in range(7)})
    ids = [key["id"] for key in ada.get(CONFIGS).json()["configs"]]
    assert len(set(ids)) == 21
    for size in (1, 4, 7, 21, 500):
        assert walk(ada, CONFIGS, "configs", page_size=size) == ids
        assert walk(ada, ITEMS, "configurations", limit=size) == ids
    assert walk(ada, CONFIGS, "configs", limit=5, app_id="b") == [
        key["id"] for key in ada.get(CONFIGS, app_id="b").json()["configs"]
    ]
    pages = [ada.get(CONFIGS, page=number, page_size=8).json() for number in (1, 2, 3, 4)]
    assert [key["id"] for page in pages for key in page["configs"]] == ids
    assert [(page["page"], page["page_size"], page["total"]) for page in pages] == [
        (number, 8, 21) for number in (1, 2, 3, 4)
    ]
    offsets = [ada.get(ITEMS, limit=8, offset=offset).json() for offset in (0, 8, 16, 24)]
    assert [one["id"] for page in offsets for one in page["configurations"]] == ids
    assert (offsets[1]["limit"], offsets[1]["offset"], offsets[1]["total"]) == (8, 8, 21)
    names = [key["key"] for page in pages for key in page["configs"]]
    assert names == sorted(names)


def test_the_limits_of_pages(ada: Person):
    for params in (
        {"page": 0},
        {"page_size": 0},
        {"page_size": 501},
        {"limit": 501},
        {"is_active": "maybe"},
        {"environment": ""},
        {"prefix": "p" * 256},
        {"q": "q" * 256},
        {"page": 10_000, "page_size": 500},
    ):
        assert_problem(ada.get(CONFIGS, **params), 422, "validation_error")
    for params in ({"limit": 0}, {"limit": 501}, {"offset": -1}, {"offset": 10_001}):
        assert_problem(ada.get(ITEMS, **params), 422, "validation_error")
    assert ada.get(ITEMS, offset=10_000).json()["configurations"] == []
    for path in (CONFIGS, ITEMS):
        for cursor in ("x", "!!", "bm9uZQ=="):
            assert_problem(ada.get(path, cursor=cursor), 422, "invalid_cursor")


@pytest.mark.parametrize("path", [CONFIGS, ITEMS])
def test_long_lists_take_as_many_statements(ada: Person, path: str, query_recorder: QueryRecorder):
    place = "app_id" if path == CONFIGS else "service_name"
    ada.update("few", {f"k{number}": number for number in range(3)})
    ada.update("many", {f"k{number}": number for number in range(60)})
    counts = []
    for service, size in (("few", 3), ("many", 60)):
        ada.get(path, limit=500)
        with query_recorder() as queries:
            body = ada.get(path, limit=500, **{place: service}).json()
        assert body["total"] == size
        counts.append(len(queries))
    assert counts[0] == counts[1]
