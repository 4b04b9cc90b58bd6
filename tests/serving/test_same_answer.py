"""By every door the same: what the dispatcher answers is what the framework answers."""

import json
from typing import Any

import pytest

from tests.client import Person, create_key, first_admin, program, register
from tests.serving.doors import Call, Doors, effective, every, fetch, item, stored

SLUG = "acme"
SERVICES = ("billing", "_global", "plain", "gone", "nobody", "list", "a b")
PLACES = (None, "staging", "production", "nowhere")
DOCUMENTS = {
    ("_global", None): '{"region":"eu","a":{"b":1,"c":{"d":null}},"x.y":1,"big":1e2,"off":true}',
    ("_global", "staging"): '{"region":"eu-2","a":{"c":{"$unset":true}}}',
    ("billing", None): '{ "z":-0.0, "a":{"b":2.50,"é":"ü\\u0000x"}, "x":{"y":2}, "π.τ":[1e2,1E+2],'
    ' "":"empty", "token":{"$secret":"s3cr3t"}, "deep":{"pw":{"$secret":"t0psecret"}}, "1":1}',
    ("billing", "staging"): '{"off":{"$unset":true},"n":null,"token":{"$secret":"staged"}}',
    ("billing", "production"): '{"token":{"$secret":"produced"},"a.b":3}',
    ("plain", None): '{"b":1e2,"a":{"x":1.0},"n":null,"s":"</script>\\u2028"}',
    ("gone", None): '{"a":1}',
}
NAMES = (
    "region",
    "a",
    "a.b",
    "a.c.d",
    "x.y",
    "π.τ",
    "token",
    "deep.pw",
    "off",
    "n",
    "1",
    "b",
    "no",
)
LIST = [*NAMES, "a.b", "deep"]


def write(person: Person, service: str, environment: str | None, text: str, **more: Any) -> None:
    """Store a document as this very text."""
    body = {"name": service, "environment": environment, "config": "@"}
    answer = person.request(
        "POST",
        "/config/update",
        params=more,
        content=json.dumps(body).replace('"@"', text.replace("\\u0000", "0")),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text


def fill(person: Person, **more: Any) -> None:
    """Write everything that reads are made of."""
    for (service, environment), text in DOCUMENTS.items():
        write(person, service, environment, text, **more)
    gone = person.request("DELETE", "/config/delete", params={"service": "gone", **more})
    assert gone.status_code == 200, gone.text


def calls() -> list[Call]:
    """Return reads in every form, of every level, and unusual ones."""
    made = [*every(SERVICES, PLACES)]
    for place in PLACES[:3]:
        made += [item(name, environment=place) for name in NAMES]
        made += [fetch(environment=place, keys=LIST), fetch(environment=place, keys=[])]
    made += [
        item("region", None),
        item("region", None, "staging"),
        item("b", "plain"),
        item("a", "nobody"),
        item("a", "gone"),
        item("a/b"),
        item("12"),
        item("x" * 256),
        Call("/api/v1/config/12/history"),
        Call("/api/v1/config/a%2Fhistory", {"service_name": "billing"}),
        Call("/api/v1/config/a%00", {"service_name": "billing"}),
        Call("/api/v1/config/%FF", {"service_name": "billing"}),
        Call("/api/v1/config/a%0Ab", {"service_name": "billing"}),
        Call("/api/v1/config/a/", {"service_name": "billing"}),
        Call("/config/bill%69ng"),
        Call("/config/%67et", {"service": "billing"}),
        Call("/config/billing/"),
        Call("/config/billing%2F"),
        Call("/config//billing"),
        Call("/config/"),
        Call("/config/get"),
        Call("/config/get/", {"service": "plain"}),
        Call("/config/get", {"service": ["billing", "plain"]}),
        Call("/config/get", {"name": "billing"}),
        stored(environment=""),
        effective(environment=["staging", "production"]),
        effective(stored="true"),
        effective(stored="false"),
        effective(stored="0"),
        effective("plain", explain="true"),
        effective("plain", at="1"),
        effective("plain", unknown="1"),
        effective("plain", min_revision="1"),
        effective("plain", min_revision="x"),
        effective("plain", min_revision="abc-1"),
        effective("plain", workspace=SLUG),
        effective("plain", workspace="elsewhere"),
        effective("plain", workspace=""),
        effective("plain", target_user_id="1"),
        effective("plain", reveal="true"),
        fetch(keys=["a", 1]),
        fetch(keys=["a\n"]),
        fetch(wait=61, version="x"),
        fetch(wait=-1, version="x"),
        fetch(wait="5", version="x"),
        fetch(wait=5, version=1),
        fetch(version="x" * 65),
        fetch(version=None, wait=0.5),
        fetch(version="", wait=60),
        fetch(version="other", wait=60),
        fetch("plain", user_id="u", group_ids=["g"], context={"a": 1}, later=[1]),
    ]
    return made


def people(owner: Person) -> list[Person]:
    """Return callers of every kind, in a workspace of the owner's."""
    client = owner.client
    found = [owner]
    for role in ("viewer", "editor", "admin"):
        person = register(client, role)
        path = f"/api/v1/workspaces/{SLUG}/members/{role}"
        assert owner.request("PUT", path, json={"role": role}).status_code == 200
        found.append(person)
    scopes: list[dict[str, Any]] = [
        {"actions": ["read"]},
        {"actions": ["read", "read_secrets"]},
        {"actions": ["write"]},
        {"actions": ["read"], "services": ["bill*"]},
        {"actions": ["read", "read_secrets"], "environments": ["staging"]},
        {"actions": ["read"], "services": ["_global"], "environments": ["production"]},
        {"actions": ["read"], "addresses": ["10.0.0.0/8"]},
    ]
    for number, scope in enumerate(scopes):
        made = create_key(owner, workspace=SLUG, name=f"key {number} {scope}"[:60], scopes=scope)
        found.append(Person(client, made["key"], made["id"], made["name"]))
    for name, token in (("no key", "cs_nothing"), ("no token", "e30.e30.e30"), ("empty", "")):
        found.append(Person(client, token, 0, name))
    return found


def test_in_a_workspace(client, doors: Doors, ada: Person):
    assert ada.post("/api/v1/workspaces", {"slug": SLUG}).status_code == 201
    production = {"workspace": SLUG}
    fill(ada, workspace=SLUG)
    answer = ada.request(
        "PATCH", "/environments/production", params=production, json={"protected": True}
    )
    assert answer.status_code == 200, answer.text
    found: list[str] = []
    for person in people(ada):
        is_key = not person.token.startswith("e")
        params = {} if is_key else {"workspace": SLUG}
        for one in calls() if person is ada else calls()[::3]:
            call = Call(one.path, {**params, **one.params}, one.body)
            found += doors.differences(person, call)
    assert not found, "\n".join(found[:30])


def test_as_an_admin_of_the_server(doors: Doors, client):
    root = first_admin(client)
    fill(root)
    found = [one for call in calls() for one in doors.differences(root, call)]
    assert not found, "\n".join(found[:30])


def test_without_credentials(doors: Doors, client):
    fill(first_admin(client))
    found = [one for call in calls()[:40] for one in doors.differences(None, call)]
    assert not found, "\n".join(found[:30])


class TestAnonymousReads:
    """The default workspace is open to everybody."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {
            "REQUIRE_API_KEY": "false",
            "ALLOW_ANONYMOUS_ACCESS": "true",
            "API_KEY": "bootstrap-key-0123456789-abcdefghijkl",
        }

    def test_nobody_and_the_first_key(self, doors: Doors, client, variables):
        root = first_admin(client)
        fill(root)
        first = Person(client, variables["API_KEY"], 0, "bootstrap")
        found = []
        for call in calls():
            found += doors.differences(None, call)
            with_key = {"X-API-Key": first.token}
            found += doors.differences(
                None, Call(call.path, call.params, call.body, with_key), times=2
            )
        assert not found, "\n".join(found[:30])


class TestNoAuthentication:
    """Everybody may do everything."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"AUTH_ENABLED": "false", "HOST": "127.0.0.1"}

    def test_nobody(self, doors: Doors, client):
        root = first_admin(client)
        fill(root)
        found = [one for call in calls() for one in doors.differences(None, call)]
        assert not found, "\n".join(found[:30])


@pytest.mark.parametrize("call", [stored(), effective(), item("region"), fetch()], ids=str)
def test_conditional_reads(doors: Doors, ada: Person, reader: Person, call: Call):
    write(ada, "_global", None, '{"region":1}')
    write(ada, "billing", None, '{"a":1}')
    etag = doors.front.request(
        "GET" if call.body is None else "POST",
        call.path,
        params=call.params,
        json=call.body,
        headers={"Authorization": f"Bearer {reader.token}"},
    ).headers["etag"]
    found: list[str] = []
    for person in (ada, reader):
        for wanted in (
            etag,
            f"W/{etag}",
            f'"other", {etag}',
            f'"other",W/{etag} , "more"',
            "*",
            '"other"',
            etag.strip('"'),
            "",
            ",",
            'W/"',
            "é",
        ):
            condition = {"If-None-Match": wanted.encode("latin-1")}
            made = Call(call.path, call.params, call.body, condition)  # type: ignore[arg-type]
            found += doors.differences(person, made)
    assert not found, "\n".join(found[:30])


def test_keys_by_every_header(doors: Doors, ada: Person):
    write(ada, "billing", None, '{"a":1}')
    key = program(ada, actions=["read"]).token
    found: list[str] = []
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"ApiKey {key}"},
        {"Authorization": f"apikey   {key} "},
        {"X-API-Key": key},
        {"X-API-Key": f" {key} "},
        {"X-API-Key": key, "Authorization": "Basic x"},
        {"X-API-Key": "cs_other", "Authorization": f"Bearer {key}"},
        {"X-API-Key": key, "Authorization": "Bearer cs_other"},
        {"Authorization": "Bearer"},
        {"Authorization": key},
        {"X-API-Key": ""},
        {"X-API-Key": "é".encode()},
    ):
        call = effective()
        made = Call(call.path, call.params, call.body, headers)  # type: ignore[arg-type]
        found += doors.differences(None, made)
    assert not found, "\n".join(found[:30])
