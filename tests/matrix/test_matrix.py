"""Every route and every caller: who gets in is what the table says, and nobody else."""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.routing import Mount

from app.main import create_server
from app.outbox.recorder import recorder
from app.usage.recorder import usage
from tests.client import Briefly, framework
from tests.conftest import copy_template, environment, execute, url_of
from tests.matrix.routes import FLAGS, LINES, MARK, OPEN, Line
from tests.matrix.stage import (
    CALLERS,
    SLUG,
    STRANGERS,
    UNKNOWN_HANDLE,
    UNKNOWN_ID,
    Caller,
    Names,
    Place,
    Refusal,
    Stage,
    fill,
    may_see,
    places,
    plain,
    send,
    snapshot,
    taking_workspace,
    verdict,
)

AT_OPEN_DOORS = ("nobody", "disabled", "viewer", "key-revoked")  # enough: nobody is asked there
FORGED = {
    "X-Workspace": SLUG,
    "X-Workspace-Id": "1",
    "X-Tenant": SLUG,
    "X-Tenant-Id": "1",
    "X-Namespace": SLUG,
    "X-User": "root",
    "X-User-Id": "1",
    "X-Role": "admin",
    "X-Remote-User": "root",
    "Remote-User": "root",
    "X-Forwarded-User": "root",
    "X-Forwarded-For": "10.0.0.1",
    "X-Real-IP": "10.0.0.1",
    "Forwarded": "for=10.0.0.1;host=localhost",
    "X-Forwarded-Host": "localhost",
    "X-Forwarded-Prefix": "/health",
    "X-Original-URL": "/health",
    "X-Rewrite-URL": "/health",
    "X-HTTP-Method-Override": "GET",
    "X-Internal": "true",
    "Cookie": "session=root; token=root",
    "User-Agent": "Nacos-Server",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One application and one database for the whole matrix."""
    folder = tmp_path_factory.mktemp("matrix")
    database = f"test_{uuid.uuid4().hex}"
    copy_template(database)
    with environment(
        DATABASE_URL=url_of(database),
        DATA_DIR=str(folder / "data"),
        AUDIT_LOG_FILE=str(folder / "audit.log"),
        SECRET_KEY="test-signing-key-0123456789-abcdefghijkl",
        ENCRYPTION_KEY="test-encryption-key-0123456789-abcdefgh",
    ):
        recorder.__init__()
        usage.__init__()
        with TestClient(Briefly(create_server()), raise_server_exceptions=False) as client:
            yield Stage(client)
    execute(f"DROP DATABASE {database} WITH (FORCE)")


# The routes


def walk(routes: Any) -> Iterator[tuple[str, str]]:
    """Return method and path of all routes, those of included routers too."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from walk(route.original_router.routes)
        elif isinstance(route, Mount):
            yield "MOUNT", route.path
        else:
            for method in getattr(route, "methods", None) or {"WEBSOCKET"}:
                yield method, plain(route.path)


def documented(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return method and path of all operations."""
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "post", "put", "patch", "delete", "head", "options"}:
            yield method.upper(), plain(path)


def test_every_route_has_a_line_and_every_line_a_route(stage: Stage):
    table = [(line.method, line.path) for line in LINES]
    assert len(table) == len(set(table)), "a route stands twice in the table"
    app = framework(stage.client)
    found = {*walk(app.routes), *documented(app.openapi())}
    assert found - set(table) == set(), "routes without a line in routes.py"
    assert set(table) - found == set(), "lines in routes.py without a route"


def test_methods_that_nobody_declared_are_refused(stage: Stage):
    table = {(line.method, line.path) for line in LINES}
    before, wrong = snapshot(), []
    for path in {line.path for line in LINES if line.method != "MOUNT"}:
        url = quote(path.format_map({"slug": SLUG} | dict.fromkeys(FILLER, "1")))
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"):
            if (method, path) in table:
                continue
            status = stage.client.request(method, url).status_code
            if status not in {401, 405}:
                wrong.append(f"{method} {path}: {status}")
    assert wrong == []
    assert snapshot() == before


FILLER = (
    *("user_id", "service_name", "name", "key_id", "config_id", "key", "user", "event_id"),
    *("version_id", "other_version_id", "handle", "flag_id"),
)


# The calls


class Caught:
    """Sends the calls of one caller and collects what is not as the table says."""

    def __init__(self, stage: Stage, caller: Caller, headers: dict[str, str] | None = None) -> None:
        self.stage = stage
        self.caller = caller
        self.headers = headers or {}
        self.wrong: list[str] = []
        self.before = snapshot()
        self.takes_workspace = taking_workspace(framework(stage.client).openapi())

    def selects(self, line: Line) -> bool:
        """Say whether a call can name a workspace in its query."""
        return (line.method, line.path) in self.takes_workspace

    def names_workspace(self, line: Line) -> bool:
        """Say whether a call of this caller names the workspace: people have to."""
        in_query = self.selects(line) and (not self.caller.is_key or self.caller.is_foreign)
        return in_query or "{slug}" in line.path

    def send(self, line: Line, names: Names, *, slug: str | None, token: str) -> httpx.Response:
        """Call a route."""
        return send(self.stage.client, line, names, slug=slug, token=token, headers=self.headers)

    def try_out(self, calls: Sequence[tuple[Line, Place]]) -> None:
        """Make calls and hold what comes against the table; those to be refused come first."""
        tried = [(line, place, self.wanted(line, place)) for line, place in calls]
        for line, place, wanted in tried:
            if wanted is not None:
                self.refuse(line, place, wanted)
        after = snapshot()
        if changed := {name for name in after if after[name] != self.before[name]}:
            self.wrong.append(f"a refused call changed {changed}")
        for line, place, wanted in tried:
            if wanted is None:
                self.allow(line, place)

    def wanted(self, line: Line, place: Place) -> Refusal | None:
        """Return what the table says."""
        return verdict(line, self.caller, place, named=self.names_workspace(line))

    def slug(self, line: Line) -> str | None:
        """Return the workspace for the query, if it belongs there."""
        return SLUG if self.names_workspace(line) and "{slug}" not in line.path else None

    def refuse(self, line: Line, place: Place, wanted: Refusal) -> None:
        """Make a call that must be refused like this."""
        names = self.stage.shared[line.uses, place] | {"fresh": self.stage.fresh()}
        token = self.stage.tokens[self.caller.name]
        answer = self.send(line, names, slug=self.slug(line), token=token)
        if (answer.status_code, code(answer)) != wanted or MARK in answer.text:
            self.note(f"not {wanted}", line, place, answer)
        elif wanted[1] == "workspace_not_found":
            self.compare_with_none(line, names, answer, token)

    def allow(self, line: Line, place: Place) -> None:
        """Make a call that must be served, with no value for those who may not read."""
        shared, token = self.stage.shared[line.uses, place], self.stage.tokens[self.caller.name]
        names = self.stage.make(line.uses, place) if line.spends else shared
        if line.uses == "login":
            token = self.stage.new_token(self.caller)
        names = names | {"fresh": self.stage.fresh()}
        answer = self.send(line, names, slug=self.slug(line), token=token)
        readable = may_see(line, self.caller, place)
        if answer.status_code >= 400:
            self.note("refused", line, place, answer)
        elif line.shows and readable and MARK not in answer.text:
            self.note("shows no value", line, place, answer)
        elif not readable and MARK in answer.text:
            self.note("shows a value", line, place, answer)

    def note(self, what: str, line: Line, place: Place, answer: httpx.Response) -> None:
        """Collect a failure."""
        self.wrong.append(f"{what}: {line.name} at {place}: {answer.status_code} {answer.text}")

    def compare_with_none(
        self, line: Line, names: Names, answer: httpx.Response, token: str
    ) -> None:
        """Check that a workspace of others looks like one that does not exist."""
        slug = "nowhere" if "{slug}" not in line.path else None
        other = self.send(line, names | {"slug": "nowhere"}, slug=slug, token=token)
        if SLUG not in answer.json()["detail"] or same(answer, SLUG) != same(other, "nowhere"):
            self.wrong.append(f"differs: {line.name}: {answer.text} {other.text}")


def report(caught: Caught) -> str:
    """Return what was wrong, a line each."""
    return "\n".join(one[:600] for one in caught.wrong)


def code(answer: httpx.Response) -> str:
    """Return a problem's code."""
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.json()["code"] if is_problem else ""


def same(answer: httpx.Response, *names: object) -> str:
    """Return an answer without what names this very request."""
    problem = answer.json()
    text = json.dumps([answer.status_code, problem | {"request_id": "", "instance": ""}])
    for name in names:
        text = re.sub(rf"\b{name}\b", "#", text)
    return text


@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_callers_get_what_the_table_says(stage: Stage, caller: Caller):
    caught = Caught(stage, caller)
    lines = [line for line in LINES if line.needs != OPEN or caller.name in AT_OPEN_DOORS]
    caught.try_out([(line, place) for line in lines for place in places(line)])
    assert not caught.wrong, report(caught)


@pytest.mark.parametrize("caller", STRANGERS, ids=str)
def test_ids_of_others_look_like_ids_of_nobody(stage: Stage, caller: Caller):
    caught = Caught(stage, caller)
    tried = 0
    for line in LINES:
        own = caught.selects(line) or line.path.startswith("/api/v1/audit/")
        for place in places(line) if own and line.names_ids else ():
            names = stage.shared[line.uses, place] | {"fresh": stage.fresh()}
            others = {name: UNKNOWN_ID for name in names if name.endswith("_id")}
            if "handle" in names:
                others["handle"] = UNKNOWN_HANDLE
            token = stage.tokens[caller.name]
            answer = caught.send(line, names, slug=None, token=token)
            unknown = caught.send(line, names | others, slug=None, token=token)
            tried += 1
            if answer.status_code != 404 or MARK in answer.text:
                caught.wrong.append(f"{line.name}: {answer.status_code} {answer.text}")
            if same(answer, *(names[name] for name in others)) != same(unknown, *others.values()):
                caught.wrong.append(f"{line.name}: {answer.text} {unknown.text}")
    assert not caught.wrong, report(caught)
    assert tried > 20
    assert snapshot() == caught.before


@pytest.mark.parametrize("caller", STRANGERS, ids=str)
def test_lists_of_others_do_not_name_the_workspace(stage: Stage, caller: Caller):
    headers = {"Authorization": f"Bearer {stage.tokens[caller.name]}"}
    for line in LINES:
        if line.method == "GET" and line.needs != OPEN and "{" not in f"{line.path}{line.query}":
            answer = stage.client.get(line.path, headers=headers)
            assert MARK not in answer.text
            if not (caller.name == "former" and "audit" in line.path):  # their own acts
                assert SLUG not in answer.text, line.name


@pytest.mark.parametrize(
    "extra", ["id", "role", "user_id", "owner_id", "workspace", "workspace_id"]
)
def test_no_body_assigns_more_than_it_may(stage: Stage, extra: str):
    root = next(one for one in CALLERS if one.is_root)
    caught = Caught(stage, root)
    tried = 0
    for line in LINES:
        if line.needs == OPEN or line.body is None or line.path in LOOSE or extra in line.body:
            continue
        names = stage.shared[line.uses, places(line)[0]] | {"fresh": stage.fresh()}
        more = replace(line, body={**line.body, extra: 1})
        answer = caught.send(more, names, slug=caught.slug(line), token=stage.tokens["root"])
        tried += 1
        if (answer.status_code, code(answer)) != (422, "validation_error"):
            caught.note("taken", line, None, answer)
    assert not caught.wrong, report(caught)
    assert tried > 15
    assert snapshot() == caught.before


LOOSE = (
    "/config/{service_name}",  # a merge patch
    *("/api/v1/configs/fetch", "/api/v1/instances/report"),  # newer clients
    *(f"{FLAGS}/evaluate", f"{FLAGS}/evaluate/batch", f"{FLAGS}/{{name}}/explain"),
    *(f"{FLAGS}/usage", "/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags"),
)


# Headers, hosts, paths

SWEPT = ("nobody", "viewer", "stranger", "disabled", "key-to-read", "key-for-another-address")


@pytest.mark.parametrize("caller", [one for one in CALLERS if one.name in SWEPT], ids=str)
def test_no_header_opens_a_door(stage: Stage, caller: Caller):
    caught = Caught(stage, caller, FORGED)
    lines = [line for line in LINES if line.needs != OPEN]
    caught.try_out([(line, places(line)[0]) for line in lines])
    assert not caught.wrong, report(caught)


@pytest.mark.parametrize("path", ["/auth/me", "/config/list", "/environments", "/api/v1/api-keys"])
def test_no_header_leads_elsewhere(stage: Stage, path: str):
    mine = {"Authorization": f"Bearer {stage.tokens['stranger']}"}
    plainly = stage.client.get(path, headers=mine)
    assert plainly.status_code == 200
    for name, value in FORGED.items():
        assert stage.client.get(path, headers={**mine, name: value}).json() == plainly.json(), name


def raw(
    stage: Stage, method: str, path: str, *, host: bytes | None = b"testserver", token: str = ""
) -> tuple[int, bytes]:
    """Send bytes that a client library would tidy up first; return status and body."""
    messages: list[Any] = []
    headers = [] if host is None else [(b"host", host)]
    if token:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 1),
        "server": ("testserver", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    async def ask() -> None:
        await stage.client.app(scope, receive, send)

    assert stage.client.portal is not None
    stage.client.portal.call(ask)
    body = b"".join(one.get("body", b"") for one in messages[1:])
    return messages[0]["status"], body


def guarded(stage: Stage) -> list[tuple[str, str]]:
    """Return method and URL of everything that is not open."""
    found = []
    for line in LINES:
        if line.needs != OPEN:
            names = stage.shared[line.uses, places(line)[0]] | {"fresh": "fresh"}
            query = httpx.QueryParams(fill(line.query, names))
            found.append((line.method, f"{fill(line.path, names)}{'?' if query else ''}{query}"))
    return found


DETOURS = (
    "/health/..{}",
    "/docs/..{}",
    "/docs/static/..%2f..{}",
    "/health/%2e%2e{}",
    "/health/..;{}",
    "/health;{}",
    "/health%2f..{}",
    "/health\\..{}",
    "/./{}",
    "/{}",
    "//testserver{}",
    "/%2f{}",
    "/%252e%252e{}",
    "http://testserver{}",
    "{}/",
    "{}//",
    "{}%2f",
    "{}/.",
    "{}/..",
    "{}/%2e%2e/health",
    "{};/health",
    "{}%3f/health",
    "{}%23/health",
    "{}%20",
    "{}%0a",
    "{}.json",
)


@pytest.mark.parametrize("detour", DETOURS)
def test_no_path_leads_around_the_door(stage: Stage, detour: str):
    before, wrong = snapshot(), []
    open_paths = {line.path for line in LINES if line.needs == OPEN}
    for method, url in guarded(stage):
        path, _, query = url.partition("?")
        changed = detour.format(path)
        status, body = raw(stage, method, f"{changed}?{query}" if query else changed)
        wanted = {401, 404, 405, 422}
        if unquote(changed).removesuffix("/") in open_paths:
            wanted.add(200)
        if status not in wanted or MARK.encode() in body:
            wrong.append(f"{method} {changed}: {status} {body[:200]!r}")
    assert wrong == []
    assert snapshot() == before


@pytest.mark.parametrize(
    "spelling", [str.upper, lambda path: path.replace("/", "//"), lambda path: quote(path, "")]
)
def test_other_spellings_are_other_paths(stage: Stage, spelling: Callable[[str], str]):
    for method, url in guarded(stage):
        path, _, query = url.partition("?")
        status, body = raw(stage, method, f"{spelling(path)}?{query}")
        assert status in {401, 404, 405, 422}, (method, path)
        assert MARK.encode() not in body


HOSTS = (
    *(None, b"", b"[", b"]", b"::1]", b"a/b", b"a b", b"\xff", b"x#", b"x?", b"user@host"),
    *(
        b"testserver/health?",
        b"testserver/health#",
        b"x/../health",
        b"h:99999",
        b"h:x",
        b"a" * 5000,
    ),
)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: repr(host)[:24])
def test_no_host_opens_a_door(stage: Stage, host: bytes | None):
    before, wrong = snapshot(), []
    for method, url in guarded(stage):
        status, body = raw(stage, method, url, host=host)
        if status not in {401, 422} or MARK.encode() in body:
            wrong.append(f"{method} {url}: {status} {body[:200]!r}")
        if method == "DELETE":
            token = stage.tokens["viewer"]
            status, body = raw(stage, method, url, host=host, token=token)
            if status not in {403, 404}:
                wrong.append(f"{method} {url} as viewer: {status} {body[:200]!r}")
    assert wrong == []
    assert snapshot() == before
