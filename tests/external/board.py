"""The flags that every stock client must understand, and what each must say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

KEY = "external-tests-admin-key-0123456789-abcdefgh"
FLAGS, SEGMENTS = "/api/v1/feature-flags", "/api/v1/segments"
KEYS = "/api/v1/api-keys"
PRODUCTION, STAGING = "production", "staging"
LAYOUT = {"columns": 2, "names": ["a", "ü"], "deep": {"is": None}}


class Board:
    """Somebody who makes and changes flags and keys."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=url, headers={"X-API-Key": KEY}, timeout=20, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def make(self, name: str, environment: str = PRODUCTION, **body: Any) -> dict[str, Any]:
        """Create a flag, switched on unless it is said."""
        return self._send(
            "POST", FLAGS, {"name": name, "environment": environment, "is_enabled": True, **body}
        )

    def change(self, flag: Mapping[str, Any], **body: Any) -> dict[str, Any]:
        """Change a flag."""
        return self._send("PUT", f"{FLAGS}/{flag['id']}", body)

    def segment(self, name: str, **body: Any) -> dict[str, Any]:
        """Create a segment."""
        return self._send("POST", SEGMENTS, {"name": name, **body})

    def delete(self, flag: Mapping[str, Any]) -> None:
        """Delete a flag."""
        answer = self.http.delete(f"{FLAGS}/{flag['id']}")
        assert answer.status_code == 204, answer.text

    def rewrite_segment(self, name: str, **body: Any) -> dict[str, Any]:
        """Replace a segment."""
        return self._send("PUT", f"{SEGMENTS}/{name}", body)

    def key(self, *environments: str, **more: Any) -> str:
        """Return a new API key, as `new_key` makes it."""
        return str(self.new_key(*environments, **more)["key"])

    def new_key(
        self, *environments: str, flags: tuple[str, ...] = ("*",), action: str = "read"
    ) -> dict[str, Any]:
        """Create an API key for these environments and flags."""
        scopes = {"actions": [action], "environments": environments, "flags": flags}
        return self._send("POST", KEYS, {"name": "k", "scopes": scopes})

    def revoke(self, key: Mapping[str, Any]) -> None:
        """Revoke an API key."""
        answer = self.http.delete(f"{KEYS}/{key['id']}")
        assert answer.is_success, answer.text

    def evaluate(self, flag: str, user: str) -> dict[str, Any]:
        """Return what the server's own evaluation says."""
        body = {"flag_name": flag, "environment": PRODUCTION, "user_id": user}
        return self._send("POST", f"{FLAGS}/evaluate", body)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())


@dataclass(frozen=True)
class Outcome:
    """What a client must make of an answer."""

    value: Any
    variant: str | None
    reason: str
    error: str | None = None


@dataclass(frozen=True)
class Case:
    """A question to a client: the type and default that the program gives, and who asks."""

    name: str
    flag: str
    type: str
    default: Any
    outcome: Outcome
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> dict[str, Any]:
        """Return the question as JSON."""
        return {
            "flag": self.flag,
            "type": self.type,
            "default": self.default,
            "context": self.context,
        }


def failed(default: Any, code: str) -> Outcome:
    """Return what is made of an error: the program's own default."""
    return Outcome(default, None, "ERROR", code)


NOBODY: dict[str, Any] = {}
ADA = {"targetingKey": "ada"}
EVE = {"targetingKey": "eve"}
GERMAN = {"targetingKey": "ada", "country": "DE", "plan": {"name": "pro"}, "age": 30}
ON, OFF = Outcome(True, "on", "STATIC"), Outcome(False, "off", "DISABLED")
MATCH, NO_MATCH = Outcome(True, "on", "TARGETING_MATCH"), Outcome(False, "off", "DEFAULT")

CASES = [
    Case("boolean", "on", "boolean", False, ON),
    Case("string", "colour", "string", "none", Outcome("röd", "red", "STATIC")),
    Case("integer", "few", "integer", 7, Outcome(3, "on", "STATIC")),
    Case("float", "ratio", "float", 0.5, Outcome(0.25, "on", "STATIC")),
    Case("whole_float", "whole", "float", 0.5, Outcome(1.0, "on", "STATIC")),
    Case("object", "layout", "object", {}, Outcome(LAYOUT, "on", "STATIC")),
    Case("list", "list", "object", [], Outcome([1, "x"], "on", "STATIC")),
    Case("odd_name", "shop/checkout:v2", "boolean", False, ON),
    Case("disabled", "off", "boolean", True, OFF),
    Case("disabled_string", "silent", "string", "none", Outcome("", "off", "DISABLED")),
    Case("target_user", "beta", "boolean", False, MATCH, EVE),
    Case("no_target_user", "beta", "boolean", True, Outcome(False, "off", "SPLIT"), ADA),
    Case("all_of_a_split", "beta", "boolean", True, Outcome(False, "off", "SPLIT"), NOBODY),
    Case("rule", "germans", "boolean", False, MATCH, GERMAN),
    Case("no_rule", "germans", "boolean", True, NO_MATCH, ADA),
    Case("nested_attribute", "pros", "boolean", False, MATCH, GERMAN),
    Case("segment", "adults", "boolean", False, MATCH, GERMAN),
    Case("not_in_segment", "adults", "boolean", True, NO_MATCH, EVE),
    Case("prerequisite", "needs_off", "boolean", True, Outcome(False, "off", "TARGETING_MATCH")),
    Case("unknown", "nowhere", "boolean", True, failed(True, "FLAG_NOT_FOUND")),
    Case("nobody", "half", "boolean", True, failed(True, "TARGETING_KEY_MISSING"), NOBODY),
    Case("no_unit", "by_team", "string", "x", failed("x", "TARGETING_KEY_MISSING"), ADA),
    Case("wrong_type", "on", "string", "x", failed("x", "TYPE_MISMATCH")),
    Case("wrong_type_of_string", "colour", "boolean", True, failed(True, "TYPE_MISMATCH")),
    Case("wrong_type_of_object", "layout", "integer", 4, failed(4, "TYPE_MISMATCH")),
]


def equals(attribute: str, value: Any) -> dict[str, Any]:
    """Return a condition."""
    return {"attribute": attribute, "op": "equals", "value": value}


def serve_on(when: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the only rule of a flag."""
    return [{"id": "only", "when": when, "serve": {"variant": "on"}}]


def fill(board: Board) -> None:
    """Create the flags of `CASES`."""
    board.make("on")
    board.make("colour", type="string", variants={"red": "röd", "blue": "blå"})
    board.make("few", type="number", variants={"on": 3, "off": 0})
    board.make("ratio", type="number", variants={"on": 0.25, "off": 0})
    board.make("whole", type="number", variants={"on": 1.0, "off": 0.0})
    board.make("layout", type="object", variants={"on": LAYOUT, "off": {}})
    board.make("list", type="object", variants={"on": [1, "x"], "off": []})
    board.make("shop/checkout:v2")
    board.make("off", is_enabled=False)
    board.make("silent", is_enabled=False, type="string", variants={"on": "loud", "off": ""})
    board.make("beta", target_users=["eve"], rollout_percentage=0)
    board.make("germans", rules=serve_on(equals("country", "DE")))
    board.make("pros", rules=serve_on(equals("plan.name", "pro")))
    board.segment("adults", when={"attribute": "age", "op": "gte", "value": 18})
    board.make("adults", rules=serve_on({"segment": "adults"}))
    board.make("needs_off", prerequisites=[{"flag": "off", "variant": "on"}])
    board.make("half", rollout_percentage=50)
    split = [{"variant": "a", "weight": 50}, {"variant": "b", "weight": 50}]
    board.make(
        "by_team",
        type="string",
        variants={"a": "A", "b": "B"},
        bucket_by="team",
        rules=[{"id": "only", "serve": {"split": split}}],
    )
