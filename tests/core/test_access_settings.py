"""What the settings open and close, and which settings are refused."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.core.settings import Settings
from tests.client import Person, assert_problem
from tests.conftest import environment

GOOD = "a-good-signing-key-0123456789-abcdef"
OPEN = {"REQUIRE_API_KEY": "false", "ALLOW_ANONYMOUS_ACCESS": "true"}


@pytest.mark.parametrize("variables", [OPEN])
def test_anonymous_reads_default_only(client: TestClient, ada: Person, admin: Person):
    admin.update("billing", {"a": 1})
    ada.update("private", {"b": 2})
    assert client.get("/config/billing").json()["config"] == {"a": 1}
    names = [c["name"] for c in client.get("/config/list").json()["configs"]]
    assert names == ["billing"]
    assert client.get("/config/private").status_code == 404
    for params in ({"workspace": "ada"}, {"target_user_id": ada.id}):
        answer = client.get("/config/private", params=params)
        assert answer.status_code in {401, 403, 404}, answer.text
    for method, path, body in (
        ("POST", "/config/update", {"name": "billing", "config": {}}),
        ("POST", "/config/billing", {"config": {}}),
        ("POST", "/config/billing/rollback", {"version": 1}),
        ("DELETE", "/config/delete?service=billing", None),
        ("POST", "/config/restore?service=billing", None),
    ):
        assert_problem(client.request(method, path, json=body), 401, "login_required")
    assert admin.get("/config/billing").json()["document_version"] == 1
    wrong = client.get("/config/billing", headers={"Authorization": "Bearer x"})
    assert_problem(wrong, 401, "invalid_token")


@pytest.mark.parametrize(
    "variables", [{name: value} for name, value in OPEN.items()], ids=lambda v: next(iter(v))
)
def test_one_of_the_two_opens_nothing(client: TestClient):
    assert_problem(client.get("/config/list"), 401, "login_required")


@pytest.mark.parametrize("variables", [{"AUTH_ENABLED": "false"}])
def test_without_auth_everybody_works_in_default(client: TestClient):
    body = {"name": "billing", "config": {"a": 1}}
    made = client.post("/config/update", json=body)
    assert (made.status_code, made.json()["workspace"]) == (200, "default")
    assert client.get("/config/billing").json()["config"] == {"a": 1}
    assert client.get("/auth/users").status_code == 200
    assert client.delete("/config/delete", params={"service": "billing"}).status_code == 200


@pytest.mark.parametrize(
    "variables",
    [
        {"SECRET_KEY": "supersecretjwtkey"},
        {"SECRET_KEY": "changeme"},
        {"SECRET_KEY": "x" * 31},
        {"SECRET_KEY": "x" * 64},
        {"SECRET_KEY": "abcdefghijklmnopqrstuvwxyz01234"},
        {"SECRET_KEY": f"{GOOD},changeme"},
        {"SECRET_KEY": f"{GOOD},"},
        {"ENCRYPTION_KEY": "supersecretkey"},
        {"ENCRYPTION_KEY": "short"},
        {"ADMIN_PASSWORD": "changeme"},
        {"AUTH_ENABLED": "false", "HOST": "0.0.0.0"},
        {"AUTH_ENABLED": "false", "HOST": "::"},
        {"TLS_CERT_FILE": "/tmp/cert.pem"},
        {"TLS_KEY_FILE": "/tmp/key.pem"},
        {"LOG_LEVEL": "LOUD"},
        {"LOG_FORMAT": "xml"},
        {"SERVICE_PORT": "65536"},
        {"ACCESS_TOKEN_EXPIRE_MINUTES": "0"},
    ],
    ids=repr,
)
def test_unsafe_settings_are_refused(tmp_path: Path, monkeypatch, variables: dict[str, str]):
    monkeypatch.chdir(tmp_path)
    with environment(**variables), pytest.raises(ValidationError) as refusal:
        Settings()
    for name in ("SECRET_KEY", "ENCRYPTION_KEY"):
        if name in variables:
            assert name in str(refusal.value)


@pytest.mark.parametrize(
    "variables",
    [
        {"SECRET_KEY": GOOD},
        {"SECRET_KEY": f"{GOOD}, {GOOD[::-1]}"},
        {"AUTH_ENABLED": "false", "HOST": "127.0.0.1"},
        {"AUTH_ENABLED": "false", "HOST": "::1"},
        {"TLS_CERT_FILE": "/tmp/cert.pem", "TLS_KEY_FILE": "/tmp/key.pem"},
    ],
    ids=repr,
)
def test_safe_settings_are_taken(tmp_path: Path, monkeypatch, variables: dict[str, str]):
    monkeypatch.chdir(tmp_path)
    with environment(**variables):
        Settings()


@pytest.mark.parametrize("url", ["mysql://u:p@h/d", "sqlite:///x.db", "nonsense"])
def test_another_database_is_refused(tmp_path: Path, monkeypatch, url: str):
    monkeypatch.chdir(tmp_path)
    with environment(DATABASE_URL=url), pytest.raises(ValueError):
        Settings().database()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_spellings_of_postgresql_are_understood(tmp_path: Path, monkeypatch, scheme: str):
    monkeypatch.chdir(tmp_path)
    with environment(DATABASE_URL=f"{scheme}://u:p@h:5/d"):
        url = Settings().database()
        assert url.render_as_string(hide_password=False) == "postgresql+psycopg2://u:p@h:5/d"
        assert "u:p@" not in repr(Settings())
