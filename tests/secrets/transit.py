"""A stand-in for Vault on loopback: the Transit engine's HTTP, with real AES-GCM."""

import base64
import binascii
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
TAG_BYTES = 16


class Refusal(Exception):
    """An error answer: its status, and the texts under `errors`."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status)
        self.status, self.errors = status, list(errors)


class Transit:
    """One key in one Transit mount of one Vault, for as long as the `with` block lasts.

    The token has the rights that VaultTransit asks for: it makes no key by encrypting.
    """

    def __init__(
        self, *, token: str = "hvs.stand-in", mount: str = "transit", key: str = "configsync"
    ) -> None:
        self.token, self.mount, self.key = token, mount, key
        self.keys = [os.urandom(32)]
        self.min_decryption_version = 1
        self.sealed = False  # answers 503
        self.silent = False  # accepts and never answers
        self.knows_associated_data = True  # False: Vault before 1.13
        self.answer: tuple[int, dict[str, str], bytes] | None = None  # instead of Vault's own
        self.asked: list[str] = []  # "POST /v1/transit/encrypt/configsync"
        self._server: _Server | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def addr(self) -> str:
        """Return the URL for VAULT_ADDR, the same after `stop` and `start`."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and break those that are open; the keys stay."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.break_connections()
            server.server_close()

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def rotate(self) -> int:
        """Add a version to the key and return its number."""
        self.keys.append(os.urandom(32))
        return len(self.keys)

    def respond(self, method: str, path: str, token: str | None, body: dict[str, Any]) -> Any:
        """Return the `data` of a good answer, or raise Refusal, in Vault's order of checks."""
        if self.sealed:
            raise Refusal(503, "Vault is sealed")
        if token != self.token:
            raise Refusal(403, "permission denied")
        operation, _, name = path.removeprefix(f"/v1/{self.mount}/").partition("/")
        known: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("POST", "encrypt"): self._encrypt,
            ("POST", "decrypt"): self._decrypt,
            ("GET", "keys"): self._describe,
            ("POST", "keys"): self._rotated,
        }
        call = known.get((method, operation))
        if call is None or not path.startswith(f"/v1/{self.mount}/"):
            raise Refusal(404, f'no handler for route "{path.removeprefix("/v1/")}".')
        if name != (f"{self.key}/rotate" if call == self._rotated else self.key):
            raise self._no_key(operation)
        return call(body)

    def _no_key(self, operation: str) -> Refusal:
        return {
            "encrypt": Refusal(403, "permission denied"),
            "decrypt": Refusal(400, "encryption key not found"),
        }.get(operation, Refusal(404))

    def _describe(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": self.key,
            "type": "aes256-gcm96",
            "keys": {str(version + 1): int(time.time()) for version in range(len(self.keys))},
            "latest_version": len(self.keys),
            "min_available_version": 0,
            "min_decryption_version": self.min_decryption_version,
            "min_encryption_version": 0,
            "supports_decryption": True,
            "supports_encryption": True,
        }

    def _rotated(self, body: dict[str, Any]) -> dict[str, Any]:
        self.rotate()
        return self._describe(body)

    def _encrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        if "plaintext" not in body:
            raise Refusal(400, "missing plaintext to encrypt")
        plain, context = decoded(body["plaintext"]), self._context(body)
        version, nonce = len(self.keys), os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(self.keys[version - 1]).encrypt(nonce, plain, context)
        return {
            "ciphertext": f"vault:v{version}:{base64.b64encode(sealed).decode()}",
            "key_version": version,
        }

    def _decrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        if not body.get("ciphertext"):
            raise Refusal(400, "missing ciphertext to decrypt")
        key, sealed = self._parsed(body["ciphertext"])
        nonce = sealed[:NONCE_BYTES]
        try:
            plain = AESGCM(key).decrypt(nonce, sealed[NONCE_BYTES:], self._context(body))
        except InvalidTag:
            raise Refusal(400, "cipher: message authentication failed") from None
        return {"plaintext": base64.b64encode(plain).decode()}

    def _parsed(self, ciphertext: str) -> tuple[bytes, bytes]:
        """Return the key's version that a ciphertext names, and its bytes."""
        prefix, colon, rest = ciphertext.removeprefix("vault:v").partition(":")
        if not ciphertext.startswith("vault:v"):
            raise Refusal(400, "invalid ciphertext: no prefix")
        if not colon:
            raise Refusal(400, "invalid ciphertext: wrong number of fields")
        if not prefix.isdecimal():
            raise Refusal(400, "invalid ciphertext: version number could not be decoded")
        version = int(prefix) or 1
        if version > len(self.keys):
            raise Refusal(400, "invalid ciphertext: version is too new")
        if version < self.min_decryption_version:
            raise Refusal(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            sealed = decoded(rest)
        except Refusal:
            raise Refusal(400, "invalid ciphertext: could not decode base64") from None
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise Refusal(400, "invalid ciphertext length")
        return self.keys[version - 1], sealed

    def _context(self, body: dict[str, Any]) -> bytes:
        return decoded(body.get("associated_data", "")) if self.knows_associated_data else b""


def decoded(text: str) -> bytes:
    """Return what base64 text stands for, or refuse it as Go's decoder does."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refusal(400, "illegal base64 data at input byte 0") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for the connections' threads

    def __init__(self, address: tuple[str, int], vault: Transit) -> None:
        self.vault = vault
        self.open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that gave up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment, else the client waits 40 ms for the body
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        vault = self.server.vault
        vault.asked.append(f"{self.command} {self.path}")
        if vault.silent:
            return self._keep_silent()
        if vault.answer is not None:
            return self._send(*vault.answer)
        if self.path == "/v1/sys/health":
            return self._json(503 if vault.sealed else 200, {"sealed": vault.sealed})
        return self._respond(body)

    do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Write nothing."""

    def _keep_silent(self) -> None:
        while self.server.vault.silent and self.server.vault.running:
            time.sleep(0.02)
        self.close_connection = True

    def _respond(self, body: bytes) -> None:
        method = "POST" if self.command == "PUT" else self.command
        token, vault = self.headers.get("X-Vault-Token"), self.server.vault
        try:
            given = json.loads(body or b"{}")
            data = vault.respond(method, self.path, token, given)
        except Refusal as refusal:
            return self._json(refusal.status, {"errors": refusal.errors})
        except ValueError:
            return self._json(400, {"errors": ["failed to parse JSON input"]})
        ignored = "associated_data" in given and not vault.knows_associated_data
        return self._json(200, envelope(data, ["associated_data"] if ignored else []))

    def _json(self, status: int, value: object) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps(value).encode() + b"\n")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def envelope(data: object, ignored: list[str]) -> dict[str, object]:
    """Put an answer into the object that Vault puts around every one."""
    warning = f"Endpoint ignored these unrecognized parameters: [{' '.join(ignored)}]"
    return {
        "request_id": str(uuid.uuid4()),
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": data,
        "wrap_info": None,
        "warnings": [warning] if ignored else None,
        "auth": None,
        "mount_type": "transit",
    }
