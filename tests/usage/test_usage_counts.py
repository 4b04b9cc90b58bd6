"""What was served is counted, exactly and for those who may know."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from app.background import loop, sweep
from app.usage import recorder
from app.usage.recorder import usage
from tests.client import Person, assert_problem, program
from tests.flags.calls import FLAGS, PRODUCTION, make, put
from tests.processes import until
from tests.usage.use import USAGE, age, read, report, said, seen, sql, stale, unknown, used

RULES = [
    {"id": "germans", "when": {"attribute": "c", "op": "equals", "value": "DE"}},
    {"id": "half"},
]


def make_split(person: Person, **more) -> dict:
    on, off = {"variant": "on", "weight": 50}, {"variant": "off", "weight": 50}
    rules = [RULES[0] | {"serve": {"variant": "on"}}, RULES[1] | {"serve": {"split": [on, off]}}]
    return make(person, rules=rules, **more)


def workspace_of(person: Person) -> int:
    with recorder.db.transaction() as session:
        found = session.execute(
            sweep.text("SELECT id FROM workspaces WHERE slug = :slug"), {"slug": person.username}
        )
        return found.scalar_one()


def test_reports_add_up_by_flag_variant_and_rule(ada: Person):
    make_split(ada)
    make(ada, "quiet")
    before = datetime.now(UTC)
    for _ in range(3):
        answer = report(
            ada,
            said("checkout", "on", 5, "germans"),
            said("checkout", "on", 2, "half"),
            said("checkout", "off", 1, "half"),
            said("checkout", "off", 7),
        )
        assert (answer.status_code, answer.content) == (204, b"")
    assert used(ada) == {("off", None): 21, ("off", "half"): 3, ("on", "germans"): 15} | {
        ("on", "half"): 6
    }
    checkout, quiet = read(ada)["flags"]
    assert (quiet["flag"], quiet["environment"]) == ("quiet", PRODUCTION)
    assert (quiet["last_seen"], quiet["total"], quiet["counts"]) == (None, 0, [])
    last_seen = datetime.fromisoformat(checkout["last_seen"])
    assert before <= last_seen <= datetime.now(UTC)
    assert checkout["last_seen"] == max(one["last_seen"] for one in checkout["counts"])
    report(ada, said("checkout", "on", 1, "half"))
    (again,) = read(ada, flag="checkout")["flags"]
    (half,) = [one for one in again["counts"] if (one["variant"], one["rule_id"]) == ("on", "half")]
    assert half["count"] == 7
    assert half["first_seen"] <= checkout["last_seen"] < half["last_seen"]


def test_environments_are_counted_apart_and_read_together(ada: Person):
    make(ada)
    make(ada, environment="staging")
    report(ada, said("checkout", "on", 2))
    report(ada, said("checkout", "on", 3), environment="staging")
    assert used(ada) == {("on", None): 2}
    assert used(ada, environment="staging") == {("on", None): 3}
    found = {one["environment"]: one["total"] for one in read(ada)["flags"]}
    assert found == {PRODUCTION: 2, "staging": 3}


def test_what_a_flag_cannot_have_given_is_not_counted(ada: Person):
    make_split(ada)
    report(ada, said("checkout", "purple", 9), said("checkout", "on", 4, "a rule of last week"))
    assert used(ada) == {("on", None): 4}
    assert unknown(ada) == {}


def test_unknown_flags_are_told_until_they_are_made(ada: Person):
    make(ada, "old")
    report(ada, said("chekout", "on", 2), unknown=[{"flag": "chekout", "count": 3}])
    report(ada, unknown=[{"flag": "old", "count": 1}, {"flag": "new", "count": 1}])
    assert unknown(ada) == {"chekout": 5, "new": 1}
    (one,) = read(ada, flag="new")["unknown"]
    assert one["environment"] == PRODUCTION
    assert one["first_seen"] == one["last_seen"]
    assert unknown(ada, environment="staging") == {}
    make(ada, "new")
    assert unknown(ada) == {"chekout": 5}


def test_what_no_flag_can_be_called_is_not_kept(ada: Person):
    names = ["a b", "ä", "evaluate", "x\u0007", "fine"]
    report(ada, unknown=[{"flag": name, "count": 1} for name in names])
    usage.unknown(workspace_of(ada), "no such place", "fine")
    usage.unknown(workspace_of(ada), "nowhere", "fine")
    usage.unknown(workspace_of(ada), PRODUCTION, "x\0")
    assert unknown(ada) == {"fine": 1}


def test_a_workspace_keeps_a_thousand_unknown_names_those_asked_for_most(ada: Person, bob: Person):
    report(ada, unknown=[{"flag": "real", "count": 7}])
    report(bob, unknown=[{"flag": "of_bob", "count": 1}])
    for part in range(3):
        names = [{"flag": f"made-up-{part}-{n}", "count": 1} for n in range(900)]
        report(ada, unknown=names)
        assert len(unknown(ada)) == min(1 + 900 * (part + 1), 1000)
    names = [{"flag": f"at-once-{n}", "count": 1} for n in range(10_000)]
    assert report(ada, unknown=names).status_code == 204
    found = unknown(ada)
    assert len(found) == 1000
    assert found["real"] == 7
    assert unknown(bob) == {"of_bob": 1}


def test_counts_stop_growing_before_they_break(ada: Person):
    make(ada)
    usage.count(workspace_of(ada), PRODUCTION, "checkout", "on", None, 2**70)
    assert used(ada) == {("on", None): 2**53 - 1}
    report(ada, said("checkout", "on", 10**9))
    assert used(ada) == {("on", None): 2**53 - 1}


def test_many_threads_of_two_processes_lose_nothing(ada: Person):
    make_split(ada)
    workspace_id = workspace_of(ada)
    recorders = [usage, recorder.Recorder()]

    def work(seed: int) -> None:
        rng, own = random.Random(seed), recorders[seed % 2]
        for n in range(2_000):
            own.count(workspace_id, PRODUCTION, "checkout", "on", "half")
            if n % 100 == 0:
                many = {("checkout", "off", None): 3, ("checkout", "on", "half"): 1}
                own.count_many(workspace_id, PRODUCTION, many)
                own.unknown(workspace_id, PRODUCTION, f"gone-{n % 3}", 2)
            if rng.random() < 0.005:
                own.flush()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    recorders[1].flush()
    assert used(ada) == {("on", "half"): 8 * 2_020, ("off", None): 8 * 60}
    assert sum(unknown(ada).values()) == 8 * 40


@pytest.fixture
def _at_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "USAGE_SECONDS", 0)


@pytest.mark.usefixtures("_at_every_tick")
def test_counts_are_written_by_themselves(ada: Person):
    make(ada)
    for total in (3, 6):
        report(ada, said("checkout", "on", 3))
        until(
            lambda total=total: ada.get(USAGE).json()["flags"][0]["total"] == total,
            "it is written",
        )


def test_memory_is_bounded_by_dropping(ada: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recorder, "MAX_KEYS", 2)
    for name in "abc":
        make(ada, name)
    counts = [said(name, "on") for name in "abca"]
    assert report(ada, *counts).status_code == 204
    assert [one["total"] for one in read(ada)["flags"]] == [2, 1, 0]
    report(ada, said("c", "on"))
    assert [one["total"] for one in read(ada)["flags"]] == [2, 1, 1]


def test_counts_stay_with_a_renamed_environment_and_a_flag_that_comes_back(ada: Person):
    flag = make(ada)
    report(ada, said("checkout", "on", 4), unknown=[{"flag": "gone", "count": 2}])
    assert used(ada) == {("on", None): 4}
    renamed = ada.request("PATCH", f"/environments/{PRODUCTION}", json={"name": "live"})
    assert renamed.status_code == 200
    report(ada, said("checkout", "on", 1), environment="live")
    assert used(ada, environment="live") == {("on", None): 5}
    assert unknown(ada, environment="live") == {"gone": 2}
    assert_problem(ada.get(USAGE, environment=PRODUCTION), 422, "unknown_environment")
    assert ada.request("DELETE", f"{FLAGS}/{flag['id']}").status_code == 204
    assert read(ada)["flags"] == []
    usage.count(workspace_of(ada), "live", "checkout", "on", None)
    make(ada, environment="live")
    assert used(ada, environment="live") == {("on", None): 6}


def test_deleting_the_place_of_counts_breaks_nothing(ada: Person):
    ada.post("/environments", {"name": "qa"})
    flag = make(ada, environment="qa")
    report(ada, said("checkout", "on"), environment="qa", unknown=[{"flag": "x", "count": 1}])
    usage.flush()
    report(ada, said("checkout", "on"), environment="qa", unknown=[{"flag": "x", "count": 1}])
    assert ada.request("DELETE", f"{FLAGS}/{flag['id']}").status_code == 204
    assert ada.request("DELETE", "/environments/qa").status_code == 204
    make(ada)
    report(ada, said("checkout", "on", 3))
    found = read(ada)
    assert [(one["environment"], one["total"]) for one in found["flags"]] == [(PRODUCTION, 3)]
    assert found["unknown"] == []
    assert stale(ada, days=1) == {}
    assert_problem(report(ada, environment="qa"), 422, "unknown_environment")


def test_workspaces_do_not_see_each_other(ada: Person, bob: Person):
    make(ada)
    make(bob)
    report(ada, said("checkout", "on", 2), unknown=[{"flag": "gone", "count": 2}])
    assert used(ada) == {("on", None): 2}
    assert used(bob) == {}
    assert unknown(bob) == {}


def test_a_key_counts_and_reads_no_further_than_its_scope(ada: Person):
    for name in ("shop.cart", "admin.tool"):
        make(ada, name)
        make(ada, name, environment="staging")
    scopes = {"actions": ["read"], "environments": [PRODUCTION], "flags": ["shop.*"]}
    key = program(ada, **scopes)
    entries = [said("shop.cart", "on", 2), said("admin.tool", "on", 2), said("admin.none", "on", 2)]
    lost = [{"flag": name, "count": 1} for name in ("shop.none", "admin.none", "admin.tool")]
    assert report(key, *entries, unknown=lost).status_code == 204
    totals = {one["flag"]: one["total"] for one in read(ada, environment=PRODUCTION)["flags"]}
    assert totals == {"shop.cart": 2, "admin.tool": 0}
    assert unknown(ada) == {"shop.none": 1}
    report(ada, unknown=[{"flag": "admin.none", "count": 1}])
    report(ada, said("shop.cart", "on", 5), environment="staging")
    found = read(key)
    told = [(one["flag"], one["environment"], one["total"]) for one in found["flags"]]
    assert told == [("shop.cart", PRODUCTION, 2)]
    assert [one["flag"] for one in found["unknown"]] == ["shop.none"]
    age(40)
    assert [*stale(key)] == []
    assert [*stale(ada)] == ["admin.tool"]
    for answer in (report(key, environment="staging"), key.get(USAGE, environment="staging")):
        assert_problem(answer, 403, "outside_scope")
    assert_problem(key.get(f"{FLAGS}/stale", environment="staging"), 403, "outside_scope")


def test_who_may_not_read_may_not_report(ada: Person):
    key = program(ada, actions=["write"])
    for answer in (report(key), key.get(USAGE), key.get(f"{FLAGS}/stale")):
        assert_problem(answer, 403, "not_allowed")
    nobody = Person(ada.client, "none", 0, "nobody")
    assert report(nobody).status_code == 401


WRONG = [
    {"environment": ".."},
    {"counts": [said("a", "on", 0)]},
    {"counts": [said("a", "on", -1)]},
    {"counts": [said("a", "on", 10**9 + 1)]},
    {"counts": [said("a", "on", 1.5)]},
    {"counts": [said("a", "on", "1")]},
    {"counts": [said("a", "on", True)]},
    {"counts": [said("", "on")]},
    {"counts": [said("a" * 256, "on")]},
    {"counts": [said("a", "")]},
    {"counts": [said("a", "v" * 256)]},
    {"counts": [said("a", "on", 1, "r" * 256)]},
    {"counts": [said("a", "on", 1, "")]},
    {"counts": [said("a", "on")] * 10_001},
    {"counts": [{"flag": "a", "count": 1}]},
    {"counts": None},
    {"unknown": [{"flag": "a"}]},
    {"unknown": [{"flag": "a", "count": 1}] * 10_001},
    {"unknown": {"a": 1}},
]


def test_bad_reports_count_nothing(ada: Person):
    make(ada, "a")
    for wrong in WRONG:
        answer = report(ada, **{"counts": [said("a", "on")], **wrong})
        assert answer.status_code == 422, wrong
    assert used(ada, "a") == {}
    assert unknown(ada) == {}


def test_reports_of_newer_clients_are_understood(ada: Person):
    make(ada)
    entry = said("checkout", "on", 2) | {"metadata": {"sdk": "9"}}
    assert report(ada, entry, sent_at="2030-01-01").status_code == 204
    assert report(ada).status_code == 204
    assert ada.post(USAGE, {"environment": PRODUCTION}).status_code == 204
    assert used(ada) == {("on", None): 2}
    assert_problem(report(ada, entry, environment="nowhere"), 422, "unknown_environment")


def test_bad_questions(ada: Person):
    wrong = [{"days": 0}, {"days": 91}, {"days": "x"}, {"environment": "a b"}, {"since": 1}]
    for path in (USAGE, f"{FLAGS}/stale"):
        for params in wrong:
            assert ada.get(path, **params).status_code == 422, params
        assert_problem(ada.get(path, environment="nowhere"), 422, "unknown_environment")


def test_the_window_is_of_whole_days_and_last_seen_looks_further_back(ada: Person):
    flag = make(ada)
    for days, count in ((0, 1), (1, 10), (5, 100), (60, 1000)):
        seen(flag, "on", days, count)
    assert used(ada, days=2) == {("on", None): 11}
    assert used(ada, days=6) == {("on", None): 111}
    assert used(ada, days=90) == {("on", None): 1111}
    sql("DELETE FROM flag_counts WHERE count < 1000")
    (found,) = read(ada, days=30)["flags"]
    assert (found["total"], found["counts"]) == (0, [])
    last_seen = datetime.fromisoformat(found["last_seen"])
    assert timedelta(days=59) < datetime.now(UTC) - last_seen < timedelta(days=61)


def test_old_days_and_old_unknown_names_are_forgotten(ada: Person):
    flag = make(ada)
    for days in (200, 92, 89, 3):
        seen(flag, "on", days, days)
    report(ada, unknown=[{"flag": "lately", "count": 1}, {"flag": "long_ago", "count": 1}])
    usage.flush()
    sql(
        "UPDATE unknown_flags SET first_seen = first_seen - interval '91 days',"
        " last_seen = last_seen - interval '91 days' WHERE name = 'long_ago'"
    )
    assert used(ada, days=90) == {("on", None): 92}

    def is_our_turn() -> bool:  # the server's own thread may take it in between
        sql("UPDATE leases SET expires_at = now() WHERE name = 'sweep'")
        return sweep.sweep("server:test")

    until(is_our_turn, "it is swept")
    assert used(ada, days=90) == {("on", None): 92}
    with recorder.db.transaction() as session:
        left = session.scalars(sweep.text("SELECT count FROM flag_counts ORDER BY count")).all()
        names = session.scalars(sweep.text("SELECT name FROM unknown_flags")).all()
    assert left == [3, 89]
    assert names == ["lately"]


def test_variants_that_were_taken_away_are_still_told(ada: Person):
    flag = make(ada, type="string", variants={"a": "x", "b": "y"})
    report(ada, said("checkout", "a", 2))
    usage.flush()
    changed = put(ada, flag, variants={"b": "y", "c": "z"}, accept_rebucketing=True)
    assert changed.status_code == 200, changed.text
    report(ada, said("checkout", "c", 1), said("checkout", "a", 5))
    assert used(ada) == {("a", None): 2, ("c", None): 1}
