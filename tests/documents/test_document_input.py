"""Bad input to documents: a status and a code, and nothing has changed."""

import asyncio
from typing import Any

import psycopg2
import pytest
from fastapi.testclient import TestClient

from app.core.settings import get_settings
from tests.client import Person, assert_problem, register

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def before(ada: Person) -> str:
    """Return the head of a workspace with one document."""
    return ada.update("billing", {"a": 1}).headers["x-configsync-revision"]


def head(person: Person) -> str:
    return person.get("/config/list").headers["x-configsync-revision"]


def update_raw(person: Person, body: bytes, headers: dict[str, str] = JSON):
    return person.request("POST", "/config/update", content=body, headers=headers)


def nested(depth: int) -> bytes:
    """Return a body that is nested this deep in all."""
    inner = depth - 2
    return b'{"name":"deep","config":{"a":' + b"[" * inner + b"]" * inner + b"}}"


BODIES = {
    "empty": (b"", "validation_error"),
    "not json": (b"name=billing", "invalid_json"),
    "half": (b'{"name":"billing","config":{', "invalid_json"),
    "two values": (b'{"name":"billing","config":{}} {}', "invalid_json"),
    "trailing comma": (b'{"name":"billing","config":{},}', "invalid_json"),
    "duplicate member": (b'{"name":"billing","config":{"a":1,"a":2}}', "invalid_json"),
    "duplicate outside": (b'{"name":"billing","name":"x","config":{}}', "invalid_json"),
    "duplicate by escape": (b'{"name":"billing","config":{"a":1,"\\u0061":2}}', "invalid_json"),
    "NaN": (b'{"name":"billing","config":{"a":NaN}}', "invalid_json"),
    "Infinity": (b'{"name":"billing","config":{"a":Infinity}}', "invalid_json"),
    "-Infinity": (b'{"name":"billing","config":{"a":-Infinity}}', "invalid_json"),
    "1e999": (b'{"name":"billing","config":{"a":1e999}}', "invalid_json"),
    "400 digits": (b'{"name":"billing","config":{"a":%s}}' % (b"9" * 400), "invalid_json"),
    "10000 digits": (b'{"name":"billing","config":{"a":%s}}' % (b"9" * 10_000), "invalid_json"),
    "NUL in value": (b'{"name":"billing","config":{"a":"\\u0000"}}', "invalid_json"),
    "NUL in member": (b'{"name":"billing","config":{"\\u0000":1}}', "invalid_json"),
    "raw NUL": (b'{"name":"billing","config":{"a":"\x00"}}', "invalid_json"),
    "NUL in message": (b'{"name":"billing","config":{},"message":"\\u0000"}', "invalid_json"),
    "surrogate in value": (b'{"name":"billing","config":{"a":"\\ud800"}}', "invalid_json"),
    "surrogate in member": (b'{"name":"billing","config":{"\\udfff":1}}', "invalid_json"),
    "surrogate in message": (b'{"name":"billing","config":{},"message":"\\uD83d"}', "invalid_json"),
    "surrogate in name": (b'{"name":"\\ud800","config":{}}', "invalid_json"),
    "surrogate in list": (b'{"name":"billing","config":{"a":[["\\ude00"]]}}', "invalid_json"),
    "encoded surrogate": (b'{"name":"billing","config":{"a":"\xed\xa0\x80"}}', "invalid_json"),
    "broken UTF-8": (b'{"name":"billing","config":{"a":"\xff"}}', "invalid_json"),
    "UTF-16": ('{"name":"billing","config":{}}'.encode("utf-16"), "invalid_json"),
    "byte order mark": (b'\xef\xbb\xbf{"name":"billing","config":{}}', "invalid_json"),
    "65 deep": (nested(65), "invalid_json"),
    "100000 deep": (nested(100_000), "invalid_json"),
    "a list": (b"[]", "validation_error"),
    "a string": (b'"billing"', "validation_error"),
    "null": (b"null", "validation_error"),
    "config a list": (b'{"name":"billing","config":[]}', "validation_error"),
    "config null": (b'{"name":"billing","config":null}', "validation_error"),
    "config a string": (b'{"name":"billing","config":"{}"}', "validation_error"),
    "no config": (b'{"name":"billing"}', "validation_error"),
    "no name": (b'{"config":{}}', "validation_error"),
    "unknown member": (b'{"name":"billing","config":{},"confg":1}', "validation_error"),
    "name a number": (b'{"name":1,"config":{}}', "validation_error"),
    "message too long": (
        b'{"name":"billing","config":{},"message":"%s"}' % (b"m" * 1001),
        "validation_error",
    ),
    "version text": (b'{"name":"billing","config":{},"expected_version":"x"}', "validation_error"),
    "version -1": (b'{"name":"billing","config":{},"expected_version":-1}', "validation_error"),
    "version 2^53": (
        b'{"name":"billing","config":{},"expected_version":9007199254740992}',
        "validation_error",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(ada: Person, before: str, case: str):
    body, code = BODIES[case]
    answer = update_raw(ada, body)
    problem = assert_problem(answer, 422, code)
    assert len(answer.text) < 3000
    if code == "validation_error":
        assert problem["errors"]
        assert all(set(error) == {"loc", "msg"} for error in problem["errors"])
    assert head(ada) == before


def test_64_deep_is_fine(ada: Person):
    answer = update_raw(ada, nested(64))
    assert answer.status_code == 200, answer.text
    assert ada.get("/config/deep").status_code == 200


def test_a_pair_of_surrogates_is_one_character(ada: Person):
    answer = update_raw(ada, b'{"name":"billing","config":{"a":"\\ud83d\\ude00"}}')
    assert answer.json()["config"] == {"a": "😀"}


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/yaml",
        "multipart/form-data",
        "application/jsonx",
        None,
    ],
)
def test_another_content_type_is_refused(ada: Person, before: str, kind: str | None):
    headers = {"Content-Type": kind} if kind else {}
    answer = update_raw(ada, b'{"name":"billing","config":{"a":2}}', headers)
    assert_problem(answer, 415, "unsupported_media_type")
    assert head(ada) == before


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_spellings_of_json_are_accepted(ada: Person, kind: str):
    body = b'{"name":"billing","config":{"a":2}}'
    assert update_raw(ada, body, {"Content-Type": kind}).status_code == 200


NAMES = ["a" * 101, "", "..", ".", "list", "health", "bulk", "_x", "__global", "a/b", "a b", "é"]


@pytest.mark.parametrize("name", NAMES)
def test_bad_names_are_refused_wherever_one_is_given(ada: Person, before: str, name: str):
    body = {"name": name, "config": {"a": 2}}
    assert_problem(ada.post("/config/update", body), 422, "validation_error")
    for path, key in (("/config/get", "service"), ("/config/versions", "name")):
        assert_problem(ada.get(path, **{key: name}), 422, "validation_error")
    if name not in {"list", "health", "bulk"}:
        environment = {"name": "billing", "config": {}, "environment": name}
        assert_problem(ada.post("/config/update", environment), 422, "validation_error")
        answer = ada.get("/config/billing", environment=name)
        assert_problem(answer, 422, "validation_error")
    assert head(ada) == before


@pytest.mark.parametrize("name", ["a" * 101, "_x", "...", "list", "a%20b", "%C3%A9"])
def test_bad_names_in_a_path_are_refused(ada: Person, before: str, name: str):
    body = {"config": {"a": 2}}
    assert_problem(ada.post(f"/config/{name}", body), 422, "validation_error")
    assert_problem(ada.get(f"/config/{name}/history"), 422, "validation_error")
    assert_problem(ada.post(f"/config/{name}/rollback", {"version": 1}), 422, "validation_error")
    assert head(ada) == before


@pytest.mark.parametrize(
    "path",
    [
        "/config/%ff",
        "/config/a%00b",
        "/config/get?service=%ff",
        "/config/get?service=a%00b",
        "/config/get?service=%ed%a0%80",
        "/config/list?%ff=1",
        "/config/list?workspace=%00",
        "/api/v1/audit?app_id=%00",
        "/auth/users/%ff",
    ],
)
def test_bytes_that_are_no_text_are_refused(ada: Person, path: str):
    assert_problem(ada.request("GET", path), 422, "invalid_encoding")


def test_an_encoded_slash_reaches_no_document(ada: Person, before: str):
    answer = ada.post("/config/a%2Fb", {"config": {}})
    assert answer.status_code in {404, 405, 422}
    assert head(ada) == before


@pytest.mark.parametrize("version_id", ["abc", "-1", "0", "", "1.5", str(2**53), str(2**63)])
def test_version_ids_that_are_none(ada: Person, before: str, version_id: str):
    query = {"service": "billing", "version_id": version_id}
    rollback = ada.request("POST", "/config/rollback", params=query)
    assert_problem(rollback, 422, "validation_error")
    diff = ada.get("/config/diff", service="billing", version1_id=version_id, version2_id=1)
    assert_problem(diff, 422, "validation_error")
    assert head(ada) == before


@pytest.mark.parametrize("version", ["abc", -1, 0, 1.5, 2**53, 2**63, None, True, [1]])
def test_version_numbers_that_are_none(ada: Person, before: str, version: Any):
    answer = ada.post("/config/billing/rollback", {"version": version})
    assert_problem(answer, 422, "validation_error")
    assert head(ada) == before


@pytest.mark.parametrize("limit", ["0", "501", "-1", "abc", "", "1.5", "9" * 30])
def test_limits_that_are_none(ada: Person, limit: str):
    for path, params in (
        ("/config/list", {}),
        ("/config/versions", {"name": "billing"}),
        ("/config/billing/history", {}),
    ):
        assert_problem(ada.get(path, **params, limit=limit), 422, "validation_error")
    assert ada.get("/config/list", limit=500).status_code == 200


@pytest.mark.parametrize("target", ["abc", "0", "-1", str(2**53), str(2**64)])
def test_target_users_that_are_none(ada: Person, target: str):
    answer = ada.get("/config/list", target_user_id=target)
    assert_problem(answer, 422, "validation_error")
    waiting = ada.get("/config/list", target_user_id=target, min_revision="0")
    assert waiting.status_code == 422


def test_unknown_and_repeated_query_parameters(ada: Person, before: str):
    unknown = ada.get("/config/get", service="billing", enviroment="production")
    problem = assert_problem(unknown, 422, "unknown_parameter")
    assert "environment" in problem["detail"]
    assert "enviroment" not in problem["detail"]
    body = {"name": "billing", "config": {"a": 2}}
    written = ada.post("/config/update", body, params={"environment": "production"})
    assert_problem(written, 422, "unknown_parameter")
    twice = ada.request("GET", "/config/get?service=billing&service=other")
    assert_problem(twice, 422, "validation_error")
    gone = ada.request("DELETE", "/config/delete?service=billing&service=other")
    assert_problem(gone, 422, "validation_error")
    assert head(ada) == before


def test_a_missing_parameter_is_named(ada: Person):
    problem = assert_problem(ada.get("/config/get"), 422, "validation_error")
    assert problem["errors"][0]["loc"] == ["query", "service"]


def test_the_input_is_never_sent_back(ada: Person):
    canary = "canary-value-5150"
    for body in (
        {"name": "billing", "config": canary},
        {"name": "billing", "config": {}, "message": [canary]},
        {"name": f"/{canary}", "config": {}},
        {"name": "billing", "config": {}, "expected_version": canary},
    ):
        answer = ada.post("/config/update", body)
        assert answer.status_code == 422
        assert canary not in answer.text
    broken = update_raw(ada, b'{"name":"billing","config":{"a":' + canary.encode())
    assert canary not in broken.text
    assert canary not in ada.get("/config/list", limit=canary).text


def drive(client: TestClient, person: Person, headers: list, chunk: bytes, chunks: int):
    """Send a body chunk by chunk; return the status, code and how much was pulled."""
    pulled = 0
    sent: list[dict] = []

    async def receive() -> dict:
        nonlocal pulled
        pulled += len(chunk)
        more = pulled < len(chunk) * chunks
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/config/update",
        "raw_path": b"/config/update",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [
            (b"host", b"testserver"),
            (b"authorization", f"Bearer {person.token}".encode()),
            (b"content-type", b"application/json"),
            *headers,
        ],
        "client": ("testclient", 1),
        "server": ("testserver", 80),
    }
    asyncio.run(client.app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body, pulled


def test_a_gigabyte_in_chunks_is_refused_after_a_mebibyte(
    client: TestClient, ada: Person, before: str
):
    chunk = b" " * 65536
    status, body, pulled = drive(
        client, ada, [(b"transfer-encoding", b"chunked")], chunk, 2**30 // len(chunk)
    )
    assert status == 413
    assert b'"body_too_large"' in body
    assert 2**20 < pulled <= 2**20 + 2 * len(chunk)
    assert head(ada) == before


def test_a_length_that_is_too_large_is_refused_unread(client: TestClient, ada: Person, before: str):
    length = (b"content-length", str(2**20 + 1).encode())
    status, body, pulled = drive(client, ada, [length], b" " * 1024, 1025)
    assert (status, pulled) == (413, 0)
    assert b'"body_too_large"' in body
    assert head(ada) == before


def test_a_mebibyte_exactly_is_read(ada: Person):
    frame = b'{"name":"large","config":{"a":"%s"}}'
    fits = frame % (b"x" * (2**20 - len(frame) + 2))
    assert len(fits) == 2**20
    assert update_raw(ada, fits).status_code == 200
    assert_problem(update_raw(ada, fits + b" "), 413, "body_too_large")


@pytest.mark.parametrize("variables", [{"MAX_DOCUMENT_BYTES": "1024"}])
def test_a_document_over_its_own_limit_is_refused(ada: Person, before: str):
    answer = ada.update("billing", {"a": "x" * 1024})
    assert_problem(answer, 422, "document_too_large")
    assert ada.update("billing", {"a": "x" * 1000}).status_code == 200


def test_unknown_routes_and_methods(ada: Person):
    assert_problem(ada.get("/nowhere"), 404, "not_found")
    assert_problem(ada.request("PUT", "/config/list"), 405, "method_not_allowed")
    assert "GET" in ada.request("PUT", "/config/list").headers["allow"]


# Idempotency-Key


def keyed(person: Person, key: str, config: dict[str, Any], path: str = "/config/update"):
    body = {"name": "billing", "config": config}
    return person.post(path, body, headers={"Idempotency-Key": key})


def test_a_repeated_request_has_its_effect_once(ada: Person):
    first = keyed(ada, "key-1", {"n": 1})
    ada.update("billing", {"n": 2})
    again = keyed(ada, "key-1", {"n": 1})
    assert (again.status_code, again.text) == (first.status_code, first.text)
    for name in ("etag", "content-type", "x-configsync-revision"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert ada.get("/config/get", service="billing").json()["config"] == {"n": 2}


def test_a_key_with_another_body_or_query_is_refused(ada: Person):
    keyed(ada, "key-1", {"n": 1})
    assert_problem(keyed(ada, "key-1", {"n": 2}), 422, "idempotency_key_reused")
    other = ada.post(
        "/config/update",
        {"name": "billing", "config": {"n": 1}},
        params={"workspace": "ada"},
        headers={"Idempotency-Key": "key-1"},
    )
    assert_problem(other, 422, "idempotency_key_reused")
    assert ada.get("/config/get", service="billing").json()["version"] == 1


def test_keys_belong_to_a_caller_and_a_route(ada: Person, bob: Person):
    keyed(ada, "key-1", {"n": 1})
    foreign = keyed(bob, "key-1", {"n": 5})
    assert (foreign.status_code, foreign.json()["workspace"]) == (200, "bob")
    route = ada.post("/config/billing", {"config": {"n": 3}}, headers={"Idempotency-Key": "key-1"})
    assert route.json()["version"] == 2


def test_a_failed_request_keeps_no_key(ada: Person):
    ada.update("billing", {"n": 0})
    headers = {"Idempotency-Key": "key-1"}
    body = {"name": "billing", "config": {"n": 1}, "expected_version": 7}
    refused = ada.post("/config/update", body, headers=headers)
    assert_problem(refused, 412, "precondition_failed")
    body["expected_version"] = 1
    answer = ada.post("/config/update", body, headers=headers)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert "idempotency-replayed" not in answer.headers


def test_the_same_key_while_the_first_is_running(ada: Person):
    connection = psycopg2.connect(
        get_settings().database().set(drivername="postgresql").render_as_string(False)
    )
    try:
        what = f"user:{ada.id}\nPOST /config/update\nkey-1"
        connection.cursor().execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (what,)
        )
        running = keyed(ada, "key-1", {"n": 1})
        assert_problem(running, 409, "request_in_progress")
        assert running.headers["retry-after"].isdecimal()
        assert keyed(ada, "key-2", {"n": 1}).status_code == 200
    finally:
        connection.close()
    assert keyed(ada, "key-1", {"n": 2}).json()["version"] == 2


@pytest.mark.parametrize("key", ["", "has space", "x" * 256])
def test_keys_that_are_none(ada: Person, before: str, key: str):
    assert_problem(keyed(ada, key, {"n": 1}), 422, "validation_error")
    assert head(ada) == before


@pytest.mark.parametrize("path", ["rollback", "rollback-by-number", "restore"])
def test_every_post_that_changes_something_can_be_repeated(ada: Person, path: str):
    ada.update("billing", {"n": 1})
    ada.update("billing", {"n": 2})
    first = ada.version_ids("billing")[0]
    if path == "restore":
        ada.request("DELETE", "/config/delete", params={"service": "billing"})
    call = {
        "rollback": {
            "path": "/config/rollback",
            "params": {"service": "billing", "version_id": first},
        },
        "rollback-by-number": {"path": "/config/billing/rollback", "json": {"version": 1}},
        "restore": {"path": "/config/restore", "params": {"service": "billing"}},
    }[path]
    answers = [ada.request("POST", **call, headers={"Idempotency-Key": "key-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].text == answers[1].text
    assert answers[1].headers["idempotency-replayed"] == "true"


def test_a_registration_can_be_repeated(client: TestClient):
    body = {"username": "eve", "email": "eve@example.com", "password": "long enough"}
    headers = {"Idempotency-Key": "reg-1"}
    first, again = (client.post("/auth/register", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert register(client, "frank").username == "frank"
