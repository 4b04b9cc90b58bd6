"""`GET /api/v1/config?key=`: with a service the same as with the key in the path."""

from tests.client import Person, assert_problem


def values(person: Person, **params: object) -> list:
    answer = person.get("/api/v1/config", **params)
    assert answer.status_code == 200, answer.text
    return [item["value"] for item in answer.json()["configurations"]]


def test_with_a_service_it_is_the_effective_value(ada: Person):
    ada.update("_global", {"a/b": 1, "database": {"timeout": 30}})
    ada.update("billing", {"a/b": 2}, environment="production")
    where = {"service_name": "billing", "environment": "production"}
    assert values(ada, key="a/b", **where) == [2]
    assert values(ada, key="database.timeout", **where) == [30]
    (item,) = ada.get("/api/v1/config", key="a/b", **where).json()["configurations"]
    assert item == ada.get("/api/v1/config/a%2Fb", **where).json()
    assert values(ada, key="nothing", **where) == []
    unknown = ada.get("/api/v1/config", key="a/b", service_name="billing", environment="nowhere")
    assert_problem(unknown, 422, "unknown_environment")


def test_without_one_it_lists_what_is_stored_under_that_name(ada: Person):
    ada.update("_global", {"k": 1})
    ada.update("billing", {"k": 2})
    ada.update("shop", {"j": 3})
    assert values(ada, key="k") == [1, 2]
    assert values(ada, service_name="shop") == [3]
