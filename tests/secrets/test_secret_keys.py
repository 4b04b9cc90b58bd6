"""Keys whose values are secrets, through every surface of keys."""

import pytest
from cryptography.fernet import Fernet

from app.secrets.markers import BULLETS
from tests.client import Person, assert_problem, program
from tests.keys.calls import CHANGES, CONFIGS, ITEMS, make, put

PLAIN = "correct-horse-battery"


def value_of(person: Person, key: str = "timeout"):
    answer = person.get(f"{ITEMS}/{key}", service_name="billing")
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


def rows(person: Person) -> list:
    return person.get(CONFIGS).json()["configs"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (PLAIN, "string"),
        (30, "number"),
        (1.50, "number"),
        (True, "boolean"),
        ({"user": "a", "password": PLAIN}, "json"),
        ([PLAIN, 1], "json"),
        ("", "string"),
    ],
    ids=repr,
)
def test_any_value_can_be_a_secret(ada: Person, value, kind: str):
    made = make(ada, value=value, is_encrypted=True)
    assert made["is_encrypted"]
    assert made["value_type"] == kind
    assert made["value"]["$secret"] == BULLETS
    assert value_of(ada) == value
    revealed = ada.get(f"{CONFIGS}/{made['id']}", reveal=True).json()["value"]
    assert revealed == {**made["value"], "$secret": value}
    config = ada.get("/config/get", service="billing", reveal=True).json()["config"]
    again = ada.update("billing", config).json()
    assert again["version"] == 1


def test_null_cannot_be_a_secret(ada: Person):
    answer = ada.post(
        CONFIGS, {"key": "a", "value": None, "app_id": "billing", "is_encrypted": True}
    )
    assert_problem(answer, 422, "invalid_secret")
    nested = {"a": {"$secret": "x"}}
    answer = ada.post(
        CONFIGS, {"key": "a", "value": nested, "app_id": "billing", "is_encrypted": True}
    )
    assert_problem(answer, 422, "invalid_secret")


def test_the_type_of_a_secret_is_checked(ada: Person):
    body = {"key": "a", "app_id": "billing", "value_type": "number"}
    for value in ({"value": "x", "is_encrypted": True}, {"value": {"$secret": "x"}}):
        assert_problem(ada.post(CONFIGS, {**body, **value}), 422, "value_type_mismatch")
    made = make(ada, value=5, is_encrypted=True, value_type="number")
    assert_problem(put(ada, made["id"], {"value_type": "string"}), 422, "value_type_mismatch")


def test_a_secret_stays_one_until_said_otherwise(ada: Person):
    made = make(ada, value=PLAIN, is_encrypted=True)
    assert put(ada, made["id"], {"value": "new"}).json()["value"]["$secret"] == BULLETS
    ada.update("billing", {"timeout": "newer"})
    assert value_of(ada) == "newer"
    assert rows(ada)[0]["is_encrypted"]
    ada.request("PATCH", "/config/billing", json={"timeout": "newest"})
    change = {"service": "billing", "key": "timeout", "op": "set", "value": "last"}
    answer = ada.post(CHANGES, {"changes": [change]})
    assert answer.json()["changes"][0]["value"]["$secret"] == BULLETS
    assert value_of(ada) == "last"
    assert_problem(put(ada, made["id"], {"is_encrypted": False}), 422, "value_needed")
    shown = put(ada, made["id"], {"is_encrypted": False, "value": "open"}).json()
    assert (shown["value"], shown["is_encrypted"]) == ("open", False)


def test_a_part_that_is_a_secret_stays_one(ada: Person):
    config = {"db": {"host": "a", "password": {"$secret": "one"}, "port": {"$secret": "1"}}}
    ada.update("billing", config)

    def shown():
        stored = ada.get("/config/get", service="billing").json()["config"]["db"]
        secret = [name for name, value in stored.items() if isinstance(value, dict)]
        return ada.get("/config/billing").json()["config"]["db"], secret

    config["db"] = {"host": "b", "password": "two", "port": 5432}
    assert ada.update("billing", config).status_code == 200
    assert shown() == (config["db"], ["password", "port"])
    ada.request("PATCH", "/config/billing", json={"db": {"password": "three", "port": None}})
    assert shown() == ({"host": "b", "password": "three"}, ["password"])
    [key] = rows(ada)
    put(ada, key["id"], {"value": {"password": "four", "port": 1}})
    assert shown() == ({"password": "four", "port": 1}, ["password"])
    put(ada, key["id"], {"value": {"password": "four", "port": 1}})
    assert put(ada, key["id"], {"value": {"password": "four", "port": 1}}).json()["version"] == 4
    put(ada, key["id"], {"value": {"password": "five"}, "is_encrypted": False})
    assert shown() == ({"password": "five"}, [])


def test_a_plain_value_becomes_a_secret(ada: Person):
    made = make(ada, value=PLAIN)
    changed = put(ada, made["id"], {"is_encrypted": True}).json()
    assert changed["value"]["$secret"] == BULLETS
    assert changed["version"] == 2
    assert value_of(ada) == PLAIN
    assert put(ada, made["id"], {"is_encrypted": True}).json()["version"] == 2


def test_inactive_secrets_keep_their_value(ada: Person):
    made = make(ada, value=PLAIN, is_encrypted=True)
    parked = put(ada, made["id"], {"is_active": False}).json()
    assert parked["value"]["$secret"] == BULLETS
    assert put(ada, made["id"], {"value": "new"}).json()["value"]["$secret"] == BULLETS
    answer = put(ada, made["id"], {"is_active": False, "value_type": "number"})
    assert_problem(answer, 422, "value_type_mismatch")
    make(ada, "other", 1)  # the document is written around it
    assert ada.update("billing", {"other": 2}).status_code == 200
    assert ada.request("PATCH", "/config/billing", json={"other": 3}).status_code == 200
    put(ada, made["id"], {"is_active": True})
    assert value_of(ada) == "new"


def test_deep_secrets_are_shown(ada: Person):
    value: object = "deep"
    for _ in range(62):
        value = [value]
    made = make(ada, value=value, is_encrypted=True)
    revealed = ada.get(f"{CONFIGS}/{made['id']}", reveal=True)
    assert revealed.json()["value"]["$secret"] == value


def test_the_order_of_members_is_no_change(ada: Person):
    made = make(ada, value={"a": 1, "b": 2}, is_encrypted=True)
    assert put(ada, made["id"], {"value": {"b": 2, "a": 1}}).json()["version"] == 1


def test_a_secret_can_give_way_to_an_object_with_secrets(ada: Person):
    make(ada, value=PLAIN, is_encrypted=True)
    ada.update("billing", {"timeout": {"user": "u", "password": {"$secret": "x"}}})
    assert value_of(ada) == {"user": "u", "password": "x"}


def test_histories_are_masked(ada: Person):
    made = make(ada, value=PLAIN, is_encrypted=True)
    put(ada, made["id"], {"value": PLAIN + "2"})
    for path in (
        f"/api/v1/versions/config/{made['id']}",
        f"{ITEMS}/{made['id']}/history",
        "/config/billing/history",
        "/config/list",
        CONFIGS,
        ITEMS,
    ):
        answer = ada.get(path)
        assert answer.status_code == 200, path
        assert PLAIN not in answer.text
    answer = ada.post(f"/api/v1/versions/rollback/{made['id']}", {"target_version": 1})
    assert answer.json()["value"]["$secret"] == BULLETS
    assert value_of(ada) == PLAIN
    assert ada.get(CONFIGS, q=PLAIN).json()["configs"] == []


def test_fetching_one_key_reads_one_secret(ada: Person):
    make(ada, "a", PLAIN, is_encrypted=True)
    make(ada, "b", "other", is_encrypted=True)
    answer = ada.post(f"{CONFIGS}/fetch", {"app_id": "billing", "keys": ["a"]})
    assert (answer.json()["configs"], answer.json()["secrets"]) == ({"a": PLAIN}, ["a"])
    [event] = ada.get("/api/v1/audit", action="read_secret").json()["logs"]
    assert list(event["metadata"]["keys"]) == ["a"]
    value_of(ada, "b")
    event = ada.get("/api/v1/audit", action="read_secret").json()["logs"][0]
    assert list(event["metadata"]["keys"]) == ["b"]
    assert event["app_id"] == "billing"
    assert PLAIN not in str(event)


def test_what_is_not_sent_is_not_read(ada: Person):
    make(ada, "a", PLAIN, is_encrypted=True)
    for path in ("/config/billing", f"{ITEMS}/a?service_name=billing"):
        etag = ada.request("GET", path).headers["etag"]
        answer = ada.request("GET", path, headers={"If-None-Match": etag})
        assert answer.status_code == 304
    ada.get("/config/get", service="billing")
    program(ada, actions=["read"]).get("/config/billing")
    reads = ada.get("/api/v1/audit", action="read_secret").json()
    assert reads["total"] == 2


FERNET_KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
KEYS = f"a-key-of-another-form-0123456789-abc,{FERNET_KEY}"


@pytest.mark.parametrize("variables", [{"ENCRYPTION_KEY": KEYS}])
def test_fernet_tokens_are_imported_by_admins(admin: Person, ada: Person):
    token = Fernet(FERNET_KEY).encrypt(PLAIN.encode()).decode()
    assert_problem(ada.update("billing", {"a": {"$fernet": token}}), 403, "admins_only")
    ada = admin
    made = make(ada, "a", {"$fernet": token})
    assert made["is_encrypted"]
    assert value_of(ada, "a") == PLAIN
    assert ada.update("billing", {"b": [{"$fernet": token}]}).status_code == 200
    assert ada.get("/config/billing").json()["config"] == {"b": [PLAIN]}
    foreign = Fernet(Fernet.generate_key()).encrypt(PLAIN.encode()).decode()
    for other in (foreign, "x", "ü" * 100):
        assert_problem(ada.update("billing", {"b": {"$fernet": other}}), 422, "invalid_fernet")
