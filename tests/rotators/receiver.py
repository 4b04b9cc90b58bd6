"""A receiver of signed calls on loopback, with knobs for every way to fail."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

SECRET = "whsec_dGVzdHMtb25seS1zaWduaW5nLXNlY3JldC0wMTIzNDU2Nzg5"


@dataclass
class Receiver:
    """What it got, and what it answers: `statuses` and `bodies` by step, `delay` in seconds."""

    url: str = ""
    secret: str = SECRET
    calls: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    forged: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0

    def settings(self) -> dict[str, str]:
        """Return the settings of a rotator of the kind `webhook` that calls here."""
        return {"url": self.url, "signing_secret": self.secret}

    def steps(self) -> list[str]:
        """Return the steps that were called, in order."""
        return [call["step"] for call in self.calls]

    def answer(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Take a call in."""
        time.sleep(self.delay)
        self.raw.append(body)
        try:
            call = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.forged += 1
            return 401, b""
        self.ids.append(headers["webhook-id"])
        self.calls.append(call)
        step = call.get("step", "")
        answered = self.bodies.get(step, b"")
        return self.statuses.get(step, 200 if answered else 204), answered

    def will_answer(self, step: str, value: Any) -> None:
        """Answer a step with JSON."""
        self.bodies[step] = json.dumps(value).encode()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve on a free port of loopback; EGRESS_ALLOW must name 127.0.0.0/8."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answered = state.answer(body, headers)
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            if answered or status != 204:
                self.send_header("content-length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/rotate"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
