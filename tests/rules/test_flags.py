"""Who gets which variant, and why."""

import pytest

from app.rules.contexts import context_of
from app.rules.explaining import explain
from app.rules.flags import compile_all, compile_each
from app.rules.results import OFREP_REASONS, Reason
from app.rules.segments import compile_segments
from app.rules.view import rules_of
from tests.rules.made import ADA, GERMAN, compiled, flag, rule, served, shares
from tests.rules.murmur import bucket

TEXTS = {"type": "string", "variants": {"a": "A", "b": "B", "off": ""}}


def told(result):
    return result.variant, result.reason, result.rule_id


def test_without_rules_everybody_is_in():
    result = served(flag(revision=7))
    assert told(result) == ("on", "globally_enabled", None)
    assert (result.value, result.bucket, result.revision, result.error) == (True, None, 7, None)


def test_off_beats_everything():
    target = rule("target_users", "on", ADA)
    assert told(served(flag(target, is_enabled=False), "ada")) == ("off", "globally_disabled", None)


def test_target_users_come_first():
    definition = flag(rule("target_users", "on", ADA), rule("rollout", shares(on=0, off=100)))
    assert told(served(definition, "ada")) == ("on", "user_targeted", "target_users")
    assert told(served(definition, "bob")) == ("off", "rollout_percentage", "rollout")
    assert told(served(definition)) == ("off", "rollout_percentage", "rollout")


def test_without_a_percentage_everybody_else_is_in_too():
    assert told(served(flag(rule("target_users", "on", ADA)), "bob")) == ("on", "default", None)


def test_the_first_rule_that_matches_decides():
    definition = flag(rule("r1", "off", ADA), rule("r2", "on", GERMAN), rule("r3", "on", ADA))
    assert told(served(definition, "ada", None, country="DE")) == ("off", "rule_match", "r1")
    assert told(served(definition, "bob", None, country="DE")) == ("on", "rule_match", "r2")


def test_where_no_rule_matches_the_default_variant_is_served():
    assert told(served(flag(rule("r", "on", GERMAN)))) == ("off", "default", None)
    named = flag(rule("r", "off", GERMAN), default_variant="on")
    assert told(served(named)) == ("on", "default", None)


def test_a_split_serves_by_bucket():
    definition = flag(rule("s", shares(a=30, b=70)), **TEXTS)
    seen = set()
    for number in range(200):
        result = served(definition, f"user-{number}")
        assert result.bucket == bucket("5a17", f"user-{number}")
        assert told(result) == ("a" if result.bucket < 30_000 else "b", "rollout_percentage", "s")
        seen.add(result.value)
    assert seen == {"A", "B"}


@pytest.mark.parametrize("unit", [None, True, 1.5, [], ["ada"], {}, 10**400, "\ud800"])
def test_who_cannot_be_bucketed_is_told_so(unit):
    result = served(flag(rule("s", shares(on=50, off=50))), unit)
    assert told(result) == ("off", "targeting_key_missing", "s")
    assert (result.error, result.bucket) == ("TARGETING_KEY_MISSING", None)


def test_a_key_is_missed_only_by_the_rule_that_decides():
    definition = flag(rule("r", "on", GERMAN), rule("s", shares(on=50, off=50)))
    assert told(served(definition, None, None, country="DE")) == ("on", "rule_match", "r")


def test_a_split_with_one_outcome_needs_no_key():
    result = served(flag(rule("rollout", shares(on=100, off=0))))
    assert told(result) == ("on", "rollout_percentage", "rollout")
    assert result.error is None


def test_integers_are_their_decimal_text():
    definition = flag(rule("s", shares(on=50, off=50)), bucket_by="account.id")
    as_number = served(definition, None, None, account={"id": 4711})
    assert as_number.bucket == bucket("5a17", "4711")
    assert served(definition, None, None, **{"account.id": "4711"}) == as_number


def test_who_asks_has_two_names():
    definition = flag(rule("s", shares(on=50, off=50)))
    results = {
        served(definition, "ada"),
        served(definition, None, None, targetingKey="ada"),
        served(definition, None, None, user_id="ada"),
        served(definition, "ada", None, targetingKey="bob", user_id="eve"),
        served(definition, None, None, targetingKey="ada", user_id="eve"),
    }
    assert len(results) == 1
    assert context_of(7, {"a": 1}) == {"a": 1, "targetingKey": "7", "user_id": "7"}
    assert context_of() == {}


def test_prerequisites_must_serve_what_is_wanted():
    needs = flag(prerequisites=[{"flag": "g", "variant": "on"}])
    other = flag(rule("r", "on", GERMAN))
    run = compiled(needs, g=other).evaluate
    assert told(run({"country": "DE"})) == ("on", "globally_enabled", None)
    assert told(run({})) == ("off", "prerequisite_failed", None)


def test_a_prerequisite_may_be_off():
    needs = flag(prerequisites=[{"flag": "g", "variants": ["off"]}])
    assert compiled(needs, g=flag(is_enabled=False)).evaluate({}).variant == "on"


def test_a_prerequisite_without_a_key_has_failed():
    needs = flag(prerequisites=[{"flag": "g", "variants": ["on", "off"]}])
    run = compiled(needs, g=flag(rule("s", shares(on=50, off=50)))).evaluate
    assert told(run({})) == ("off", "prerequisite_failed", None)
    assert told(run({"targetingKey": "ada"})) == ("on", "globally_enabled", None)


def test_segments_nest_and_excluded_goes_first():
    segments = {
        "staff": {
            "included": ["ada", "bob", 7],
            "excluded": ["bob"],
            "when": {"segment": "german"},
        },
        "german": {"when": GERMAN},
        "nobody": {},
    }
    definition = flag(
        rule("r", "on", {"all": [{"segment": "staff"}, {"not": {"segment": "nobody"}}]})
    )
    assert served(definition, "ada", segments).variant == "on"
    assert served(definition, 7, segments).variant == "on"
    assert served(definition, "bob", segments, country="DE").variant == "off"
    assert served(definition, "eve", segments, country="DE").variant == "on"
    assert served(definition, None, segments, country="DE").variant == "on"
    assert served(definition, "eve", segments).variant == "off"


@pytest.mark.parametrize(
    ("kind", "variants", "on", "off"),
    [
        ("boolean", None, "on", "off"),
        ("boolean", {"no": False, "yes": True}, "yes", "no"),
        ("string", {"off": "x", "a": "1", "on": "2"}, "on", "off"),
        ("number", {"low": 1, "mid": 1.5, "high": 2}, "low", "high"),
        ("object", {"only": {"a": []}}, "only", "only"),
    ],
)
def test_what_is_not_said_is_understood(kind, variants, on, off):
    definition = flag(type=kind, variants=variants)
    assert served(definition).variant == on
    assert served({**definition, "is_enabled": False}).variant == off


def test_a_default_variant_is_what_everybody_gets():
    definition = flag(**TEXTS, default_variant="b")
    assert served(definition).variant == "b"
    definition["rules"] = rules_of(definition, ["ada"], 0)
    assert served(definition, "ada").variant == "b"
    assert served(definition, "bob").variant == "off"


def test_enabled_is_true_or_anything_but_off():
    switched = compiled(flag(rule("r", "off", GERMAN)))
    assert switched.is_on(switched.evaluate({})) is False
    texts = compiled(flag(rule("r", "a", GERMAN), **TEXTS))
    assert texts.is_on(texts.evaluate({"country": "DE"})) is True
    assert texts.is_on(texts.evaluate({})) is False


def test_every_reason_but_the_error_has_its_ofrep_reason():
    assert {*OFREP_REASONS} == {*Reason} - {Reason.TARGETING_KEY_MISSING}


def test_what_cannot_be_compiled_takes_nothing_else_with_it():
    future = {"attribute": "a", "op": "of_a_later_version", "value": 1}
    flags = {
        "good": flag(),
        "bad": flag(rule("r", "on", future)),
        "needs": flag(prerequisites=[{"flag": "bad", "variant": "on"}]),
        "segmented": flag(rule("r", "on", {"segment": "s"})),
    }
    found, errors = compile_each(flags, {"s": {"when": future}})
    assert list(found) == ["good"]
    assert [(error.code, error.path[:2]) for error in errors] == [
        ("unknown_operator", ("segments", "s")),
        ("unknown_operator", ("flags", "bad")),
        ("unknown_segment", ("flags", "segmented")),
        ("unknown_prerequisite", ("flags", "needs")),
    ]


def test_results_cannot_be_changed():
    with pytest.raises(AttributeError):
        served(flag()).variant = "off"


def test_explain_shows_the_way():
    segments, _ = compile_segments({"german": {"when": GERMAN}})
    others = compile_all({"g": flag()}, {})
    definition = flag(
        rule("r", "on", {"any": [{"segment": "german"}, {"not": ADA}]}),
        rule("s", shares(on=50, off=50)),
        prerequisites=[{"flag": "g", "variant": "on"}],
    )
    shown = explain(definition, segments, others, context_of("ada", {"country": "FR"}))
    assert shown["prerequisites"][0]["met"] is True
    first, second = shown["rules"]
    assert first["matched"] is False
    german, others_ = first["when"]["any"]
    assert german == {"outcome": False, "segment": "german"}
    assert (others_["not"]["found"], others_["not"]["outcome"]) == ("ada", True)
    assert second["bucket"] == shown["result"]["bucket"] == bucket("5a17", "ada")
    assert shown["result"]["rule_id"] == "s"
