"""Random flags for random people: by our routes, by OFREP, and in the client library, all equal."""

from typing import Any

from configsync._rules.contexts import context_of
from configsync._rules.flags import compile_each
from configsync._rules.results import OFREP_REASONS
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client import Person
from tests.flags.calls import FLAGS, PRODUCTION, SEGMENTS
from tests.rules.strategies import CONTEXTS, conditions

FLAGS_EACH, PEOPLE_EACH, ROUNDS = 10, 10, 100
"""10,000 evaluations, each in three ways."""
BULK = "/ofrep/v1/evaluate/flags"
KINDS: dict[str, dict[str, Any]] = {
    "boolean": {"on": True, "off": False},
    "string": {"on": "x", "off": "y", "more": "é\u2028"},
    "number": {"on": 1, "off": 2.5, "more": 1e20},
    "object": {"on": {"a": [1.5, None]}, "off": [], "more": {}},
}
WEIGHTS = st.sampled_from([(100.0, 0.0), (50.0, 50.0), (0.001, 99.999), (33.3, 66.7)])


def writable(value: Any) -> bool:
    """Say whether a context can be sent at all."""
    if isinstance(value, dict):
        return all(writable(key) and writable(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(writable, value))
    if isinstance(value, str):
        return "\x00" not in value and value == value.encode("utf-8", "ignore").decode()
    return not isinstance(value, float) or value - value == 0


@st.composite
def rules(draw: Any, number: int, variants: list[str]) -> dict[str, Any]:
    """Return one rule."""
    serve: dict[str, Any] = {"variant": draw(st.sampled_from(variants))}
    if draw(st.booleans()):
        weights = draw(WEIGHTS)
        pair = draw(st.permutations(variants))[:2]
        split = [
            {"variant": name, "weight": weight} for name, weight in zip(pair, weights, strict=True)
        ]
        serve = {"split": split}
    return {"id": f"r{number}", "when": draw(st.none() | conditions()), "serve": serve}


@st.composite
def flags(draw: Any) -> list[dict[str, Any]]:
    """Return an entry of a change set for each of the flags."""
    entries: list[dict[str, Any]] = []
    for number in range(FLAGS_EACH):
        kind = [*KINDS][number % len(KINDS)]
        variants = [*KINDS[kind]]
        entry: dict[str, Any] = {
            "flag": f"f{number}",
            "environment": PRODUCTION,
            "op": "set",
            "type": kind,
            "variants": KINDS[kind],
            "off_variant": "off",
            "is_enabled": draw(st.sampled_from([True, True, True, False])),
            "bucket_by": draw(st.sampled_from(["targetingKey", "country", "a.b"])),
            "rules": [draw(rules(at, variants)) for at in range(draw(st.integers(0, 3)))],
            "prerequisites": [],
            "accept_rebucketing": True,
        }
        if number and draw(st.integers(0, 3)) == 0:
            needed = {"flag": f"f{draw(st.integers(0, number - 1))}", "variant": "on"}
            entry["prerequisites"] = [needed]
        entries.append(entry)
    return entries


PEOPLE = st.lists(CONTEXTS.filter(writable), min_size=PEOPLE_EACH, max_size=PEOPLE_EACH)


def test_ten_thousand_evaluations(client: TestClient, ada: Person, reader: Person):
    staff = {"name": "s", "included": ["ada", "7"], "excluded": ["bob"], "when": None}
    assert ada.post(SEGMENTS, staff).status_code == 201
    seen: set[tuple[str, str | None]] = set()

    @settings(
        max_examples=ROUNDS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(flags(), PEOPLE)
    def compare(entries: list[dict[str, Any]], people: list[dict[str, Any]]) -> None:
        answer = ada.post("/api/v1/changes", {"changes": entries})
        assert answer.status_code == 200, answer.text
        told = reader.get(f"{FLAGS}/snapshot", environment=PRODUCTION).json()
        local, errors = compile_each(told["flags"], told["segments"])
        assert not errors
        for context in people:
            batch = {"environment": PRODUCTION, "context": context}
            ours = reader.post(f"{FLAGS}/evaluate/batch", batch).json()["evaluations"]
            bulk = reader.request(
                "POST", BULK, json={"context": context}, params={"environment": PRODUCTION}
            ).json()
            theirs = {one["key"]: one for one in bulk["flags"]}
            for name, flag in local.items():
                result = flag.evaluate(context_of(None, context))
                seen.add((result.reason.value, result.error))
                one, other = ours[name], theirs[name]
                assert one["enabled"] == flag.is_on(result)
                assert result[:5] == tuple(
                    one[part] for part in ("variant", "value", "reason", "rule_id", "bucket")
                )
                if result.error is not None:
                    assert other["errorCode"] == result.error
                    continue
                assert (other["variant"], other["value"]) == (result.variant, result.value)
                assert other["reason"] == OFREP_REASONS[result.reason]

    compare()
    assert {reason for reason, _ in seen} >= {
        *("globally_disabled", "prerequisite_failed", "rule_match", "rollout_percentage"),
        *("globally_enabled", "default", "targeting_key_missing"),
    }
