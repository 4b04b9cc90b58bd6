"""What comes in on a hot route: what its headers show, and its body."""

from hashlib import sha256

from starlette.types import Message, Receive, Scope

from app.auth.deps import Credential, credential_of
from app.core.http import is_json

MAX_BODY_BYTES = 64 * 1024
MEMO_BYTES = 1024

Memo = tuple[bytes, bytes, bytes]
"""What a request asks for as it came in: path, query, body."""


class Shown:
    """What a request shows in its headers."""

    __slots__ = (
        *("_digest", "authorization", "etag", "is_odd", "key", "origin", "prefer", "request_id"),
    )

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.authorization = self.key = self.etag = self.prefer = b""
        self.request_id = self.origin = b""
        self._digest: bytes | None = None
        self.is_odd = False
        for name, value in headers:
            if name == b"authorization":
                self.is_odd = self.is_odd or self.authorization != b"" or value == b""
                self.authorization = value
            elif name == b"x-api-key":
                self.is_odd = self.is_odd or self.key != b"" or value == b""
                self.key = value
            elif name == b"if-none-match":
                self.is_odd = self.is_odd or self.etag != b"" or value == b""
                self.etag = value
            elif name == b"x-request-id":
                self.request_id = value
            elif name == b"prefer":
                self.prefer = value
            elif name == b"origin":
                self.is_odd = self.is_odd or self.origin != b"" or value == b""
                self.origin = value

    def digest(self) -> bytes:
        """Return what stands for the credential in memory."""
        if self._digest is None:
            self._digest = sha256(self.authorization + b"\n" + self.key).digest()
        return self._digest

    def credential(self) -> Credential | None:
        """Return the credential; raise InvalidToken."""
        return credential_of(self.authorization.decode("latin-1"), self.key.decode("latin-1"))


def is_short(memo: Memo) -> bool:
    """Say whether a request is short enough to be remembered."""
    return sum(map(len, memo)) <= MEMO_BYTES


def sends_json(scope: Scope) -> bool:
    """Say whether a request declares its body as JSON."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            return is_json(value.decode("latin-1"))
    return False


async def receive_body(receive: Receive) -> tuple[bytes | None, list[Message]]:
    """Return a body and what it came in; None: it did not come whole, or is too long here."""
    message = await receive()
    messages, body = [message], message.get("body", b"")
    while message.get("more_body") and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
    is_whole = message["type"] == "http.request" and len(body) <= MAX_BODY_BYTES
    return body if is_whole else None, messages


def again(messages: list[Message], receive: Receive) -> Receive:
    """Return a receive that gives messages once more."""
    left = iter(messages)

    async def receive_again() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return receive_again
