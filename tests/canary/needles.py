"""What is searched for: one random text in every secret, in every form that it may take."""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

DIGITS = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-f])")
AROUND = 60


class Canary:
    """Secrets of one run. All share a core, so that one search finds any of them.

    `secret` is a text around the core; `number` is a number that is a secret of its own.
    """

    def __init__(self) -> None:
        self.core = "Kn" + secrets.token_hex(12)
        self.number = 10**14 + secrets.randbelow(9 * 10**14)
        self._made: dict[str, str] = {}

    def secret(self, label: str) -> str:
        """Return the secret of a name: always the same one."""
        return self._made.setdefault(label, f'{self.core}-{label}-"ü\\/&')

    def written(self, label: str) -> dict[str, str]:
        """Return a secret as people write it."""
        return {"$secret": self.secret(label)}

    def sealed(self, value: Any, mark: str) -> Any:
        """Return a JSON value with every string that begins with a mark made a secret."""
        if isinstance(value, str):
            return self.written(value) if value.startswith(mark) else value
        if isinstance(value, dict):
            return {name: self.sealed(one, mark) for name, one in value.items()}
        return [self.sealed(one, mark) for one in value] if isinstance(value, list) else value

    def forms(self) -> dict[str, bytes]:
        """Return what to search for by the name of the form."""
        core = self.core.encode()
        found = {
            "plain": core,
            "upper case": core.upper(),
            "lower case": core.lower(),
            "hex": core.hex().encode(),
            "upper hex": core.hex().upper().encode(),
            "UTF-16": self.core.encode("utf-16-le"),
            "backwards": core[::-1],
            "number": str(self.number).encode(),
        }
        for before in range(3):
            coded = base64.b64encode(bytes(before) + core)
            first = -(-before * 8 // 6)  # digits that hold bits of what stands before
            found[f"base64 after {before}"] = coded[first : (before + len(core)) * 8 // 6]
        return found

    def find(self, data: bytes) -> list[str]:
        """Return each form that is there, with what stands around it."""
        found = []
        for form, needle in self.forms().items():
            place = data.find(needle)
            if place >= 0:
                around = data[max(0, place - AROUND) : place + len(needle) + AROUND]
                found.append(f"{form}: {around!r}")
        return found

    def find_digests(self, data: bytes) -> list[str]:
        """Return plain digests of secrets, by which a guess could be checked."""
        there = set(DIGITS.findall(data))
        return [f"{name} of {label}" for name, label, text in self._digests() if text in there]

    def _digests(self) -> Iterator[tuple[str, str, bytes]]:
        for label, value in self._made.items():
            texts = {
                "text": value,
                "JSON": json.dumps(value),
                "JSON ": json.dumps(value, ensure_ascii=False),
            }
            for kind, text in texts.items():
                for name in ("md5", "sha1", "sha256"):
                    digest = hashlib.new(name, text.encode()).hexdigest()
                    yield f"{name} of {kind}", label, digest.encode()


class Ear:
    """Hears every answer of a client, and knows which ones may hold a secret.

    `probe` is another canary: input that is wrong, which no error may repeat.
    """

    def __init__(self, canary: Canary, probe: Canary) -> None:
        self.canary = canary
        self.probe = probe
        self.may = False
        self.about = ""
        self.heard = 0
        self.errors = 0
        self.shown: set[str] = set()
        """What showed a secret to somebody who may see it."""
        self.leaks: list[str] = []
        self.echoes: dict[str, str] = {}
        self.statuses: dict[str, set[int]] = {}

    def hear(self, answer: httpx.Response) -> None:
        """Search an answer (httpx response hook)."""
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer._content = next(answer.iter_bytes())  # the first frame; it does not end
            answer.close()
        answer.read()
        self.heard += 1
        self.errors += answer.is_error
        headers = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
        data = headers + b"\n\n" + answer.content
        where = f"{answer.request.method} {answer.request.url.path} {self.about}".strip()
        self.statuses.setdefault(where, set()).add(answer.status_code)
        if found := self.canary.find(data):
            if self.may and answer.is_success:
                self.shown.add(where)
            else:
                self.leaks.append(f"{where}: {answer.status_code}: {found}")
        if not answer.is_success and (found := self.probe.find(data)):
            self.echoes[where] = f"{answer.status_code}: {found}"

    @contextmanager
    def entitled(self) -> Iterator[None]:
        """Let answers show secrets for a while."""
        before, self.may = self.may, True
        try:
            yield
        finally:
            self.may = before
