"""`python -m tests.rules.make_vectors`: write vectors.json, what every evaluator must answer.

The expected outcomes are those of docs/flags-evaluation.md and of murmur.py, not of app/rules.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

from tests.rules import table
from tests.rules.made import ADA, GERMAN, flag, rule, shares
from tests.rules.murmur import bucket

FILE = Path(__file__).with_name("vectors.json")
SALT = "5a17"
OF_KIND = {
    "text": "zzz",
    "number": 123456,
    "boolean": True,
    "list": ["zzz"],
    "object": {"a": "DE"},
}
UNITS = ["ada", "", "Zoë", "😀", "a b", "x" * 300, "0", "\x1f", "e\u0301", "\u00e9"]
INTEGERS = [0, -1, 42, 2**53, 2**53 + 1, 2**63, 10**30]
NO_UNITS = [None, True, False, 1.5, 42.0, [], ["ada"], {}, {"id": "ada"}]
TEXTS = {"type": "string", "variants": {"a": "A", "b": "B", "c": "C"}, "off_variant": "c"}


def expected(variant: str, value: Any, reason: str, rule_id: str | None = None, **more: Any):
    result = {"variant": variant, "value": value, "reason": reason, "rule_id": rule_id}
    return {**result, "bucket": None, "revision": None, "error": None, **more}


def case(name: str, context: dict[str, Any], result: dict[str, Any], **more: Any):
    return {"flag": name, "context": context, "expected": result, **more}


def matched(is_matched: bool):
    if is_matched:
        return expected("on", True, "rule_match", "r")
    return expected("off", False, "default")


def operators():
    """Every example, its negation, and both for a missing attribute."""
    flags, cases = {}, []
    for number, example in enumerate(table.examples()):
        for negate in (False, True):
            name = f"{number}{'-not' if negate else ''}-{example.operator}"
            flags[name] = flag(rule("r", "on", example.condition("a.b", negate=negate)))
            outcome = matched(example.outcome is not negate)
            cases.append(case(name, {"a": {"b": example.attribute}}, outcome))
            cases.append(case(name, {"a.b": example.attribute}, outcome))
            cases.append(case(name, {"a": {"b": None}}, matched(negate)))
    return {"name": "operators", "flags": flags, "segments": {}, "cases": cases}


def types():
    """Each operator with attributes of types that it does not compare."""
    first = {example.operator: example for example in reversed(table.examples())}
    flags, cases = {}, []
    for operator, row in table.outcomes().items():
        flags[operator] = flag(rule("r", "on", first[operator].condition()))
        cases += [
            case(operator, {"a": value}, matched(row[kind] == "yes"))
            for kind, value in OF_KIND.items()
            if row[kind] in {"no", "yes"}
        ]
        cases += [case(operator, context, matched(False)) for context in ({}, {"a": None})]
    return {"name": "types", "flags": flags, "segments": {}, "cases": cases}


def buckets():
    """Units of every kind, and those beside the edges of shares."""
    edges = (333, 30_000, 99_999)
    split = shares(a=0.333, b=29.667, c=70)
    flags = {
        "split": flag(rule("s", split), **TEXTS, revision=12),
        "by": flag(rule("s", split), **TEXTS, bucket_by="account.id"),
        "whole": flag(rule("rollout", shares(on=100, off=0))),
    }
    cases = []
    for unit in [*UNITS, *INTEGERS, *beside(edges)]:
        result = in_split(str(unit))
        cases.append(case("split", {}, {**result, "revision": 12}, user_id=unit))
        cases.append(case("split", {"targetingKey": unit}, {**result, "revision": 12}))
        cases.append(case("by", {"account": {"id": unit}}, result, user_id="eve"))
    for unit in NO_UNITS:
        lost = expected("c", "C", "targeting_key_missing", "s", error="TARGETING_KEY_MISSING")
        cases.append(case("by", {"account": {"id": unit}}, lost, user_id="eve"))
        whole = expected("on", True, "rollout_percentage", "rollout")
        cases.append(case("whole", {"targetingKey": unit}, whole))
    return {"name": "buckets", "flags": flags, "segments": {}, "cases": cases}


def in_split(unit: str):
    number = bucket(SALT, unit)
    variant = "a" if number < 333 else "b" if number < 30_000 else "c"
    return expected(variant, variant.upper(), "rollout_percentage", "s", bucket=number)


def beside(edges: tuple[int, ...]):
    """Return units whose buckets are the last before an edge and the first after it."""
    wanted = {place for edge in edges for place in (edge - 1, edge)}
    found: dict[int, str] = {}
    for number in count():
        place = bucket(SALT, f"u{number}")
        if place in wanted and place not in found:
            found[place] = f"u{number}"
            if len(found) == len(wanted):
                return [found[place] for place in sorted(found)]
    raise AssertionError


def ranges():
    """A split whose shares were changed: a took from c, b gave to a."""
    laid = [
        {"variant": "a", "weight": 40, "ranges": [[0, 30_000], [100_000, 90_000]]},
        {"variant": "b", "weight": 25, "ranges": [[30_000, 55_000]]},
        {"variant": "c", "weight": 35, "ranges": [[90_000, 55_000]]},
    ]
    cases = []
    for number in range(40):
        place = bucket(SALT, f"user-{number}")
        variant = "a" if place < 30_000 or place >= 90_000 else "b" if place < 55_000 else "c"
        result = expected(variant, variant.upper(), "rollout_percentage", "s", bucket=place)
        cases.append(case("moved", {}, result, user_id=f"user-{number}"))
    flags = {"moved": flag(rule("s", laid), **TEXTS)}
    return {"name": "ranges", "flags": flags, "segments": {}, "cases": cases}


def reasons():
    """Every reason, prerequisites and segments."""
    half = rule("rollout", shares(on=50, off=50))
    flags = {
        "plain": flag(revision=3),
        "off": flag(half, is_enabled=False),
        "targeted": flag(rule("target_users", "on", ADA), half),
        "listed": flag(rule("target_users", "on", ADA)),
        "none": flag(rule("target_users", "on", ADA), rule("rollout", shares(on=0, off=100))),
        "needs": flag(prerequisites=[{"flag": "german", "variant": "on"}]),
        "needs-off": flag(prerequisites=[{"flag": "off", "variants": ["off"]}]),
        "needs-half": flag(prerequisites=[{"flag": "half", "variants": ["on", "off"]}]),
        "half": flag(half),
        "german": flag(rule("r", "on", GERMAN)),
        "staff": flag(rule("r", "on", {"segment": "staff"})),
        "not-staff": flag(rule("r", "off", {"segment": "staff"}), default_variant="on"),
        "object": flag(type="object", variants={"x": {"k": [1]}, "off": []}, revision=9),
        "number": flag(type="number", variants={"low": 1, "high": 2.5}, is_enabled=False),
    }
    speaks = {"attribute": "lang", "op": "equals", "value": "de"}
    segments = {
        "staff": {"included": ["ada", 7], "excluded": ["bob"], "when": {"segment": "germans"}},
        "germans": {"when": {"any": [GERMAN, speaks]}},
    }
    share = ("rollout_percentage", "rollout")
    lost = expected("off", False, "targeting_key_missing", "rollout", error="TARGETING_KEY_MISSING")
    failed = expected("off", False, "prerequisite_failed")
    on = expected("on", True, "globally_enabled")
    in_, out = expected("on", True, "user_targeted", "target_users"), matched(False)
    place = bucket(SALT, "bob")
    is_bob_in = place < 50_000
    bob = expected("on" if is_bob_in else "off", is_bob_in, *share, bucket=place)
    cases = [
        case("plain", {}, {**on, "revision": 3}),
        case("off", {}, expected("off", False, "globally_disabled"), user_id="ada"),
        case("targeted", {}, in_, user_id="ada"),
        case("targeted", {"user_id": "ada"}, in_),
        case("targeted", {"targetingKey": "ada", "user_id": "bob"}, in_),
        case("targeted", {"targetingKey": "ada"}, bob, user_id="bob"),
        case("targeted", {}, lost),
        case("listed", {}, expected("on", True, "default"), user_id="bob"),
        case("none", {}, in_, user_id="ada"),
        case("none", {}, expected("off", False, *share)),
        case("none", {}, expected("off", False, *share, bucket=place), user_id="bob"),
        case("needs", {"country": "DE"}, on),
        case("needs", {"country": "FR"}, failed),
        case("needs", {}, failed),
        case("needs-off", {}, on),
        case("needs-half", {}, failed),
        case("needs-half", {}, on, user_id="bob"),
        case("staff", {}, matched(True), user_id="ada"),
        case("staff", {}, matched(True), user_id=7),
        case("staff", {"country": "DE"}, out, user_id="bob"),
        case("staff", {"lang": "de"}, matched(True), user_id="eve"),
        case("staff", {"country": "DE"}, matched(True)),
        case("staff", {}, out, user_id="eve"),
        case("not-staff", {}, expected("on", True, "default"), user_id="bob"),
        case("not-staff", {}, expected("off", False, "rule_match", "r"), user_id="ada"),
        case("object", {}, expected("x", {"k": [1]}, "globally_enabled", revision=9)),
        case("number", {}, expected("high", 2.5, "globally_disabled")),
    ]
    return {"name": "reasons", "flags": flags, "segments": segments, "cases": cases}


def vectors() -> str:
    sets = [operators(), types(), buckets(), ranges(), reasons()]
    lines = []
    for group in sets:
        cases = ",\n".join(json.dumps(one) for one in group.pop("cases"))
        lines.append(json.dumps(group)[:-1] + f', "cases": [\n{cases}\n]}}')
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(vectors())
