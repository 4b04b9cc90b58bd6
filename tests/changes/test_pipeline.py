"""The write pipeline under contention: nothing lost, no gap, nobody told of a deadlock."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text

from app.auth.deps import Caller
from app.changes import edits
from app.changes.plan import Change
from app.changes.service import DuplicateChange, apply
from app.configs.errors import ConfigNotFound, UnknownEnvironment
from app.configs.levels import Level
from app.core import db
from app.core.settings import Settings
from app.formats import json
from app.models import Action
from app.workspaces.deps import Access
from app.workspaces.permissions import permissions
from app.workspaces.scopes import Scopes
from tests.client import Person

WRITERS = 16
FULL_AT_COMMIT = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'no space left' USING ERRCODE = '53100'; END $$;
CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON versions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION full_disk()
"""


def access_to(slug: str) -> Access:
    with db.transaction() as session:
        row = session.execute(
            text(
                "SELECT w.id, w.owner_id, h.revision FROM workspaces w "
                "JOIN workspace_heads h ON h.workspace_id = w.id WHERE slug = :slug"
            ),
            {"slug": slug},
        ).one()
    return Access(
        caller=Caller(username="test"),
        workspace_id=row.id,
        slug=slug,
        owner_id=row.owner_id,
        role="owner",
        head=row.revision,
        epoch="e",
        scopes=Scopes(permissions("owner")),
    )


def commit(slug: str, *changes: Change) -> int:
    with db.transaction() as session:
        return apply(session, access=access_to(slug), changes=changes).revision


def put(service: str, value: Any, environment: str | None = None) -> Change:
    return Change(Level(service, environment), edits.store(value), creates=True)


def query(statement: str, **values: Any) -> list[Any]:
    with db.transaction() as session:
        return list(session.execute(text(statement), values).all())


def test_a_commit_of_many_has_one_revision(settings: Settings):
    revision = commit("default", put("a", {"n": 1}), put("b", {"n": 1}, "production"))
    assert revision == 1
    rows = query("SELECT version, revision FROM objects WHERE revision > 0 ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, 1), (1, 1)]
    assert query("SELECT count(*) FROM revisions WHERE n > 0")[0][0] == 1
    events = query("SELECT resource_type, revision, version, service FROM events ORDER BY id")
    assert [tuple(row) for row in events] == [
        ("configuration", 1, 1, "a"),
        ("configuration", 1, 1, "b"),
    ]


def test_all_or_nothing(settings: Settings):
    commit("default", put("a", {"n": 1}))
    with pytest.raises(UnknownEnvironment):
        commit("default", put("a", {"n": 2}), put("new", {"n": 1}, "nowhere"))
    missing = Change(Level("ghost", None), edits.store({}))
    with pytest.raises(ConfigNotFound):
        commit("default", put("a", {"n": 2}), put("new", {"n": 1}), missing)
    with pytest.raises(DuplicateChange):
        commit("default", put("a", {"n": 2}), put("a", {"n": 3}))
    assert query("SELECT content FROM versions WHERE revision > 0") == [('{"n":1}',)]
    assert query("SELECT name FROM services") == [("a",)]
    assert query(
        "SELECT revision FROM workspace_heads h JOIN workspaces w ON w.id = workspace_id "
        "WHERE slug = 'default'"
    ) == [(1,)]


def test_levels_are_told_apart(settings: Settings):
    levels = [Level(s, e) for s in (None, "a") for e in (None, "production", "staging")]
    for level in levels:
        commit("default", Change(level, edits.store({"at": str(level)}), creates=True))
    assert query("SELECT count(*) FROM configs") == [(6,)]
    commit("default", *(Change(level, edits.store({"at": 2}), creates=True) for level in levels))
    counts = query("SELECT version, count(*) FROM objects WHERE revision > 0 GROUP BY 1")
    assert counts == [(2, 6)]


def test_no_deadlock_reaches_a_caller(settings: Settings):
    """Change sets over random pairs, new and old documents, in random order."""
    names = [f"s{n}" for n in range(12)]

    def work(seed: int) -> int:
        dice = random.Random(seed)
        for _ in range(15):
            first, second, third = dice.sample(names, 3)
            value = {"by": seed, "n": dice.random()}
            commit("default", put(first, value), put(second, value), put(third, value))
        return 15

    with ThreadPoolExecutor(WRITERS) as pool:
        done = sum(pool.map(work, range(WRITERS)))
    heads = query("SELECT max(n), count(*), count(DISTINCT n) FROM revisions WHERE n > 0")
    assert tuple(heads[0]) == (done, done, done)
    gaps = query(
        "SELECT object_id FROM versions GROUP BY object_id "
        "HAVING max(version) <> count(*) OR min(version) <> 1"
    )
    assert gaps == []
    assert query("SELECT count(*) FROM versions WHERE revision > 0") == [(done * 3,)]
    assert query("SELECT count(*) FROM events WHERE resource_type = 'configuration'") == [
        (done * 3,)
    ]
    assert query("SELECT count(*) FROM event_pending") == query("SELECT count(*) FROM events")


def test_revisions_are_in_commit_order(settings: Settings):
    """Whoever sees revision n sees everything up to n, at all times; time never runs back."""
    seen: list[bool] = []

    def watch() -> None:
        for _ in range(60):
            rows = query("SELECT n, at FROM revisions WHERE n > 0 ORDER BY n")
            seen.append([row.n for row in rows] == list(range(1, len(rows) + 1)))
            seen.append([row.at for row in rows] == sorted(row.at for row in rows))

    def write(seed: int) -> None:
        for n in range(20):
            commit("default", put(f"w{seed}", {"n": n}))

    with ThreadPoolExecutor(9) as pool:
        watching = pool.submit(watch)
        list(pool.map(write, range(8)))
        watching.result()
    assert all(seen)


def test_100_writers_with_if_match_one_wins_each_round(ada: Person):
    etag = '""'
    for round_ in range(3):

        def write(n: int, etag: str = etag, round_: int = round_) -> int:
            headers = {"If-Match": etag} if round_ else {"If-None-Match": "*"}
            body = {"name": "billing", "config": {"round": round_, "n": n}}
            while True:
                answer = ada.request("POST", "/config/update", json=body, headers=headers)
                if answer.status_code != 503:
                    return answer.status_code

        with ThreadPoolExecutor(100) as pool:
            statuses = list(pool.map(write, range(100)))
        assert sorted(statuses) == [200] + [412] * 99
        etag = ada.get("/config/get", service="billing").headers["etag"]
    assert len(ada.version_ids("billing")) == 3


def test_100_writers_without_a_precondition_lose_nothing(ada: Person):
    def write(n: int) -> None:
        while True:
            answer = ada.update("billing", {"n": n})
            if answer.status_code == 200:
                return
            assert answer.status_code == 503

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(write, range(100)))
    versions = ada.get("/config/versions", name="billing", limit=500).json()["versions"]
    assert [v["version"] for v in versions] == list(range(100, 0, -1))
    assert {v["config"]["n"] for v in versions} == set(range(100))
    assert [v["revision"] for v in versions] == list(range(100, 0, -1))


def test_a_lost_race_is_run_again(ada: Person):
    """A serialization failure is not the caller's business, unless it happens three times."""
    ada.update("billing", {"n": 0})
    raised: list[int] = []

    def fail(times: int):
        def before(conn, cursor, statement, *_: Any) -> None:
            if "UPDATE workspace_heads" in statement and len(raised) < times:
                raised.append(1)
                cursor.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")

        return before

    two, three = fail(2), fail(5)
    event.listen(db.get_engine(), "before_cursor_execute", two)
    assert ada.update("billing", {"n": 1}).json()["version"] == 2
    event.remove(db.get_engine(), "before_cursor_execute", two)
    event.listen(db.get_engine(), "before_cursor_execute", three)
    refused = ada.update("billing", {"n": 2})
    event.remove(db.get_engine(), "before_cursor_execute", three)
    assert (refused.status_code, refused.json()["code"]) == (409, "write_conflict")
    assert refused.headers["retry-after"] == "1"
    assert ada.get("/config/get", service="billing").json()["version"] == 2


def test_a_commit_that_fails_is_not_answered_200(ada: Person):
    """The transaction ends before the answer leaves."""
    ada.update("billing", {"n": 0})

    with db.transaction() as session:
        session.execute(text(FULL_AT_COMMIT))
    answer = ada.update("billing", {"n": 1})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert ada.get("/config/get", service="billing").json()["config"] == {"n": 0}


def test_an_update_holds_the_counter_for_one_statement(ada: Person):
    ada.update("billing", {"n": 0})
    statements: list[tuple[Any, str]] = []

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append((cursor.connection, statement))

    event.listen(db.get_engine(), "before_cursor_execute", note)
    ada.update("billing", {"n": 1})
    event.remove(db.get_engine(), "before_cursor_execute", note)
    (own,) = {by for by, statement in statements if "UPDATE workspace_heads" in statement}
    mine = [statement for by, statement in statements if by is own]  # not the background's
    counter = next(i for i, s in enumerate(mine) if "UPDATE workspace_heads" in s)
    lock = next(i for i, s in enumerate(mine) if "FOR UPDATE OF objects" in s)
    assert counter - lock == 2  # between them the keys are read
    assert sum("UPDATE workspace_heads" in s for s in mine) == 1


def test_the_actions_of_a_life(ada: Person):
    ada.update("a", {"n": 1})
    assert query("SELECT action FROM versions WHERE revision > 0") == [(Action.CREATE,)]
    assert json.loads(query("SELECT content FROM versions WHERE revision > 0")[0][0]) == {"n": 1}
