"""Every line of the matrix: who may not see secrets sees none, and no error repeats its input."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.canary.needles import Canary, Ear
from tests.matrix.routes import GLOBAL_ADMIN, LINES, LOGIN, MARK, Line
from tests.matrix.stage import (
    CALLERS,
    PRODUCTION,
    SLUG,
    Caller,
    Names,
    Place,
    Stage,
    fill,
    places,
    plain,
    send,
    taking_workspace,
    verdict,
)

SWEPT = frozenset(
    {
        *("viewer", "editor", "owner", "key-to-read", "key-to-all-but-secrets"),
        *("key-of-another-service", "key-of-service-in-staging"),
    }
)
"""Who makes every call everywhere, in every variant."""
GLANCING = frozenset(
    {"stranger", "nobody", "key-to-write", "key-to-read-secrets", "key-of-another-workspace"}
)
"""Who makes every call once: they may read nothing at all."""
SHOWING = frozenset(
    {
        ("GET", "/config/{service_name}"),
        ("POST", "/api/v1/configs/fetch"),
        ("GET", "/api/v1/config/{key}"),
    }
)
"""What gives plain values, unasked, to those who may see them; all else does on `reveal`."""

VARIANTS = (
    {"reveal": "true"},
    {"stored": "true"},
    {"stored": "true", "reveal": "true"},
    {"explain": "true"},
    {"effective": "true"},
    {"at": "{head}"},
    {"is_active": "false"},
)
"""Query parameters beside those of the line, for the routes that declare them."""

UNSAID = frozenset({"value_type", "is_encrypted", "expected_version", "settings", "no_member"})
"""Members of bodies that lines leave out, and one that nobody knows."""


class SecretStage(Stage):
    """The stage of the matrix with secrets for values."""

    def __init__(self, client: Any, canary: Canary) -> None:
        self.canary = canary
        super().__init__(client)

    def content(self, number: int) -> dict[str, Any]:
        """Return a document of secrets, one of them in an array."""
        sealed = self.canary.sealed(super().content(number), MARK)
        return {**sealed, "list": [self.canary.written("in a list"), number]}


class Sweep:
    """Calls of every line on one stage, heard by an ear."""

    def __init__(self, stage: SecretStage, ear: Ear, document: dict[str, Any]) -> None:
        self.stage = stage
        self.ear = ear
        self.takes_workspace = taking_workspace(document)
        self.declared = dict(_declared(document))
        self.head = self._head()

    def _head(self) -> str:
        answer = self.stage.owner.get("/config/get", workspace=SLUG, service="billing")
        return answer.headers["x-configsync-revision"].rpartition("-")[2]

    def sealed(self, line: Line) -> Line:
        """Return a line that writes secrets where the matrix writes values."""
        return replace(line, body=self.stage.canary.sealed(line.body, MARK))

    def variants(self, line: Line) -> Iterator[Line]:
        """Yield a line with each set of parameters that its route declares."""
        yield line
        declared = self.declared.get((line.method, line.path), frozenset())
        for more in VARIANTS:
            if more.keys() <= declared and not more.items() <= line.query.items():
                yield replace(line, query={**line.query, **more})

    def names(self, line: Line, caller: Caller, place: Place) -> Names:
        """Return what a call is about; what it uses up is of its own."""
        shared = self.stage.shared[line.uses, place]
        named = self.slug(line) is not None or "{slug}" in line.path
        served = verdict(line, caller, place, named=named) is None
        names = self.stage.make(line.uses, place) if line.spends and served else shared
        return names | {"fresh": self.stage.fresh(), "head": self.head}

    def slug(self, line: Line) -> str | None:
        """Return the workspace for the query, if it belongs there."""
        return SLUG if (line.method, line.path) in self.takes_workspace else None

    def token(self, line: Line, caller: Caller) -> str:
        """Return the caller's token, one of its own to log out with."""
        used_up = line.uses == "login" and caller.name in self.stage.people
        return self.stage.new_token(caller) if used_up else self.stage.tokens[caller.name]

    def read_as_everybody(self) -> None:
        """Make every call as everybody."""
        for caller in (one for one in CALLERS if one.name in SWEPT | GLANCING):
            for line in map(self.sealed, LINES):
                if caller.name in GLANCING:
                    self._call(line, caller, places(line)[0])
                    continue
                for place in places(line):
                    for variant in self.variants(line):
                        self._call(variant, caller, place)

    def _call(self, line: Line, caller: Caller, place: Place) -> None:
        names, token = self.names(line, caller, place), self.token(line, caller)
        shows = (line.method, line.path) in SHOWING or "reveal" in line.query
        self.ear.may = shows and may_see_secrets(caller, place)
        self.ear.about = f"as {caller} at {place}"
        send(self.stage.client, line, names, slug=self.slug(line), token=token)
        self.ear.may = False

    def break_everything(self) -> None:
        """Call every line as those who may, with wrong input that no error may repeat."""
        for line in (one for one in LINES if one.method != "MOUNT"):
            who = {GLOBAL_ADMIN: "root", LOGIN: "former"}.get(str(line.needs), "owner")
            caller = next(one for one in CALLERS if one.name == who)
            self.ear.may = (line.method, line.path) in SHOWING
            for about, broken, content, headers in self._broken(line):
                names = self.names(line, caller, places(line)[0])
                ends = line.needs == LOGIN  # it may change the password or end the login
                token = self.stage.new_token(caller) if ends else self.stage.tokens[who]
                self.ear.about = about
                bearer = {"Authorization": f"Bearer {token}"}
                self._send_raw(broken, names, content, headers | bearer)
            self.ear.may = False

    def _send_raw(
        self, line: Line, names: Names, content: bytes | None, headers: dict[str, str]
    ) -> None:
        """Send a call whose body may be anything."""
        slug = self.slug(line)
        query = ({"workspace": slug} if slug else {}) | fill(line.query, names)
        data = None if line.form is None or content is not None else fill(line.form, names)
        if content is None and line.body is not None:
            content = json.dumps(fill(line.body, names)).encode()
        if content is not None:
            headers = {"Content-Type": line.content_type, **headers}
        self.stage.client.request(
            line.method,
            fill(line.path, names),
            params=query,
            content=content,
            data=data,
            headers=headers,
        )

    def _broken(self, line: Line) -> Iterator[tuple[str, Line, bytes | None, dict[str, str]]]:
        """Yield what is wrong, the line, and its raw body and headers if those are wrong."""
        probe = self.ear.probe.secret("probe")
        for name in sorted(self.declared.get((line.method, line.path), ())):
            query = {**line.query, name: probe}
            yield f"query {name}", replace(line, query=query), None, {}
        yield "unknown query", replace(line, query={**line.query, "zzz": probe}), None, {}
        for name in ("If-Match", "If-None-Match", "Idempotency-Key"):
            yield name, line, None, {name: json.dumps(probe)}
        for name in line.form or {}:
            yield f"form {name}", replace(line, form={**(line.form or {}), name: probe}), None, {}
        if isinstance(line.body, dict):
            yield from self._broken_members(line, probe)
        if line.method not in {"GET", "HEAD", "DELETE"}:
            yield from self._broken_bodies(line, probe)

    def _broken_members(
        self, line: Line, probe: str
    ) -> Iterator[tuple[str, Line, bytes | None, dict[str, str]]]:
        for name, value in line.body.items():
            for kind, wrong in (
                ("text", probe),
                ("text with NUL", f"{probe}\0"),
                ("array", [probe]),
                ("secret", {"$secret": probe, "more": probe}),
            ):
                if wrong != value:
                    body = {**line.body, name: wrong}
                    yield f"body {name} {kind}", replace(line, body=body), None, {}
        for name in UNSAID - line.body.keys():
            body = {**line.body, name: probe}
            yield f"body {name}", replace(line, body=body), None, {}

    def _broken_bodies(
        self, line: Line, probe: str
    ) -> Iterator[tuple[str, Line, bytes | None, dict[str, str]]]:
        text = json.dumps({"value": probe, "config": {"a": {"$secret": probe}}}).encode()
        yield "truncated", line, text[:-2], {}
        yield "bare text", line, probe.encode(), {}
        yield "a string", line, json.dumps(probe).encode(), {}
        yield "an array", line, json.dumps([probe]).encode(), {}
        yield "twice", line, text[:-1] + b"," + text[1:], {}
        yield "not UTF-8", line, b"\xff" + text, {}
        yield "not a number", line, b'{"a":NaN,' + text[1:], {}
        yield "too large", line, text + b" " * 2**20, {}
        yield "deep", line, b'{"a":' * 70 + text + b"}" * 70, {}
        for kind in ("text/plain", "application/json-patch+json", probe.encode().hex()):
            yield f"as {kind[:40]}", line, text, {"Content-Type": kind}


def may_see_secrets(caller: Caller, place: Place) -> bool:
    """Say whether somebody may see the secrets of the service there."""
    if caller.refusal or caller.is_foreign or not caller.rights >= {"read", "read_secrets"}:
        return False
    return place in caller.places and not (caller.name == "editor" and place == PRODUCTION)


def _declared(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], frozenset[str]]]:
    """Yield the query parameters of every operation in an OpenAPI document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found = (one for one in operation.get("parameters", ()) if one["in"] == "query")
            yield (method.upper(), plain(path)), frozenset(one["name"] for one in found)
