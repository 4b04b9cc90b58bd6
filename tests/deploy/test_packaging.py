"""What somebody who deploys relies on: compose file, image, entry point, make, examples."""

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {name.upper() for name in Settings.model_fields}
ENTRYPOINT_VARIABLES = {
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_NAME",
    "DATABASE_USER",
    "DATABASE_PASSWORD_FILE",
}
POSTGRES_VARIABLES = {"POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD_FILE"}
DONE, HEALTHY = "service_completed_successfully", "service_healthy"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(text("docker-compose.yml"))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def test_compose_has_the_promised_services_and_volumes(compose, services):
    assert set(services) == {"secrets", "db", "redis", "migrate", "backend", "worker", "beat"}
    assert set(compose["volumes"]) == {"configsync_data", "configsync_postgres"}
    assert services["backend"]["ports"] == ["127.0.0.1:${SERVICE_PORT:-8000}:8000"]
    assert [name for name in services if "ports" in services[name]] == ["backend"]


def test_compose_starts_in_order(services):
    def waits(name: str) -> dict[str, str]:
        return {on: how["condition"] for on, how in services[name]["depends_on"].items()}

    assert waits("db") == {"secrets": DONE}
    assert waits("migrate") == {"secrets": DONE, "db": HEALTHY}
    for name in ("backend", "worker", "beat"):
        assert waits(name) == {"migrate": DONE, "db": HEALTHY, "redis": HEALTHY}
    # docker-compose refuses to wait for the health of a service without a health check.
    assert all(services[name]["healthcheck"]["test"] for name in ("db", "redis", "worker"))


def test_compose_runs_only_what_the_image_offers(services):
    ours = [name for name in services if services[name]["image"].startswith("configsync")]
    commands = [services[name]["command"][0] for name in ours]
    assert commands == ["secrets", "migrate", "serve", "worker", "beat"]
    for name in ours:
        assert services[name]["read_only"] is True
        assert "configsync_data:/data" in services[name]["volumes"]
        if name != "secrets":
            script = services[name]["entrypoint"][1].removeprefix("/srv/configsync/")
            assert (ROOT / script).is_file()


def test_compose_keeps_the_database_where_postgres_18_writes_it(services):
    assert services["db"]["image"] == "postgres:18"
    assert "configsync_postgres:/var/lib/postgresql" in services["db"]["volumes"]
    secrets = services["db"]["volumes"][1]
    assert (secrets["source"], secrets["read_only"]) == ("configsync_data", True)
    password = services["db"]["environment"]["POSTGRES_PASSWORD_FILE"]
    kept = services["backend"]["environment"]["DATABASE_PASSWORD_FILE"]
    assert Path(password).parent == Path(secrets["target"])
    assert Path(password).name == Path(kept).name == "database_password"


def test_compose_sets_only_variables_that_exist(services):
    known = SETTINGS | ENTRYPOINT_VARIABLES | POSTGRES_VARIABLES
    used = {name for service in services.values() for name in service.get("environment", {})}
    used |= set(re.findall(r"(?<!\$)\$\{(\w+)", text("docker-compose.yml")))
    assert used - known == set()


def test_no_literal_secrets(services):
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN", name) and not name.endswith("_FILE"):
                assert value is None, name
    for name, value in re.findall(r"^#?([A-Z_]+)=(.*)$", text(".env.example"), re.MULTILINE):
        if re.search("PASSWORD|SECRET_KEY|ENCRYPTION_KEY|_URL", name):
            assert value == "", name
    for name in ("docker-compose.yml", ".env.example", "Dockerfile"):
        assert not re.search(r"://[\w.-]*:[\w.-]+@", text(name)), name


def test_env_example_names_every_setting_with_its_default():
    example = dict(re.findall(r"^#([A-Z_]+)=(.*)$", text(".env.example"), re.MULTILINE))
    assert set(example) == SETTINGS
    given = {name.lower(): value for name, value in example.items() if value}
    bare = {name: field.get_default() for name, field in Settings.model_fields.items()}
    read = Settings(_env_file=None, **given).model_dump(include=set(given))
    assert read == {name: bare[name] for name in given}
    assert [name for name in bare if name not in given and bare[name] not in (None, "", ())] == []


def test_image_runs_unprivileged_and_holds_no_embedded_postgres():
    dockerfile = text("Dockerfile")
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes" in dockerfile
    assert "requirements-embedded" not in dockerfile
    ignore = text(".dockerignore").split()
    assert "*" in ignore
    assert not [line for line in ignore if line.startswith("!") and "embedded" in line]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    for source in " ".join(copied).split():
        assert f"!{source.rstrip('/')}" in ignore, f"{source} is kept from the build"
        assert (ROOT / source).exists(), source


@pytest.fixture
def fake_python(tmp_path: Path) -> Path:
    """Make a `python` that shows how `python -m app` was called, and runs everything else."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec "{sys.executable}" "$@"\n'
        'printf "%s|" "${DATABASE_URL-unset}" "$@"\n'
    )
    fake.chmod(0o755)
    return fake.parent


def enter(path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": f"{path}:{os.defpath}", **variables}
    command = ["/bin/sh", str(ROOT / "deploy/entrypoint.sh"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_entrypoint_builds_the_url_from_the_password_file(fake_python, tmp_path):
    file = tmp_path / "password"
    file.write_text("a b/c@d:é%\n")
    done = enter(
        fake_python, "load", "a b", DATABASE_PASSWORD_FILE=str(file), DATABASE_HOST="db.example"
    )
    url = "postgresql://configsync:a%20b%2Fc%40d%3A%C3%A9%25@db.example:5432/configsync"
    assert done.stdout == f"{url}|-m|app|load|a b|"
    settings = Settings(_env_file=None, database_url=url)
    assert settings.database().password == "a b/c@d:é%"


def test_entrypoint_prefers_a_given_url_and_passes_arguments(fake_python):
    given = enter(
        fake_python, "serve", DATABASE_URL="postgresql://x/y", DATABASE_PASSWORD_FILE="/no"
    )
    assert given.stdout == "postgresql://x/y|-m|app|serve|"
    assert enter(fake_python).stdout == "unset|-m|app|"


@pytest.mark.parametrize("content", [None, "\n"])
def test_entrypoint_stops_without_a_password(fake_python, tmp_path, content):
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    done = enter(fake_python, "serve", DATABASE_PASSWORD_FILE=str(file))
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1)])
def test_healthcheck_asks_the_server_and_no_proxy(status, exit_code):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        server.timeout = 5
        answer = threading.Thread(target=server.handle_request)
        answer.start()
        env = {"SERVICE_PORT": str(server.server_port), "http_proxy": "http://127.0.0.1:9"}
        command = [sys.executable, str(ROOT / "deploy/healthcheck.py")]
        done = subprocess.run(command, env=env, capture_output=True, check=False)
        answer.join()
    assert (done.returncode, asked) == (exit_code, ["/api/v1/health/live"])


def test_make_help_lists_every_target():
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    listed = re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.+)$", text("Makefile"), re.MULTILINE)[0].split()
    assert sorted([*listed, "broken"]) == sorted(phony)
    check = re.findall(r"^check: (.+?) ##", text("Makefile"), re.MULTILINE)[0].split()
    assert check[-1] == "test"
    assert set(check) <= set(phony)


def test_hosted_workflow_runs_the_same_command_on_both_versions():
    check = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["check"]
    assert check["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert check["steps"][-1]["run"] == "bash .ci/run"
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert text(".ci/run").rstrip().splitlines()[-1].startswith("exec make ")


def test_license_is_mit():
    assert text("LICENSE").startswith("MIT License\n\nCopyright (c) 2026 ConfigSync contributors\n")
