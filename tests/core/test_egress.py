import datetime as dt
import ipaddress
import logging
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.core import egress
from app.core.egress import LONGEST_ANSWER, EgressRefused
from tests.conftest import environment

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.1.1",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "100::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::127.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::a9fe:a9fe",
    "::169.254.169.254",
    "::ffff:169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2600:1f00::169.254.169.254",
    "2002:a9fe:a9fe::",
    "2001:0:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:5601:5601",
]


@contextmanager
def allowing(*networks: str) -> Iterator[None]:
    with environment(EGRESS_ALLOW=",".join(networks)):
        yield


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], *, host="127.0.0.1", port=0, tls=None
) -> Iterator[int]:
    with ThreadingHTTPServer((host, port), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def answering(status=200, body=b"{}", **headers: str):
    """Return a handler that notes the calls in its `calls`."""

    class Handler(BaseHTTPRequestHandler):
        calls: ClassVar[list[SimpleNamespace]] = []

        def do_POST(self):
            sent = self.rfile.read(int(self.headers["content-length"]))
            self.calls.append(SimpleNamespace(headers=self.headers, body=sent, path=self.path))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str):
    with allowing():
        assert egress.allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE + METADATA)
def test_no_other_address_may_be_called(address: str):
    with allowing(), pytest.raises(EgressRefused) as refused:
        egress.resolve(address, 80)
    assert (refused.value.status, refused.value.code) == (422, "egress_refused")


@pytest.mark.parametrize("address", PRIVATE)
def test_the_operator_may_allow_any_but_metadata(address: str):
    bits = ipaddress.ip_address(address).max_prefixlen
    with allowing(f"{address}/{bits}"):
        assert egress.allowed(ipaddress.ip_address(address))
    with allowing("0.0.0.0/0", "::/0"):
        assert egress.allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_never_called(address: str):
    with allowing("0.0.0.0/0", "::/0", "169.254.169.254/32"), pytest.raises(EgressRefused):
        egress.resolve(address, 80)


def test_an_allowed_network_holds_for_what_reaches_it():
    with allowing("10.0.0.0/8"):
        assert egress.allowed(ipaddress.ip_address("::ffff:10.0.0.1"))
        assert egress.allowed(ipaddress.ip_address("64:ff9b::10.0.0.1"))
        assert not egress.allowed(ipaddress.ip_address("2002:a00:1::1"))
        assert not egress.allowed(ipaddress.ip_address("::10.0.0.1"))
        assert not egress.allowed(ipaddress.ip_address("192.168.0.1"))


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "0x7f000001",
        "0",
        "[::1]",
        "[::ffff:7f00:1]",
        "127。0.0.1",
        "localhost",
    ],
)
def test_an_address_in_other_words_is_the_same_address(host: str):
    with allowing(), pytest.raises(EgressRefused):
        egress.post_json(f"http://{host}:9/", b"{}")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::1]", "169.254.169.254"])
def test_digits_are_refused_before_any_call(host: str):
    with allowing(), pytest.raises(EgressRefused):
        egress.check_url(f"https://{host}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "file:///etc/passwd",
        "ws://a.example/",
        "a.example",
        "http://",
        "",
        "http://\0/",
    ],
)
def test_only_web_addresses_are_called(url: str):
    with allowing("0.0.0.0/0"), pytest.raises(EgressRefused):
        egress.post_json(url, b"{}")


def test_the_client_itself_refuses_other_schemes():
    with allowing("0.0.0.0/0"), egress.client() as client, pytest.raises(EgressRefused):
        client.get("ws://127.0.0.1/")


def test_names_pass_until_they_are_called():
    with allowing():
        egress.check_url("https://hooks.example/x")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 70 + ".example"])
def test_a_name_that_nobody_knows_is_no_refusal(host: str):
    with allowing():
        with pytest.raises(OSError):
            egress.resolve(host, 80)
        with pytest.raises(httpx.ConnectError):
            egress.post_json(f"http://{host}/", b"{}")


def test_one_bad_address_among_good_ones_is_enough(resolver):
    resolver.answers = [["93.184.216.34", "10.0.0.1"]]
    with allowing(), pytest.raises(EgressRefused):
        egress.resolve("mixed.example", 80)


def test_a_slow_look_up_is_given_up(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30))
    with pytest.raises(TimeoutError):
        egress.resolve("slow.example", 80, seconds=0.05)
    with pytest.raises(httpx.ConnectTimeout), egress.client(timeout=0.05) as client:
        client.get("http://slow.example/")
    release.set()


@pytest.fixture
def resolver(monkeypatch) -> SimpleNamespace:
    """Answer for names with `answers`, one a question, the last one again and again."""
    state = SimpleNamespace(answers=[], asked=[])
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **options):
        if not str(host).endswith(".example") or options.get("flags") == socket.AI_NUMERICHOST:
            return real(host, port, *args, **options)
        state.asked.append(host)
        now = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in now]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return state


def test_a_resolver_that_changes_its_answer_gains_nothing(resolver):
    good, bad = answering(), answering()
    resolver.answers = [["127.0.0.2"], ["127.0.0.1"]]
    with serving(good, host="127.0.0.2") as port, serving(bad, port=port), allowing("127.0.0.2/32"):
        url = f"http://rebinding.example:{port}/hook"
        assert egress.post_json(url, b"{}").status == 200
        assert resolver.asked == ["rebinding.example"]
        with pytest.raises(EgressRefused):
            egress.post_json(url, b"{}")
    assert [call.headers["host"] for call in good.calls] == [f"rebinding.example:{port}"]
    assert bad.calls == []


def test_a_client_that_is_kept_asks_for_each_request(resolver):
    handler = answering()
    resolver.answers = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]
    with serving(handler) as port, allowing("127.0.0.1/32"), egress.client() as client:
        for _ in range(2):
            assert client.post(f"http://hooks.example:{port}/").status_code == 200
        with pytest.raises(EgressRefused):
            client.post(f"http://hooks.example:{port}/")
    assert len(handler.calls) == 2


def test_loopback_is_refused_until_the_operator_allows_it():
    handler = answering(body=b'{"ok": true}', x_more="1")
    with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/hook?a=1"
        with allowing(), pytest.raises(EgressRefused):
            egress.post_json(url, b"{}")
        assert handler.calls == []
        with allowing("127.0.0.0/8"):
            answer = egress.post_json(url, b'{"a": 1}', {"webhook-id": "w1"})
    assert (answer.status, answer.ok, answer.body) == (200, True, b'{"ok": true}')
    assert answer.headers["x-more"] == "1"
    (call,) = handler.calls
    assert (call.path, call.body) == ("/hook?a=1", b'{"a": 1}')
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == "w1"


def test_a_redirect_is_an_answer_and_nothing_else():
    inside = answering()
    with serving(inside, host="127.0.0.2") as port:
        outside = answering(307, b"", location=f"http://127.0.0.2:{port}/")
        with serving(outside) as first, allowing("127.0.0.0/8"):
            answer = egress.post_json(f"http://127.0.0.1:{first}/", b"{}")
    assert (answer.status, answer.ok) == (307, False)
    assert inside.calls == []


def test_the_environment_names_no_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serving(answering()) as port, allowing("127.0.0.0/8"):
        assert egress.post_json(f"http://127.0.0.1:{port}/", b"{}").ok


def test_a_long_answer_is_cut_off():
    with serving(answering(body=b"x" * 1_000_000)) as port, allowing("127.0.0.0/8"):
        answer = egress.post_json(f"http://127.0.0.1:{port}/", b"{}")
    assert answer.body == b"x" * LONGEST_ANSWER


def test_a_compressed_answer_stays_compressed():
    bomb = zlib.compress(b"x" * 10_000_000)
    handler = answering(body=bomb, content_encoding="deflate")
    with serving(handler) as port, allowing("127.0.0.0/8"):
        answer = egress.post_json(f"http://127.0.0.1:{port}/", b"{}")
    assert answer.body == bomb
    assert handler.calls[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nx-slow: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_dripping_answer_is_given_up(head: bytes):
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        link, _ = listening.accept()
        with link:
            link.sendall(head)
            while not stop.wait(0.05):
                try:
                    link.sendall(b"a")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening, allowing("127.0.0.0/8"):
        thread = threading.Thread(target=drip, args=[listening])
        thread.start()
        try:
            with pytest.raises(httpx.ReadTimeout):
                egress.post_json(
                    f"http://127.0.0.1:{listening.getsockname()[1]}/", b"{}", timeout=0.5
                )
        finally:
            stop.set()
            thread.join()


def test_urls_are_not_logged(caplog):
    caplog.set_level(logging.DEBUG)
    with serving(answering()) as port, allowing("127.0.0.0/8"):
        egress.post_json(f"http://127.0.0.1:{port}/token-in-the-path", b"{}")
    assert "token-in-the-path" not in caplog.text


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> SimpleNamespace:
    """Return the certificate of hooks.example, for a server and for who is to believe it."""
    place = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = place / "cert.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (place / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, place / "key.pem")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, server_name, _context: asked.append(server_name)
    return SimpleNamespace(file=file, context=context, asked=asked)


@pytest.fixture
def fresh_tls():
    egress._tls.cache_clear()
    yield
    egress._tls.cache_clear()


def test_certificates_are_verified_for_the_name(authority, resolver, monkeypatch, fresh_tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    resolver.answers = [["127.0.0.1"]]
    handler = answering()
    with serving(handler, tls=authority.context) as port, allowing("127.0.0.0/8"):
        assert egress.post_json(f"https://hooks.example:{port}/", b"{}").ok
        with pytest.raises(httpx.ConnectError):
            egress.post_json(f"https://other.example:{port}/", b"{}")
        with pytest.raises(httpx.ConnectError):
            egress.post_json(f"https://127.0.0.1:{port}/", b"{}")
    assert authority.asked[:2] == ["hooks.example", "other.example"]
    assert [call.headers["host"] for call in handler.calls] == [f"hooks.example:{port}"]


def test_unknown_authorities_are_not_believed(authority, resolver, fresh_tls):
    resolver.answers = [["127.0.0.1"]]
    with (
        serving(answering(), tls=authority.context) as port,
        allowing("127.0.0.0/8"),
        pytest.raises(httpx.ConnectError),
    ):
        egress.post_json(f"https://hooks.example:{port}/", b"{}")
