"""A server that is not ConfigSync, but answers as one would that is older, newer, or wrong."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any


def reply(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str, **headers: str
) -> None:
    """Send an answer."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def problem(handler: BaseHTTPRequestHandler, status: int, code: str, **headers: str) -> None:
    """Send a problem document."""
    body = json.dumps({"code": code, "detail": f"a {code}", "status": status}).encode()
    reply(handler, status, body, "application/problem+json", **headers)


class Impostor:
    """Answers fetches with what it is told, and anything else with 404, flags if it has none."""

    def __init__(self, **config: Any) -> None:
        self.epoch, self.head = "e1", 1
        self.answer: dict[str, Any] = {"secrets": [], "revision": 1, "cache_ttl": 60}
        self.headers: dict[str, str] = {}
        self.refuses: tuple[int, str] | None = None
        self.asked: list[str] = []
        self.flags: dict[str, Any] | None = None
        self.flags_refused: tuple[int, str] | None = None
        self.usage: list[dict[str, Any]] = []
        self.usage_refused: tuple[int, str] | None = None
        self.set(1, **config)

    def set(self, head: int, *, epoch: str | None = None, **config: Any) -> None:
        """Take another config, at another revision."""
        self.epoch, self.head = epoch or self.epoch, head
        version = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
        self.answer |= {"configs": config, "version": version, "revision": head}

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        if handler.path.startswith("/api/v1/feature-flags/usage"):
            self.count(handler)
        elif handler.path.startswith("/api/v1/feature-flags/snapshot"):
            self.tell_flags(handler)
        elif not handler.path.startswith("/api/v1/configs/fetch"):
            problem(handler, 404, "not_found")
        elif self.refuses is not None:
            problem(handler, *self.refuses, **self.headers)
        else:
            self.fetch(handler)

    def fetch(self, handler: BaseHTTPRequestHandler) -> None:
        least = handler.path.partition("min_revision=")[2]
        if least and least.rpartition("-")[0] != self.epoch:
            problem(handler, 410, "unknown_epoch")
            return
        headers = {"X_ConfigSync_Revision": f"{self.epoch}-{self.head}", **self.headers}
        body = json.dumps(self.answer).encode()
        reply(handler, 200, body, "application/json", **headers)

    def tell_flags(self, handler: BaseHTTPRequestHandler) -> None:
        if self.flags_refused is not None or self.flags is None:
            problem(handler, *(self.flags_refused or (404, "not_found")))
            return
        members = {"flags": self.flags, "prerequisites": {}, "segments": {}}
        body = json.dumps({"revision": self.head, **members}).encode()
        headers = {"X_ConfigSync_Revision": f"{self.epoch}-{self.head}"}
        tag = f'"f{hashlib.sha256(body).hexdigest()[:16]}"'
        if handler.headers.get("If-None-Match") == tag:
            reply(handler, 304, b"", "application/json", ETag=tag, **headers)
        else:
            reply(handler, 200, body, "application/json", ETag=tag, **headers)

    def count(self, handler: Any) -> None:
        if self.usage_refused is not None:
            problem(handler, *self.usage_refused)
        else:
            self.usage.append(json.loads(handler.body))
            reply(handler, 204, b"", "application/json")
