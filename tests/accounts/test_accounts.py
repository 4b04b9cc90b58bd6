"""Accounts: registering, logging in and out, tokens, throttling, who may do what."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update

from app.auth import tokens
from app.core import db
from app.core.settings import get_settings
from app.main import create_server
from app.models import LoginSession, LoginThrottle
from tests.client import PASSWORD, Person, assert_problem, login, register
from tests.conftest import environment

KEY = "test-signing-key-0123456789-abcdefghijkl"
OTHER_KEY = "rotated-signing-key-9876543210-zyxwvutsr"


def new_user(**changes: Any) -> dict[str, Any]:
    return {"username": "eve", "email": "eve@example.com", "password": PASSWORD, **changes}


def try_login(client: TestClient, username: str, password: str = "wrong password"):
    return client.post("/auth/login", data={"username": username, "password": password})


def with_token(client: TestClient, token: str):
    return client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def hashing() -> None:
    """Hash passwords as the server does."""


# Registering


def test_registering_gives_a_user_and_a_workspace(client: TestClient):
    answer = client.post("/auth/register", json=new_user(username="Eve"))
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) >= {"id", "username", "email", "role", "created_at"}
    assert (made["username"], made["role"]) == ("Eve", "user")
    assert PASSWORD not in answer.text
    me = login(client, "eve").get("/auth/me").json()
    assert me["workspace"] == "eve"
    assert [(w["slug"], w["role"]) for w in me["workspaces"]] == [("eve", "owner")]
    assert {"read", "write", "admin"} <= set(me["workspaces"][0]["permissions"])


@pytest.mark.parametrize(
    "taken",
    [
        {"username": "ADA", "email": "new@example.com"},
        {"username": "new", "email": "Ada@Example.com"},
        {"username": "default", "email": "new@example.com"},
        {"username": "Default", "email": "new@example.com"},
    ],
)
def test_names_and_addresses_are_unique_in_any_case(
    client: TestClient, ada: Person, taken: dict[str, str]
):
    answer = client.post("/auth/register", json=new_user(**taken))
    assert_problem(answer, 409, "user_exists")
    assert ada.get("/auth/me").json()["email"] == "ada@example.com"


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "x" * 7},
        {"password": "x" * 2000},
        {"password": "é" * 513},
        {"email": "nobody"},
        {"email": "a b@example.com"},
        {"email": "@example.com"},
        {"email": "a@"},
        {"email": "a@b@c"},
        {"email": "a\n@example.com"},
        {"username": ""},
        {"username": "a" * 65},
        {"username": "a b"},
        {"username": "eve\n"},
        {"username": "é"},
        {"username": "_eve"},
        {"username": ".."},
        {"username": "a@b"},
        {"role": "owner"},
        {"disabled": True},
        {"username": None},
        {"password": 12345678},
    ],
    ids=repr,
)
def test_bad_registrations_are_refused(client: TestClient, wrong: dict[str, Any]):
    answer = client.post("/auth/register", json=new_user(**wrong))
    assert_problem(answer, 422, "validation_error")
    if isinstance(wrong.get("password"), str):
        assert wrong["password"] not in answer.text
    assert_problem(try_login(client, "eve", PASSWORD), 401, "invalid_credentials")


@pytest.mark.parametrize("password", ["x" * 8, "x" * 1024, "é" * 512, " lead and trail "])
def test_passwords_at_their_limits_work(client: TestClient, password: str):
    assert client.post("/auth/register", json=new_user(password=password)).status_code == 201
    assert try_login(client, "eve", password).status_code == 200


def test_only_an_admin_makes_admins(client: TestClient, ada: Person, admin: Person):
    for refused in (
        client.post("/auth/register", json=new_user(role="admin")),
        ada.post("/auth/register", new_user(role="admin")),
    ):
        assert_problem(refused, 403, "admins_only")
    made = admin.post("/auth/register", new_user(role="admin"))
    assert (made.status_code, made.json()["role"]) == (201, "admin")
    assert login(client, "eve").get("/auth/users").status_code == 200


@pytest.mark.parametrize("variables", [{"ALLOW_REGISTRATION": "false"}])
def test_a_closed_server_lets_only_admins_register(client: TestClient, admin: Person):
    closed = client.post("/auth/register", json=new_user())
    assert_problem(closed, 403, "registration_closed")
    assert admin.post("/auth/register", new_user()).status_code == 201


# Logging in


@pytest.mark.parametrize("name", ["ada", "ADA", "ada@example.com", "Ada@EXAMPLE.com", " ada "])
@pytest.mark.parametrize("how", ["form", "multipart", "json", "login form"])
def test_ways_to_log_in(client: TestClient, ada: Person, name: str, how: str):
    fields = {"username": name, "password": PASSWORD}
    answer = {
        "form": lambda: client.post("/auth/login", data=fields),
        "multipart": lambda: client.post(
            "/auth/login", files={key: (None, value) for key, value in fields.items()}
        ),
        "json": lambda: client.post("/login", json=fields),
        "login form": lambda: client.post("/login", data=fields),
    }[how]()
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["token_type"] == "bearer"
    assert 3500 < body["expires_in"] <= 3601
    assert body["jti"]
    assert with_token(client, body["access_token"]).json()["username"] == "ada"


@pytest.mark.parametrize("address", ["Élan@example.com", "ÇA@Example.com"])
def test_an_address_with_accents_logs_in(client: TestClient, address: str):
    assert client.post("/auth/register", json=new_user(email=address)).status_code == 201
    assert try_login(client, address, PASSWORD).status_code == 200


def test_an_unknown_user_and_a_wrong_password_look_the_same(client: TestClient, ada: Person):
    answers = [try_login(client, "ada"), try_login(client, "nobody"), try_login(client, "a@b.c")]
    bodies = []
    for answer in answers:
        body = assert_problem(answer, 401, "invalid_credentials")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        bodies.append({k: v for k, v in body.items() if k not in {"request_id", "instance"}})
    assert bodies[0] == bodies[1] == bodies[2]


def test_a_disabled_account_looks_like_a_wrong_password(
    client: TestClient, ada: Person, admin: Person
):
    admin.request("PATCH", f"/auth/users/{ada.id}", json={"disabled": True})
    assert_problem(try_login(client, "ada", PASSWORD), 401, "invalid_credentials")
    assert_problem(ada.get("/auth/me"), 401, "invalid_token")
    admin.request("PATCH", f"/auth/users/{ada.id}", json={"disabled": False})
    assert_problem(ada.get("/auth/me"), 401, "invalid_token")
    assert try_login(client, "ada", PASSWORD).status_code == 200


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "body",
    [
        b"username=ada%00&password=long+enough",
        b"username=ada&password=long%00enough",
        b"username=%ff%fe&password=long+enough",
        b"username=%ed%a0%80&password=long+enough",
        b"username=&password=long+enough",
        b"username=ada",
        b"",
        b"username=ada&password=" + b"x" * 2000,
        b"username=" + b"a" * 300 + b"&password=long+enough",
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/auth/login", "/login"])
def test_odd_forms_are_refused(client: TestClient, path: str, body: bytes):
    answer = client.post(path, content=body, headers=FORM)
    assert answer.status_code in {401, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"", "application/json", 422),
        (b'{"username":"ada","username":"bob","password":"x"}', "application/json", 422),
        (b'{"username":"\\u0000","password":"xxxxxxxx"}', "application/json", 422),
        (b'{"username":"ada","password":["x"]}', "application/json", 422),
        (b"username: ada", "application/yaml", 415),
    ],
)
def test_odd_json_logins_are_refused(client: TestClient, body: bytes, kind: str, status: int):
    answer = client.post("/login", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


# Throttling


def let_time_pass() -> None:
    with db.transaction() as session:
        session.execute(update(LoginThrottle).values(blocked_until=text("now()")))


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_guessing_is_slowed_down(client: TestClient, ada: Person, name: str):
    for _ in range(5):
        assert_problem(try_login(client, name), 401, "invalid_credentials")
    sixth = try_login(client, name)
    assert_problem(sixth, 429, "too_many_logins")
    assert 1 <= int(sixth.headers["retry-after"]) <= 3
    blocked = try_login(client, name.upper(), PASSWORD)
    assert_problem(blocked, 429, "too_many_logins")
    assert ada.get("/config/list").status_code == 200
    let_time_pass()
    assert try_login(client, name).status_code == 401
    assert 2 <= int(try_login(client, name).headers["retry-after"]) <= 5


def test_another_address_and_another_account_are_not_blocked(
    client: TestClient, ada: Person, bob: Person
):
    for _ in range(6):
        try_login(client, "ada")
    elsewhere = TestClient(client.app, client=("10.0.0.9", 1))
    assert try_login(elsewhere, "ada", PASSWORD).status_code == 200
    assert try_login(client, "ada", PASSWORD).status_code == 429
    assert try_login(client, "bob", PASSWORD).status_code == 200


def test_a_block_outlives_the_application(client: TestClient, ada: Person):
    with db.transaction() as session:
        session.execute(text("DELETE FROM login_throttles"))
    for _ in range(5):
        try_login(client, "ada")
    with db.transaction() as session:
        soon = text("now() + interval '60 seconds'")
        session.execute(update(LoginThrottle).values(blocked_until=soon))
    with TestClient(create_server()) as fresh:
        assert_problem(try_login(fresh, "ada", PASSWORD), 429, "too_many_logins")


def test_the_right_password_ends_the_count(client: TestClient, ada: Person):
    for _ in range(3):
        for _ in range(3):
            assert try_login(client, "ada").status_code == 401
        assert try_login(client, "ada", PASSWORD).status_code == 200


def test_guessing_from_everywhere_delays_the_owner_by_seconds_only(client: TestClient, ada: Person):
    for number in range(27):
        guesser = TestClient(client.app, client=(f"10.0.1.{number}", 1))
        assert try_login(guesser, "ada").status_code == 401
        let_time_pass()
    one_more = TestClient(client.app, client=("10.0.1.99", 1))
    assert try_login(one_more, "ada").status_code == 401
    refused = try_login(TestClient(client.app, client=("10.0.1.100", 1)), "ada", PASSWORD)
    assert_problem(refused, 429, "too_many_logins")
    assert 20 <= int(refused.headers["retry-after"]) <= 31


# Tokens


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(
    claims: dict[str, Any], key: str = KEY, *, alg: str = "HS256", signed_as: str = "sha256", **head
) -> str:
    header = b64(json.dumps({"alg": alg, "typ": "JWT", **head}).encode())
    body = f"{header}.{b64(json.dumps(claims).encode())}"
    signature = hmac.digest(key.encode(), body.encode(), signed_as)
    return f"{body}.{b64(signature)}"


@pytest.fixture
def claims(ada: Person) -> dict[str, Any]:
    """Return the claims of a live token."""
    part = ada.token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def refused(client: TestClient, token: str) -> None:
    answer = with_token(client, token)
    assert_problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    other = client.get("/config/list", headers={"Authorization": f"Bearer {token}"})
    assert_problem(other, 401, "invalid_token")


def test_what_we_forge_rightly_is_accepted(client: TestClient, claims: dict[str, Any]):
    """Without this, the refusals below would prove nothing."""
    assert with_token(client, forge(claims)).json()["username"] == "ada"


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "jti", "sub", "aud", "iss"])
def test_a_token_without_a_claim_is_refused(client: TestClient, claims: dict[str, Any], claim: str):
    del claims[claim]
    refused(client, forge(claims))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "other"},
        {"iss": "other"},
        {"exp": 1},
        {"exp": "soon"},
        {"nbf": 2**40},
        {"jti": "unknown"},
        {"jti": {"a": 1}},
        {"sub": "x"},
        {"aud": ["other"]},
    ],
    ids=repr,
)
def test_a_token_with_a_wrong_claim_is_refused(
    client: TestClient, claims: dict[str, Any], changed: dict[str, Any]
):
    refused(client, forge({**claims, **changed}))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS512", "RS256", "ES256", "hs256", ""])
def test_a_token_with_another_algorithm_is_refused(
    client: TestClient, claims: dict[str, Any], alg: str
):
    refused(client, forge(claims, alg=alg, signed_as="sha512" if alg == "HS512" else "sha256"))
    header, body, _ = forge(claims, alg=alg).split(".")
    refused(client, f"{header}.{body}.")


def test_a_token_with_another_key_is_refused(client: TestClient, claims: dict[str, Any]):
    refused(client, forge(claims, OTHER_KEY))
    refused(client, forge(claims, ""))
    own = {"kty": "oct", "k": b64(OTHER_KEY.encode())}
    refused(client, forge(claims, OTHER_KEY, jwk=own))
    refused(client, forge(claims, OTHER_KEY, kid="/dev/null", jku="http://127.0.0.1/keys"))


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "...",
        "x" * 10_240,
        f"{b64(b'[' * 3000)}.{b64(b'{}')}.{b64(b'x')}",
        f"{b64(b'null')}.{b64(b'{}')}.{b64(b'x')}",
        f"{b64(json.dumps({'alg': {}}).encode())}.{b64(b'{}')}.{b64(b'x')}",
    ],
    ids=["x", "abc", "dots", "10KB", "deep", "null", "odd alg"],
)
def test_garbage_is_refused(client: TestClient, token: str):
    refused(client, token)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"Authorization": "Bearer"}, "invalid_token"),
        ({"Authorization": "Basic YWRhOmFkYQ=="}, "invalid_token"),
        ({"Authorization": "ApiKey"}, "invalid_token"),
        ({"Authorization": "ApiKey nothing"}, "invalid_api_key"),
        ({"X-API-Key": "nothing"}, "invalid_api_key"),
    ],
    ids=repr,
)
def test_other_credentials_are_refused(client: TestClient, header: dict[str, str], code: str):
    answer = client.get("/config/list", headers=header)
    assert_problem(answer, 401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_logging_out_ends_this_token_in_every_spelling(client: TestClient, ada: Person):
    other = login(client, "ada")
    assert ada.request("POST", "/auth/logout").json() == {"msg": "logged out"}
    refused(client, ada.token)
    refused(client, ada.token + "=")
    refused(client, ada.token + "==")
    assert_problem(ada.request("POST", "/auth/logout"), 401, "invalid_token")
    assert other.get("/auth/me").status_code == 200


def test_an_expired_session_is_refused(client: TestClient, ada: Person):
    with db.transaction() as session:
        past = text("now() - interval '1 minute'")
        session.execute(update(LoginSession).values(expires_at=past))
    refused(client, ada.token)


def test_a_new_password_ends_the_other_sessions(client: TestClient, ada: Person):
    other = login(client, "ada")
    change = {"old": PASSWORD, "new": "another password"}
    assert ada.post("/auth/password", change).status_code == 200
    assert ada.get("/auth/me").status_code == 200
    refused(client, other.token)
    assert try_login(client, "ada", PASSWORD).status_code == 401
    assert try_login(client, "ada", "another password").status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"old": "wrong password", "new": "another password"}, 401, "invalid_credentials"),
        ({"old": PASSWORD, "new": "short"}, 422, "validation_error"),
        ({"old": PASSWORD, "new": "x" * 2000}, 422, "validation_error"),
        ({"old": PASSWORD}, 422, "validation_error"),
        ({"old": PASSWORD, "new": "another password", "x": 1}, 422, "validation_error"),
    ],
)
def test_a_password_that_is_not_changed(
    client: TestClient, ada: Person, change: dict[str, str], status: int, code: str
):
    other = login(client, "ada")
    assert_problem(ada.post("/auth/password", change), status, code)
    assert other.get("/auth/me").status_code == 200
    assert try_login(client, "ada", PASSWORD).status_code == 200


def test_keys_can_be_rotated(client: TestClient, ada: Person, database: str, tmp_path):
    with (
        environment(
            DATABASE_URL=database,
            DATA_DIR=str(tmp_path / "data"),
            AUDIT_LOG_FILE=str(tmp_path / "audit2.log"),
            SECRET_KEY=f"{OTHER_KEY},{KEY}",
            ENCRYPTION_KEY=KEY,
        ),
        TestClient(create_server()) as rotated,
    ):
        assert with_token(rotated, ada.token).json()["username"] == "ada"
        fresh = login(rotated, "ada").token
    with environment(DATABASE_URL=database, DATA_DIR=str(tmp_path / "data"), SECRET_KEY=OTHER_KEY):
        assert get_settings().signing_keys() == (OTHER_KEY,)
        assert tokens.verify(fresh).user_id == ada.id
        with pytest.raises(tokens.InvalidToken):
            tokens.verify(ada.token)


def test_the_database_holds_no_token_and_no_password(client: TestClient, ada: Person):
    with db.transaction() as session:
        (row,) = session.execute(text("SELECT u::text FROM users u")).scalars()
        (kept,) = session.scalars(select(LoginSession.jti))
    assert PASSWORD not in row
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in row
    assert kept not in {ada.token, hashlib.sha256(ada.token.encode()).hexdigest()}


# Users, for admins


def test_users_are_for_admins(client: TestClient, ada: Person, admin: Person):
    assert_problem(client.get("/auth/users"), 401, "login_required")
    assert_problem(client.patch(f"/auth/users/{ada.id}", json={}), 401, "login_required")
    assert_problem(ada.get("/auth/users"), 403, "admins_only")
    promoted = ada.request("PATCH", f"/auth/users/{ada.id}", json={"role": "admin"})
    assert_problem(promoted, 403, "admins_only")
    users = admin.get("/auth/users").json()
    assert [user["username"] for user in users["users"]] == ["ada", "root"]
    assert "hash" not in admin.get("/auth/users").text
    page = admin.get("/auth/users", limit=1).json()
    rest = admin.get("/auth/users", limit=1, cursor=page["next_cursor"]).json()
    assert [page["users"][0]["username"], rest["users"][0]["username"]] == ["ada", "root"]


def test_an_admin_changes_a_user(client: TestClient, ada: Person, admin: Person):
    path = f"/auth/users/{ada.id}"
    promoted = admin.request("PATCH", path, json={"role": "admin"})
    assert promoted.json()["role"] == "admin"
    assert ada.get("/auth/users").status_code == 200
    assert admin.request("PATCH", path, json={"role": "user"}).status_code == 200
    assert_problem(ada.get("/auth/users"), 403, "admins_only")
    assert admin.request("PATCH", path, json={"password": "set by admin"}).status_code == 200
    refused(client, ada.token)
    assert try_login(client, "ada", "set by admin").status_code == 200


@pytest.mark.parametrize(
    "body", [{"role": "owner"}, {"password": "short"}, {"disabled": "maybe"}, {"username": "x"}, []]
)
def test_a_change_of_a_user_that_is_none(ada: Person, admin: Person, body: Any):
    answer = admin.request("PATCH", f"/auth/users/{ada.id}", json=body)
    assert_problem(answer, 422, "validation_error")
    assert ada.get("/auth/me").json()["role"] == "user"


def test_unknown_users_and_sessions(client: TestClient, admin: Person):
    answer = admin.request("PATCH", "/auth/users/999999", json={"disabled": True})
    assert_problem(answer, 404, "user_not_found")
    for path in ("/auth/me", "/auth/users"):
        assert_problem(client.get(path), 401, "login_required")
    for path in ("/auth/logout", "/auth/password"):
        answer = client.post(path, json={"old": "12345678", "new": "12345678"})
        assert_problem(answer, 401, "login_required")


def test_accounts_leave_their_rows_in_the_audit(client: TestClient, admin: Person):
    start = time.time()
    eve = register(client, "eve")
    try_login(client, "eve")
    eve.request("POST", "/auth/logout")
    logs = admin.get("/api/v1/audit", user_id=eve.id).json()["logs"]
    assert [log["action"] for log in logs] == ["logout", "login_failed", "login", "register"]
    assert all(log["ip_address"] == "testclient" for log in logs)
    assert time.time() - start < 30
