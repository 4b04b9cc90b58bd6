"""Servers that are gone, frozen, slow or no ConfigSync at all; one that comes back."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.prompt import KEY, Cli, Lines
from tests.processes import Stage, rows, until

PROBLEM = b'{"status": %d, "code": "%b", "detail": "Because."}'


class Wrong:
    """A server in this process that answers in one way."""

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        self.asked: list[str] = []
        wrong = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                wrong.asked.append(self.headers.get("Authorization", ""))
                self.send_response(status)
                given = {"content-type": "application/json", "content-length": str(len(body))}
                ours = {name.replace("_", "-"): value for name, value in headers.items()}
                for name, value in {**given, **ours}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815  (the name is the base class's)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def alone(tmp_path) -> Cli:
    """Give a command line without a server."""
    return Cli(tmp_path, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("status", "body", "headers", "code", "why"),
    [
        (200, b"<html>hello</html>", {"content_type": "text/html"}, 6, "like a ConfigSync server"),
        (200, b'{"configs"', {}, 6, "broken JSON"),
        (200, b'{"other": 1}', {}, 6, "not understood"),
        (200, b"[]", {}, 6, "not understood"),
        (200, b'{"configs": 5, "secrets": []}', {}, 6, "not understood"),
        (404, PROBLEM % (404, b"not_found"), {}, 6, "not the address of a ConfigSync server"),
        (302, b"", {"location": "http://me:pw@there.example/"}, 6, "http://there.example/"),
        (200, b"{}", {"content_length": "9"}, 6, "broke off"),
        (302, b"", {"location": "https://elsewhere.example/"}, 6, "https://elsewhere.example/"),
        (401, PROBLEM % (401, b"invalid_token"), {}, 4, "configsync login"),
        (403, PROBLEM % (403, b"not_allowed"), {}, 4, "Because."),
        (404, PROBLEM % (404, b"config_not_found"), {}, 3, "Because."),
        (409, PROBLEM % (409, b"merge_conflict"), {}, 5, "Because."),
        (410, PROBLEM % (410, b"history_pruned"), {}, 1, "Because."),
        (413, PROBLEM % (413, b"body_too_large"), {}, 1, "Because."),
        (429, PROBLEM % (429, b"too_many_logins"), {"retry_after": "7"}, 6, "Try again"),
        (500, PROBLEM % (500, b"internal_error"), {}, 1, "Because."),
        (503, PROBLEM % (503, b"busy"), {}, 6, "Try again"),
        (503, b"<html>bad gateway</html>", {"content_type": "text/html"}, 6, "status 503"),
    ],
)
def test_wrong_answers_are_one_line(alone: Cli, status, body, headers, code, why):
    with closing(Wrong(status, body, **headers)) as wrong:
        said = alone("get", "a", "-s", "b", CONFIGSYNC_URL=wrong.url)
    assert why in said.failed(code)
    assert KEY not in said.err
    assert wrong.asked == [f"Bearer {KEY}"]


def test_nobody_there_and_names_that_nobody_has(alone: Cli):
    assert "Connection refused" in alone("get", "-s", "b").failed(6)
    unknown = alone("get", "-s", "b", CONFIGSYNC_URL="http://no-such-host.invalid")
    assert "the name is not known" in unknown.failed(6)
    assert "cannot be used" in alone("get", "-s", "b", CONFIGSYNC_URL="localhost:8000").failed(2)


@pytest.mark.parametrize("url", ["http://eve:pw@host", "http://eve:p/w@host", "eve:pw@host"])
def test_a_password_in_an_address_is_never_shown(alone: Cli, url):
    for words in (["get", "-s", "b", "--url", url], ["login", url]):
        said = alone(*words)
        assert "must not hold a user name or password" in said.failed(2)
        assert "p/w" not in said.err
        assert "pw" not in said.err
        assert "eve" not in said.err


def test_a_server_without_tls_is_named(alone: Cli):
    with closing(Wrong(200, b"{}")) as wrong:
        url = wrong.url.replace("http:", "https:")
        said = alone("get", "-s", "b", CONFIGSYNC_URL=url)
        assert "does not speak TLS there" in said.failed(6)


def test_a_variable_that_no_program_can_have(alone: Cli):
    with closing(Wrong(200, b'{"configs": {"a": "1\\u00002"}, "secrets": []}')) as wrong:
        for words in ([], ["--watch"]):
            said = alone("run", "-s", "b", *words, "--", "true", CONFIGSYNC_URL=wrong.url)
            assert "Cannot run true" in said.failed(1)


def test_mistakes_of_ours_are_not_the_servers(alone: Cli):
    script = (
        "import configsync.cli.keys as k; k.fetch = lambda *_: None.x\n"
        "from configsync.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "get", "-s", "b"],
        env=alone.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = "configsync: something is wrong in this program (AttributeError).\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n"])
def test_what_is_too_large_is_not_a_server_that_is_gone(alone: Cli, answer):
    """It answers at once, or never, and closes without reading: the connection is reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(1000)
                link.sendall(answer)

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        said = alone("set", "big", "-", "-s", "b", text="x" * 12_000_000, CONFIGSYNC_URL=url)
        thread.join()
    assert "larger than the server takes" in said.failed(1) or (answer and "413" in said.err)


def test_a_server_that_speaks_no_http(alone: Cli):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(65536)
                link.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert "not HTTP" in alone("get", "-s", "b", CONFIGSYNC_URL=url).failed(6)
        thread.join()


@pytest.mark.parametrize("more", [b"", b"connection: close\r\n"])
def test_one_byte_after_the_other_does_not_take_for_ever(alone: Cli, more):
    """The time for an answer is made short in the process, else the test would take a minute."""
    script = (
        "import configsync.cli.api as a; a.ANSWER_S = 1.0; from configsync.cli import main; main()"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            link, _ = listener.accept()
            with link:
                link.sendall(b"HTTP/1.1 200 OK\r\n" + more + b"content-length: 100000\r\n\r\n")
                try:
                    while not finished.wait(0.05):
                        link.sendall(b" ")
                except OSError:
                    return

        finished = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        env = {**alone.env, "CONFIGSYNC_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        done = subprocess.run(
            [sys.executable, "-c", script, "get", "-s", "b"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        finished.set()
        thread.join()
    assert (done.returncode, "no answer in time" in done.stderr) == (6, True), done.stderr


@pytest.fixture
def certificate(tmp_path) -> tuple[str, str]:
    """Give a certificate for localhost that nobody vouches for, and its key."""
    names = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        f" -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        f" -out {names[0]} -keyout {names[1]}".split(),
        check=True,
        capture_output=True,
    )
    return names


def test_a_certificate_that_does_not_fit_gets_no_credential(alone: Cli, certificate):
    with closing(Wrong(200, b'{"configs": {"a": 1}, "secrets": []}')) as wrong:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        wrong.server.socket = context.wrap_socket(wrong.server.socket, server_side=True)
        port = wrong.server.server_address[1]

        def get(host: str, **env: str):
            return alone("get", "a", "-s", "b", CONFIGSYNC_URL=f"https://{host}:{port}", **env)

        assert "certificate does not fit" in get("localhost").failed(6)
        assert "certificate does not fit" in get("127.0.0.1", SSL_CERT_FILE=certificate[0]).failed(
            6
        )
        assert wrong.asked == []
        assert get("localhost", SSL_CERT_FILE=certificate[0]).ok().out == "1\n"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_watch_says_that_it_may_have_missed_something(alone: Cli, stage):
    server = stage.server(API_KEY=KEY)
    alone.env["CONFIGSYNC_URL"] = server.url
    watching = alone.started("watch", "billing")
    messages, changes = Lines(watching.stderr), Lines(watching.stdout)
    try:
        messages.wait(1)
        dsn = (stage.place / "data" / "postgres" / "dsn").read_text().strip()
        rows(dsn, "INSERT INTO epochs (epoch, reason) VALUES ('0123456789ab', 'restored')")
        said = until(lambda: [one for one in messages.said if "Listening" in one][1:], "it goes on")
        assert "revision 0" in said[0]
        assert any("may have been missed" in one for one in messages.said)
        alone("set", "color", "red", "-s", "billing").ok()
        assert "key color" in changes.wait(2)[1]
    finally:
        watching.terminate()
        watching.wait(60)
        watching.stdout.close()
        watching.stderr.close()


def test_watch_and_run_go_on_when_the_server_comes_back(alone: Cli, stage):
    server = stage.server(API_KEY=KEY)
    alone.env["CONFIGSYNC_URL"] = server.url
    alone("set", "color", "red", "-s", "billing").ok()
    watching = alone.started("watch", "billing", "--json")
    show = ("--", "sh", "-c", "echo got $COLOR; exec sleep 1000")
    running = alone.started("run", "-s", "billing", "--watch", *show)
    changes, messages = Lines(watching.stdout), Lines(watching.stderr)
    shown = Lines(running.stdout)
    try:
        messages.wait(1)
        assert shown.wait(1) == ["got red\n"]
        server.end()
        assert "trying again" in messages.wait(2)[1]
        stage.server(port=server.port, API_KEY=KEY)
        alone("set", "color", "blue", "-s", "billing").ok()
        [change] = changes.wait(1)
        assert json.loads(change)["changes"][0]["key"] == "color"
        assert shown.wait(2) == ["got red\n", "got blue\n"]
    finally:
        for one in (watching, running):
            one.terminate()
            one.wait(60)
            one.stdout.close()
            one.stderr.close()
