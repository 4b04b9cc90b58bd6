"""Who may read: also what was in memory a moment ago is refused within a second, and told of."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.core import db
from app.models import Event
from tests.client import Person, create_key, login, program, register
from tests.keys.calls import key_of
from tests.processes import until
from tests.serving.doors import Call, Doors, effective, fetch, item, send, stored

FORMS = [stored(), effective(), fetch(), item("a")]
SLUG = "acme"


def key(maker: Person, *, workspace: str | None = None, **more: Any) -> Person:
    """Return a program with a key that may read."""
    body = {"scopes": {"actions": ["read"]}, **more}
    made = create_key(maker, workspace=workspace, **body)
    return Person(maker.client, made["key"], made["id"], made["name"])


def warm(doors: Doors, person: Person, **more: Any) -> None:
    """Have everything in memory that a person reads."""
    for call in FORMS:
        for _ in range(2):
            changed = Call(call.path, {**call.params, **more}, call.body)
            assert send(doors.front, person, changed).status_code == 200


def refused(doors: Doors, person: Person, status: int, code: str, **more: Any) -> None:
    """Check that every form is refused within a second, and stays so."""
    time.sleep(0.9)
    for call in FORMS:
        for _ in range(2):
            answer = send(doors.front, person, Call(call.path, {**call.params, **more}, call.body))
            assert (answer.status_code, answer.json()["code"]) == (status, code), call


@pytest.fixture
def acme(ada: Person) -> Person:
    """Return the owner of a shared workspace with a config."""
    assert ada.post("/api/v1/workspaces", {"slug": SLUG}).status_code == 201
    body = {"name": "billing", "config": {"a": 1}}
    assert ada.post(f"/config/update?workspace={SLUG}", body).status_code == 200
    return ada


def test_a_revoked_key(doors, ada):
    ada.update("billing", {"a": 1})
    one, other = key(ada), key(ada)
    warm(doors, one)
    warm(doors, other)
    assert ada.request("DELETE", f"/api/v1/api-keys/{one.id}").status_code == 204
    answer = send(doors.front, one, effective())
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key"), "at once here"
    refused(doors, one, 401, "invalid_api_key")
    warm(doors, other)

    def told() -> int:
        with db.transaction() as session:
            codes = session.scalars(select(Event.detail).where(Event.action == "refused"))
            return sum(detail["code"] == "invalid_api_key" for detail in codes)

    until(lambda: told() == 1 + 2 * len(FORMS), "each refusal is told of", seconds=10)


def test_refusals_are_told_of(doors, ada):
    ada.update("billing", {"a": 1})
    writer = program(ada, actions=["write"])
    for call in FORMS:
        answer = send(doors.front, writer, call)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")

    def paths() -> list[str]:
        logs = ada.get("/api/v1/audit", action="refused", page_size=100).json()["logs"]
        return sorted(log["metadata"]["path"] for log in logs)

    expected = sorted(call.path for call in FORMS)
    until(lambda: paths() == expected, f"each is told of once: {paths()}", seconds=10)


def test_a_rotated_key(doors, ada):
    ada.update("billing", {"a": 1})
    old = key(ada)
    warm(doors, old)
    path = f"/api/v1/api-keys/{old.id}/rotate"
    made = ada.post(path, {"overlap_seconds": 2}).json()
    ends = time.monotonic() + 2
    new = Person(ada.client, made["key"], old.id, "new")
    warm(doors, new)
    if time.monotonic() < ends - 0.5:
        assert send(doors.front, old, effective()).status_code == 200
    time.sleep(max(0.0, ends - time.monotonic()))
    refused(doors, old, 401, "invalid_api_key")
    warm(doors, new)
    ada.post(path, {"overlap_seconds": 0})
    refused(doors, new, 401, "invalid_api_key")


def test_an_expiring_key(doors, ada):
    ada.update("billing", {"a": 1})
    ends = datetime.now(UTC) + timedelta(seconds=3)
    one = key(ada, expires_at=ends.isoformat())
    warm(doors, one)
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()))
    refused(doors, one, 401, "api_key_expired")


def test_addresses(doors, ada):
    ada.update("billing", {"a": 1})
    scopes = {"actions": ["read"], "addresses": ["10.0.0.0/8", "2001:db8::/32"]}
    one = key(ada, scopes=scopes)
    for _ in range(3):
        for address, status in (
            ("10.1.2.3", 200),
            ("192.0.2.1", 403),
            ("::ffff:10.0.0.1", 200),
            ("2001:db8::1", 200),
            ("2001:db9::1", 403),
            ("unknown", 403),
        ):
            client = doors.client(address=address)
            for call in FORMS:
                answer = send(client, one, call)
                assert answer.status_code == status, (address, call, answer.text)
                if status == 403:
                    assert answer.json()["code"] == "address_not_allowed"


def test_scopes_by_service_and_environment(doors, ada):
    for service in ("billing", "bill", "web"):
        for environment in (None, "staging"):
            ada.update(service, {"a": 1}, environment=environment)
    one = program(ada, actions=["read"], services=["bill*"], environments=["staging"])
    for _ in range(2):
        for service in ("billing", "bill", "web", "_global"):
            for environment in (None, "staging", "production"):
                for call in (effective(service, environment), fetch(service, environment)):
                    answer = send(doors.front, one, call)
                    reached = service in {"billing", "bill"} and environment == "staging"
                    assert answer.status_code == (200 if reached else 403), call
                    assert reached or answer.json()["code"] == "outside_scope"


def test_a_renamed_environment_takes_grants_along(doors, ada, reader):
    ada.update("billing", {"a": 1}, environment="staging")
    one = program(ada, actions=["read"], environments=["staging"])
    warm_call = effective(environment="staging")
    assert send(doors.front, one, warm_call).status_code == 200
    renamed = ada.request("PATCH", "/environments/staging", json={"name": "testing"})
    assert renamed.status_code == 200, renamed.text
    assert send(doors.front, one, effective(environment="testing")).json()["config"] == {"a": 1}
    assert ada.post("/environments", {"name": "staging"}).status_code == 201
    ada.update("billing", {"a": "of others"}, environment="staging")
    answer = send(doors.front, one, warm_call)
    assert (answer.status_code, answer.json()["code"]) == (403, "outside_scope")


def test_a_renamed_service_takes_grants_along(doors, ada):
    ada.update("billing", {"a": 1})
    one = program(ada, actions=["read"], services=["billing"])
    warm(doors, one)
    path = "/api/v1/workspaces/ada/services/billing"
    assert ada.request("PATCH", path, json={"name": "payments"}).status_code == 200
    assert send(doors.front, one, effective("payments")).json()["config"] == {"a": 1}
    ada.update("billing", {"a": "of others"})
    answer = send(doors.front, one, effective())
    assert (answer.status_code, answer.json()["code"]) == (403, "outside_scope")


def test_a_deleted_workspace(doors, acme):
    one = key(acme, workspace=SLUG)
    warm(doors, one)
    assert acme.request("DELETE", f"/api/v1/workspaces/{SLUG}").status_code == 204
    refused(doors, one, 401, "invalid_api_key")
    refused(doors, acme, 404, "workspace_not_found", workspace=SLUG)


def take_away(what: str, owner: Person, root: Person, bob: Person) -> httpx.Response:
    """Take somebody's rights away."""
    if what == "logged out":
        return bob.post("/auth/logout")
    if what == "member removed":
        return owner.request("DELETE", f"/api/v1/workspaces/{SLUG}/members/bob")
    change = {"disabled": True} if "disabled" in what else {"password": "another password"}
    return root.request("PATCH", f"/auth/users/{bob.id}", json=change)


@pytest.mark.parametrize("what", ["member removed", "user disabled", "logged out", "password set"])
def test_people(doors, acme, bob, admin, what):
    path = f"/api/v1/workspaces/{SLUG}/members/bob"
    assert acme.request("PUT", path, json={"role": "viewer"}).status_code == 200
    warm(doors, bob, workspace=SLUG)
    answer = take_away(what, acme, admin, bob)
    assert answer.is_success, answer.text
    expected = (404, "workspace_not_found") if "member" in what else (401, "invalid_token")
    answer = send(doors.front, bob, effective(workspace=SLUG))
    assert (answer.status_code, answer.json()["code"]) == expected, "at once"
    refused(doors, bob, *expected, workspace=SLUG)


def test_a_new_role_counts_at_once(doors, acme, client):
    secret = {"name": "billing", "config": {"a": {"$secret": "s3cr3t-value"}}}
    assert acme.post(f"/config/update?workspace={SLUG}", secret).status_code == 200
    eve = register(client, "eve")
    path = f"/api/v1/workspaces/{SLUG}/members/eve"
    for _ in range(2):
        for role, seen in (("viewer", "••••••••"), ("editor", "s3cr3t-value")):
            assert acme.request("PUT", path, json={"role": role}).status_code == 200
            for call in (effective(workspace=SLUG),) * 2:
                assert send(doors.front, eve, call).json()["config"] == {"a": seen}
            got = send(doors.front, eve, stored(workspace=SLUG)).text
            assert "s3cr3t-value" not in got
    again = login(client, "eve")
    assert send(doors.front, again, effective(workspace=SLUG)).status_code == 200


def test_the_last_use_of_a_key_is_noted(doors, ada):
    ada.update("billing", {"a": 1})
    one = key(ada)
    warm(doors, one)

    def last() -> Any:
        return ada.get(f"/api/v1/api-keys/{one.id}").json()["last_used_at"]

    first = until(last, "the key was used")
    send(doors.front, one, effective())
    until(lambda: last() > first, "and again, by a read from memory")


def test_reveals_are_told_of_every_time(doors, ada):
    ada.update("billing", {"a": {"$secret": "s3cr3t-value"}})
    one = program(ada, actions=["read", "read_secrets"])
    for call in (effective(), fetch(), item("a")):
        for _ in range(2):
            assert "s3cr3t-value" in send(doors.front, one, call).text
    logs = ada.get("/api/v1/audit", action="read_secret", page_size=100).json()["logs"]
    assert len(logs) == 6
    assert key_of(ada, "a")["value"] != "s3cr3t-value"


@pytest.mark.parametrize("path", ["/config/billing", "/config/get?service=billing"])
def test_other_methods(doors, ada, reader, path):
    ada.update("billing", {"a": 1})
    for method in ("HEAD", "PROPFIND", "DELETE"):
        answer = reader.request(method, path)
        assert (answer.status_code, answer.content if method == "HEAD" else b"") == (405, b"")


class TestOtherOrigins:
    """Browsers from elsewhere read too."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"CORS_ORIGINS": "https://console.example"}

    def test_they_may_see_what_is_in_memory(self, doors, ada, reader):
        ada.update("billing", {"a": 1})
        here = effective()
        there = Call(here.path, headers={"Origin": "https://console.example"})
        for call in (here, there, here, there):
            answer = send(doors.front, reader, call)
            named = answer.headers.get("access-control-allow-origin")
            assert named == ("https://console.example" if call is there else None)

    def test_they_are_told_the_same_by_both_doors(self, doors, ada, reader):
        ada.update("billing", {"a": 1})
        found = []
        for headers in (
            {"Origin": "https://console.example"},
            {"Origin": "https://elsewhere.example"},
            {"Origin": "null"},
            {"Origin": "https://console.example", "Cookie": "a=b"},
            {"Origin": "https://console.example", "If-None-Match": "*"},
        ):
            asked = effective()
            found += doors.differences(reader, Call(asked.path, headers=headers), times=3)
            body = {"context": {"targetingKey": "ada"}}
            query = {"environment": "production"}
            bulk = Call("/ofrep/v1/evaluate/flags", query, body, headers)
            found += doors.differences(reader, bulk)
        assert not found, "\n".join(found)


class TestEveryOrigin(TestOtherOrigins):
    """Any page may read."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"CORS_ORIGINS": "*"}

    def test_they_may_see_what_is_in_memory(self, doors, ada, reader):
        ada.update("billing", {"a": 1})
        asked = Call(effective().path, headers={"Origin": "https://console.example"})
        for _ in range(3):
            answer = send(doors.front, reader, asked)
            assert answer.headers["access-control-allow-origin"] == "*"


def test_headers_that_are_there_twice(doors, ada, reader):
    ada.update("billing", {"a": 1})
    warm(doors, reader)
    good = ("Authorization", f"Bearer {reader.token}")
    for headers in (
        [("Authorization", "Bearer cs_wrong"), good],
        [good, ("Authorization", "Bearer cs_wrong")],
        [good, ("If-None-Match", '"x"'), ("If-None-Match", "*")],
    ):
        front = doors.front.get("/config/billing", headers=headers)
        back = doors.back.get("/config/billing", headers=headers)
        assert (front.status_code, front.headers.get("etag")) == (
            back.status_code,
            back.headers.get("etag"),
        ), headers
