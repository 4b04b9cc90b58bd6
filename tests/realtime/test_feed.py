"""The feed under the streams: what it forgets, repeats, and when a history is over."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Row, text

from app.configs.levels import Level
from app.core import db
from app.feed import channel as channels
from app.feed import crud
from app.feed.channel import Channel
from app.feed.commits import Change, Commit, collect
from app.feed.service import Feed, Round
from tests.processes import until
from tests.realtime.conftest import Place
from tests.realtime.test_stream import change_all, write


def commit(revision: int, changes: int = 1) -> Commit:
    """Return a commit of some changes."""
    change = Change("update", "key", "1", Level("billing", None), "n", 1)
    return Commit(revision, datetime.now(UTC), "ada", None, (change,) * changes)


def revisions(channel: Channel, after: int) -> list[int] | None:
    """Return the revisions that are in memory after one."""
    found = channel.since(after)
    return None if found is None else [one.revision for one in found]


def test_what_is_kept_is_bounded_by_commits_and_by_changes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(channels, "KEPT_COMMITS", 10)
    monkeypatch.setattr(channels, "KEPT_CHANGES", 50)
    channel = Channel(1, head=0, rights=0)
    channel.advance([commit(number) for number in range(1, 21)])
    assert revisions(channel, 9) is None
    assert revisions(channel, 10) == list(range(11, 21))
    channel.advance([commit(21, 30), commit(22, 20)])
    assert revisions(channel, 19) is None
    assert revisions(channel, 20) == [21, 22]
    channel.advance([commit(23, 51)])
    assert revisions(channel, 22) is None
    assert revisions(channel, 23) == []
    channel.advance([commit(24)])
    assert revisions(channel, 23) == [24]


def test_who_waits_in_vain_is_forgotten():
    async def wait() -> None:
        feed = Feed()
        feed.open()
        channel = Channel(1, head=5, rights=0)
        waits = [feed.reach(channel, 10**9, seconds=0.05) for _ in range(100)]
        assert set(await asyncio.gather(*waits)) == {False}
        assert not channel.waiting
        waiting = asyncio.create_task(feed.reach(channel, 6, seconds=5))
        await asyncio.sleep(0)
        channel.advance([commit(6)])
        assert await waiting
        assert not channel.waiting
        await feed.close()

    asyncio.run(wait())


def test_a_round_that_comes_late_repeats_nothing():
    async def apply() -> list[int]:
        feed = Feed()
        feed.open()
        channel = feed.channels[1] = Channel(1, head=5, rights=0)
        row: Any = {"epoch": "e", "workspace_id": 1, "revision": 7, "rights": 0}
        names = type("Names", (), row)
        rows: list[Row[Any]] = [names]  # type: ignore[list-item]
        for last in (7, 8):
            names.revision = last  # type: ignore[attr-defined]
            some = [commit(number) for number in range(6, last + 1)]
            feed._apply(Round(0.0, "e", rows, {1: some}))
        assert not channel.ended
        found = revisions(channel, 5)
        await feed.close()
        return found or []

    assert asyncio.run(apply()) == [6, 7, 8]


def test_own_commits_that_do_not_follow_are_asked_for():
    async def apply() -> list[int]:
        feed = Feed()
        feed.open()
        channel = feed.channels[1] = Channel(1, head=5, rights=0)
        channel.fresh_until = float("inf")
        feed._pass_on([(1, commit(6)), (2, commit(1))])
        assert channel.fresh_until == float("inf")
        feed._pass_on([(1, commit(8))])
        assert channel.fresh_until == 0.0
        feed._pass_on([(1, commit(7))])
        found = revisions(channel, 5)
        await feed.close()
        return found or []

    assert asyncio.run(apply()) == [6, 7]


def test_own_commits_are_passed_on_as_the_database_has_them(place: Place):
    ada = place.person()
    with place.stream(ada) as opened:
        first = int(str(opened.hello().id).rpartition("-")[2])
        write(ada, "billing", {"a": 1, "b": {"c": [1]}}, message="why")
        assert ada.post("/environments", {"name": "other"}).status_code == 201
        change_all(ada, ("web", None), ("billing", "other"), (None, None), (None, "other"))
        ada.post("/api/v1/config", {"key": "x.y", "value": 1, "service_name": "web"})
        last = write(ada, "web", {"n": 2}, environment="other")
        while opened.change()["revision"] != last:
            pass
        slug = {"slug": ada.username}
        with db.transaction() as session:
            query = text("SELECT id FROM workspaces WHERE slug = :slug")
            workspace_id = session.execute(query, slug).scalar_one()
            wanted = {workspace_id: (first, last)}
            stored = collect(crud.list_commits(session, ranges=wanted, limit=100))[workspace_id]
        told = place.do(lambda: place.live.feed.channels[workspace_id].since(first))
    assert len(told) == last - first >= 4
    for one, other in zip(told, stored, strict=True):
        names = ("revision", "at", "actor", "message", "changes")
        assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


def test_an_older_database_is_another_history(place: Place):
    ada, bob = place.person(), place.person()
    write(ada, "billing", {"a": 1})
    last = write(ada, "billing", {"a": 2})
    with place.stream(ada) as one, place.stream(bob) as other:
        cursor = one.hello().id
        assert cursor is not None
        other.hello()
        with db.transaction() as session:
            session.execute(
                text(
                    "UPDATE workspace_heads AS h SET revision = h.revision - 1 "
                    "FROM workspaces AS w WHERE w.id = h.workspace_id AND w.slug = :slug"
                ),
                {"slug": ada.username},
            )
        for opened in (one, other):
            assert opened.end().data == {"reason": "new_epoch"}
    problem = place.stream(ada, since=cursor).problem()
    assert (problem["code"], problem["head"]) == ("cursor_gone", last - 1)
    assert not cursor.startswith(problem["epoch"])
    with place.stream(ada, since=f"{problem['epoch']}-{problem['head']}") as again:
        assert again.hello().data["epoch"] == problem["epoch"]
        with db.transaction() as session:
            session.execute(
                text(
                    "UPDATE workspace_heads AS h SET revision = h.revision + 1 "
                    "FROM workspaces AS w WHERE w.id = h.workspace_id AND w.slug = :slug"
                ),
                {"slug": ada.username},
            )
        assert again.change()["revision"] == last
    until(lambda: place.count() == 0, "all are gone")
