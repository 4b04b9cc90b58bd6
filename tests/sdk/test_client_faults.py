"""Servers that are away, wrong, or not what they were; the application goes on."""

import json
import logging
import signal
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from configsync import (
    AccessDenied,
    AuthenticationError,
    Gone,
    Invalid,
    NotFound,
    ServerUnreachable,
    SyncConfigClient,
    TryAgain,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.processes import free_port, until
from tests.sdk.desk import KEY, Desk
from tests.sdk.impostor import Impostor, problem, reply


def made(stack, url, **options):
    one = SyncConfigClient(base_url=url, app_id="app", **{"api_key": KEY, **options})
    stack.callback(one.close)
    return one


def says(status, body, content_type="application/json", **headers):
    return lambda handler: reply(handler, status, body, content_type, **headers)


html = says(200, b"<html>Log in to the hotel's network</html>", "text/html")


def truncated(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"configs": {}, "ver')
    handler.close_connection = True


def slow(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(b" ")
            time.sleep(0.1)
    except OSError:
        handler.close_connection = True


def no_http(handler):
    handler.wfile.write(b"220 smtp.example.org ESMTP\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (html, "not that of a ConfigSync server"),
        (
            says(502, b"<html>Bad gateway</html>", "text/html"),
            "answers 502, not as a ConfigSync server",
        ),
        (
            says(404, b"<html>Not found</html>", "text/html"),
            "answers 404, not as a ConfigSync server",
        ),
        (says(200, b'{"hello": "world"}'), "not that of a ConfigSync server"),
        (says(200, b"[]"), "not that of a ConfigSync server"),
        (says(200, b'{"configs": {'), "not that of a ConfigSync server"),
        (
            says(307, b"", "text/plain", Location="http://127.0.0.1:1/elsewhere"),
            "a redirect, which is not followed",
        ),
        (truncated, "cannot be reached"),
        (slow, "does not answer in time"),
        (no_http, "cannot be reached"),
    ],
)
def test_answers_that_are_none(wrong, stack, answer, message):
    one = made(stack, wrong(answer), timeout=1)
    with pytest.raises(ServerUnreachable, match=message):
        one.initialize()
    assert message in one.status.error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (403, AccessDenied),
        (404, NotFound),
        (410, Gone),
        (413, Invalid),
        (429, TryAgain),
        (503, TryAgain),
    ],
)
def test_refusals(wrong, stack, tmp_path, status, error):
    server = Impostor(n=1)
    url = wrong(server)
    first = made(stack, url, cache_dir=tmp_path / "cache")
    first.initialize()
    server.refuses = (status, "a_code")
    server.headers = {"Retry_After": "7"}
    with pytest.raises(error, match="a_code") as caught:
        made(stack, url).initialize()
    assert (caught.value.status, caught.value.retry_after) == (status, 7.0)
    with pytest.raises(error):
        first.refresh()
    assert (first.get("n"), first.source) == (1, "server")
    assert "a_code" in first.status.error
    second = made(stack, url, cache_dir=tmp_path / "cache")
    second.initialize()
    assert (second.get("n"), second.source) == (1, "cache")
    assert "a_code" in second.status.error
    server.refuses = None
    second.start_auto_refresh()
    # It refreshes at once; then a server that was well is found again by itself.
    until(lambda: second.source == "server", "the server is used again")
    assert second.status.error is None


@pytest.mark.parametrize("status", [429, 503])
def test_proxies_that_are_busy(wrong, stack, status):
    url = wrong(lambda one: reply(one, status, b"busy", "text/html", Retry_After="3"))
    with pytest.raises(TryAgain) as caught:
        made(stack, url).initialize()
    assert caught.value.retry_after == 3.0


def test_a_real_server_refuses(desk, client):
    with pytest.raises(NotFound):
        client().initialize()
    with pytest.raises(AuthenticationError):
        client(api_key="cs_" + "0" * 40).initialize()
    desk.write(n=1)
    with pytest.raises(AccessDenied):
        client(api_key=desk.key("metrics")).initialize()
    with pytest.raises(NotFound):
        client(workspace="another").initialize()
    one = client(workspace="default")
    one.initialize()
    assert one.get("n") == 1


def certificate(place, name):
    """Return the file of a certificate for a name, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = place / "server.pem"
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    file.write_bytes(private + signed.public_bytes(pem))
    return file


@pytest.mark.parametrize("name", ["localhost", "other.example.org"])
@pytest.mark.parametrize("is_trusted", [True, False])
def test_certificates(stack, tmp_path, monkeypatch, name, is_trusted):
    file = certificate(tmp_path, name)
    server = Impostor(n=1)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            server(self)

        def log_message(self, *_):
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    stack.callback(http.server_close)
    stack.callback(thread.join)
    stack.callback(http.shutdown)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    one = made(stack, f"https://localhost:{http.server_port}")
    if is_trusted and name == "localhost":
        one.initialize()
        assert one.get("n") == 1
    else:
        with pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
            one.initialize()


def test_nobody_there(stack):
    with pytest.raises(ServerUnreachable, match="cannot be reached"):
        made(stack, f"http://127.0.0.1:{free_port()}").initialize()


def test_the_key_goes_nowhere_else(wrong, stack):
    seen = []

    def elsewhere(handler):
        seen.append(handler.headers)
        html(handler)

    other = wrong(elsewhere)
    url = wrong(lambda one: reply(one, 308, b"", "text/plain", Location=other))
    with pytest.raises(ServerUnreachable, match="redirect"):
        made(stack, url).initialize()
    assert seen == []


def test_killed_frozen_and_back(stage, stack):
    server = stage.server(API_KEY=KEY)
    desk = stack.enter_context(Desk(server.url, "app"))
    desk.write(n=1)
    one = made(stack, server.url, environment="development", timeout=1)
    one.initialize()
    one.start_auto_refresh()
    until(lambda: one.status.push == "stream", "events come through")
    server.signal(signal.SIGSTOP)
    with pytest.raises(ServerUnreachable, match="in time"):
        one.refresh()
    assert one.get("n") == 1
    server.signal(signal.SIGCONT)
    until(lambda: one.status.error is None, "the thawed server is used again")
    server.kill()
    until(lambda: one.status.push == "off", "the end is noticed")
    with pytest.raises(ServerUnreachable):
        one.refresh()
    assert (one.get("n"), one.source) == (1, "server")
    again = stage.server(port=server.port, API_KEY=KEY)
    desk.write(n=2)
    until(lambda: one.get("n") == 2, "the newer config arrives")
    assert one.status.error is None
    file = stage.place / "dump"
    assert stage.run("dump", str(file)).returncode == 0
    desk.write(n=3)
    until(lambda: one.get("n") == 3, "the newest config arrives")
    again.end()
    assert stage.run("load", str(file), "--replace").returncode == 0
    stage.server(port=server.port, API_KEY=KEY)
    until(lambda: one.status.restored, "the restored server is noticed")
    assert one.get("n") == 3
    one.follow()
    assert (one.get("n"), one.status.restored) == (2, None)
    until(lambda: one.status.push == "stream", "events come through")
    desk.write(n=4)
    until(lambda: one.get("n") == 4, "changes are heard again")


def test_older_data_is_not_taken(wrong, stack, tmp_path, caplog):
    server = Impostor()
    server.set(9, n=9)
    one = made(stack, wrong(server), cache_dir=tmp_path / "cache")
    one.initialize()
    server.set(8, n=8)
    with pytest.raises(ServerUnreachable, match="at revision 8, it was at 9"):
        one.refresh()
    assert one.get("n") == 9
    assert server.asked[-1].endswith("min_revision=e1-9")
    server.set(20, epoch="e2", n=7)
    one.refresh()
    assert (one.get("n"), one.status.restored) == (9, "e2")
    assert "was restored" in caplog.text
    second = made(stack, one._state.options.base_url, cache_dir=tmp_path / "cache")
    second.initialize()  # not unnoticed by starting anew either
    assert (second.get("n"), second.source, second.status.restored) == (9, "cache", "e2")
    second.follow()
    assert (second.get("n"), second.status.restored) == (7, None)
    third = made(
        stack,
        one._state.options.base_url,
        cache_dir=tmp_path / "cache",
        follow_restored=True,
    )
    server.set(30, epoch="e1", n=6)
    third.initialize()  # e1 was left: nobody goes back there unless told
    assert (third.get("n"), third.status.restored) == (7, "e1")
    server.set(1, epoch="e3", n=5)
    third.refresh()
    assert (third.get("n"), third.status.restored) == (5, None)


def test_a_restored_server_with_the_same_config_is_followed(wrong, stack, caplog):
    server = Impostor(n=1)
    one = made(stack, wrong(server))
    one.initialize()
    server.set(1, epoch="e2", n=1)
    one.refresh()
    assert one.status.restored is None
    assert "Following the restored server" in caplog.text


def test_a_server_one_minor_version_older(wrong, stack, tmp_path, caplog):
    server = Impostor(n=1, password="••••••••")
    del server.answer["secrets"]  # it does not tell which values are secrets
    one = made(stack, wrong(server), cache_dir=tmp_path / "cache")
    one.initialize()
    assert (one.get("n"), one.get("password")) == (1, None)
    one.start_auto_refresh(3600)  # it has no stream, and takes no reports
    until(lambda: one.status.push == "poll", "long polls take over")
    server.set(2, n=2)
    until(lambda: one.get("n") == 2, "the change is heard")
    assert [*tmp_path.glob("cache/*")] == []  # what may be a secret is not kept
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_server_one_minor_version_newer(wrong, stack):
    server = Impostor(n=1)
    server.answer |= {"something": {"new": True}}
    server.headers = {"X_ConfigSync_Something": "new"}
    one = made(stack, wrong(server))
    one.initialize()
    assert one.get("n") == 1


def stream(handler, *frames):
    """Send frames as a stream, and leave it open until the client is gone."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    try:
        for frame in frames:
            handler.wfile.write(frame)
        while handler.connection.recv(1):
            pass
    except OSError:
        pass
    handler.close_connection = True


@pytest.mark.parametrize("kind", ["503", "html", "buffering"])
def test_streams_that_do_not_come_through(wrong, stack, monkeypatch, kind):
    monkeypatch.setattr("configsync._transport.HELLO_SECONDS", 0.2)
    server = Impostor(n=1)

    def answer(handler):
        if "/stream" not in handler.path:
            server(handler)
        elif kind == "503":
            problem(handler, 503, "too_many_listeners")
        elif kind == "html":
            html(handler)
        else:
            stream(handler)

    one = made(stack, wrong(answer))
    one.initialize()
    one.start_auto_refresh(3600)
    until(lambda: one.status.push == "poll", "long polls take over")
    server.set(2, n=2)
    until(lambda: one.get("n") == 2, "the change is heard")


def test_streams_that_fall_silent(wrong, stack, monkeypatch):
    monkeypatch.setattr("configsync._transport.SILENCE_SECONDS", 0.2)
    server, opened = Impostor(n=1), []

    def answer(handler):
        if "/stream" not in handler.path:
            server(handler)
            return
        opened.append(handler.path)
        huge = b"id: e1-2\nevent: change\ndata: " + b"x" * 200_000 + b"\n\n"
        hello = b'retry: 10\nid: e1-1\nevent: hello\ndata: {"epoch": "e1", "revision": 1}\n\n'
        stream(handler, hello, huge)

    one = made(stack, wrong(answer))
    one.initialize()
    server.set(2, n=2)
    one.start_auto_refresh(3600)
    until(lambda: len(opened) >= 3, "dead streams are given up")
    assert one.get("n") == 2
    assert "since=e1-1" in opened[0]
    assert "since=e1-2" in opened[-1]


def test_a_cursor_that_is_gone(wrong, stack):
    server, opened = Impostor(n=1), []

    def answer(handler):
        if "/stream" not in handler.path:
            server(handler)
            return
        opened.append(handler.path)
        if "since=e1-1" in handler.path:
            server.set(5, n=5)
            problem(handler, 410, "cursor_gone")
        else:
            stream(handler, b'id: e1-5\nevent: hello\ndata: {"epoch": "e1"}\n\n')

    one = made(stack, wrong(answer))
    one.initialize()
    one.start_auto_refresh(3600)
    until(lambda: one.status.push == "stream", "it listens again")
    assert one.get("n") == 5
    assert "since=e1-5" in opened[-1]


def test_an_interval_alone_is_enough(wrong, stack, monkeypatch):
    server = Impostor(n=1)

    def answer(handler):
        body = b"{}" if "/stream" in handler.path else b""
        if body or "wait" in json.dumps(handler.path):
            problem(handler, 401, "no_streams_for_you")
        else:
            server(handler)

    one = made(stack, wrong(answer))
    one.initialize()
    one.start_auto_refresh(0.1)
    server.set(2, n=2)
    until(lambda: one.get("n") == 2, "the change is found")
    assert one.status.push == "off"
