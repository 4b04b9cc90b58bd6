"""The benchmark of the evaluator compares equal flags."""

import pytest

from bench import rules


@pytest.mark.parametrize("name", ["ours", "growthbook", "flagsmith"])
def test_every_library_is_told_the_same_flag(name):
    rules.check(name, getattr(rules, name)())


def test_unleash_is_told_the_same_flag():
    with rules.unleash() as prepare:
        rules.check("UnleashClient", prepare)


def test_another_flag_is_noticed():
    with pytest.raises(RuntimeError, match="another flag"):
        rules.check("nobody", lambda _: lambda: False)


@pytest.mark.parametrize(
    ("own", "other", "is_good"),
    [(600_000, 100_000, True), (400_000, 10_000, False), (600_000, 200_000, False)],
)
def test_a_promise_that_is_not_kept_is_said(own, other, is_good, capsys):
    best = {"app/rules": own, "growthbook": other, "UnleashClient": other / 2}
    assert rules.shown(best) is is_good
    assert ("NOT KEPT" in capsys.readouterr().out) is not is_good
