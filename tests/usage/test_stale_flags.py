"""Flags that have had their day are found, with why, since when, and the next step."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.client import Person
from tests.flags.calls import FLAGS, PRODUCTION, make, put
from tests.usage.use import age, report, said, seen, stale


def ago(moment: str) -> float:
    """Return how many days ago a moment was."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)) / timedelta(days=1)


def test_a_new_flag_is_not_stale(ada: Person):
    make(ada)
    make(ada, "off", is_enabled=False)
    report(ada, said("checkout", "on", 5))
    assert stale(ada, days=1) == {}


def test_one_variant_for_so_long(ada: Person):
    flag = make(ada, owner="team-shop")
    age(50)
    for days in (45, 20, 1):
        seen(flag, "on", days)
    found = stale(ada)["checkout"]
    assert (found["reasons"], found["variant"]) == (["one_variant"], "on")
    assert (found["owner"], found["expires_at"]) == ("team-shop", None)
    assert found["environment"] == PRODUCTION
    assert ago(found["since"]) == pytest.approx(45, abs=0.1)
    assert "'on'" in found["hint"]
    assert stale(ada, days=44).keys() == {"checkout"}
    assert stale(ada, days=46) == {}


def test_two_variants_within_the_window_are_use(ada: Person):
    flag = make(ada)
    age(50)
    seen(flag, "on", 45)
    seen(flag, "off", 20)
    seen(flag, "on", 1)
    assert stale(ada) == {}
    found = stale(ada, days=10)["checkout"]
    assert found["reasons"] == ["one_variant"]
    assert ago(found["since"]) == pytest.approx(20, abs=0.1)


def test_a_change_within_the_window_gives_it_time(ada: Person):
    flag = make(ada)
    seen(flag, "on", 45)
    seen(flag, "on", 1)
    age(30)
    put(ada, flag, rollout_percentage=50)
    age(20)
    assert stale(ada) == {}
    assert ago(stale(ada, days=15)["checkout"]["since"]) == pytest.approx(20, abs=0.1)


def test_a_flag_that_is_first_asked_for_now_has_just_begun(ada: Person):
    flag = make(ada)
    age(50)
    seen(flag, "on", 2)
    assert stale(ada) == {}


def test_never_seen(ada: Person):
    make(ada, "never")
    lately = make(ada, "lately")
    long_ago = make(ada, "long_ago")
    age(50)
    make(ada, "new")
    seen(lately, "on", 10)
    seen(lately, "off", 10)
    seen(long_ago, "on", 40)
    found = stale(ada)
    assert {name: one["reasons"] for name, one in found.items()} == {
        "never": ["never_seen"],
        "long_ago": ["never_seen"],
    }
    assert ago(found["never"]["since"]) == pytest.approx(50, abs=0.1)
    assert ago(found["long_ago"]["since"]) == pytest.approx(40, abs=0.1)
    assert found["never"]["variant"] is None
    assert stale(ada, days=51) == {}


def test_what_others_need_is_seen(ada: Person):
    make(ada, "base")
    make(ada, "needing", prerequisites=[{"flag": "base", "variant": "on"}])
    make(ada, "base", environment="staging")
    age(50)
    assert stale(ada).keys() == {"needing"}
    assert stale(ada, environment="staging").keys() == {"base"}


def test_a_flag_that_came_back_is_new(ada: Person):
    flag = make(ada)
    age(30)
    assert ada.request("DELETE", f"{FLAGS}/{flag['id']}").status_code == 204
    age(30)
    assert stale(ada, days=1) == {}
    make(ada)
    age(10)
    assert stale(ada, days=20) == {}
    assert ago(stale(ada, days=5)["checkout"]["since"]) == pytest.approx(10, abs=0.1)


def test_off_for_so_long(ada: Person):
    flag = make(ada, is_enabled=False)
    age(50)
    seen(flag, "off", 45)
    seen(flag, "off", 1)
    found = stale(ada)["checkout"]
    assert (found["reasons"], found["variant"]) == (["off"], None)
    assert ago(found["since"]) == pytest.approx(50, abs=0.1)
    put(ada, flag, is_enabled=True)
    assert stale(ada) == {}


def test_expired_is_stale_at_once_and_reasons_add_up(ada: Person):
    past = datetime.now(UTC) - timedelta(days=2)
    soon = datetime.now(UTC) + timedelta(days=2)
    make(ada, "over", expires_at=past.isoformat())
    make(ada, "soon", expires_at=soon.isoformat())
    found = stale(ada)
    assert found.keys() == {"over"}
    assert found["over"]["reasons"] == ["expired"]
    assert ago(found["over"]["since"]) == pytest.approx(2, abs=0.1)
    assert datetime.fromisoformat(found["over"]["expires_at"]) == past
    age(50)
    both = stale(ada)["over"]
    assert both["reasons"] == ["expired", "never_seen"]
    assert ago(both["since"]) == pytest.approx(50, abs=0.1)
    assert both["hint"].startswith(found["over"]["hint"])


def test_environments_together(ada: Person):
    make(ada)
    make(ada, environment="staging")
    age(50)
    found = ada.get(f"{FLAGS}/stale").json()["flags"]
    assert [(one["flag"], one["environment"]) for one in found] == [
        ("checkout", PRODUCTION),
        ("checkout", "staging"),
    ]
