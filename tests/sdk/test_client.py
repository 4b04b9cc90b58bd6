"""What a program sees of a server that is well."""

import asyncio
import threading

import pytest
from configsync import ConfigClient, ConfigSyncError, SyncConfigClient

from tests.processes import until


def test_a_change_is_there_and_listeners_are_called(desk, client):
    desk.write(database={"host": "db1", "port": 5432}, debug=True, names=["a", "b"])
    one = client()
    one.initialize()
    assert (one.get("database.host"), one.get_int("database.port")) == ("db1", 5432)
    assert (one.get_bool("debug"), one.get_list("names")) == (True, ("a", "b"))
    assert one.get("nothing", default="here") == "here"
    assert one.source == "server"
    seen: list[str] = []
    one.on_change(lambda config: seen.append(config["database"]["host"]))
    one.start_auto_refresh()
    until(lambda: one.status.push == "stream", "events come through")
    revision = desk.write(database={"host": "db2"})
    until(lambda: seen, "the listener is called")
    assert (seen, one.get("database.host"), one.revision) == (["db2"], "db2", revision)
    one.close()
    one.close()
    assert one.get("database.host") == "db2"
    assert not [one for one in threading.enumerate() if "configsync" in one.name]


def test_with_a_loop(desk, aclient):
    desk.write(n=1)

    async def main() -> None:
        async with aclient() as one:
            heard = asyncio.Event()

            async def listen(config) -> None:
                assert config["n"] == 2
                heard.set()

            one.on_change(listen)
            await one.start_auto_refresh()
            await eventually(lambda: one.status.push == "stream")
            await asyncio.to_thread(desk.write, n=2)
            await heard.wait()
            assert one.get("n") == 2
            await one.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_what_is_closed_stays_closed(desk, client, aclient):
    desk.write(n=1)
    one = client()
    one.initialize()
    one.close()
    for call in (one.initialize, one.start_auto_refresh, one.refresh, one.follow, one.__enter__):
        with pytest.raises(ConfigSyncError, match="this client is closed"):
            call()

    async def main() -> None:
        two = aclient()
        await two.initialize()
        await two.close()
        calls = (two.initialize, two.start_auto_refresh, two.refresh, two.follow, two.__aenter__)
        for call in calls:
            with pytest.raises(ConfigSyncError, match="this client is closed"):
                await call()
        assert two.get("n") == 1
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert one.get("n") == 1
    assert not [one for one in threading.enumerate() if "configsync" in one.name]


async def eventually(ask) -> None:
    async with asyncio.timeout(60):
        while not ask():  # noqa: ASYNC110  (a property, no event)
            await asyncio.sleep(0.02)


def test_the_names_of_both_clients_are_the_same():
    def names(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert names(ConfigClient) == names(SyncConfigClient)


def test_loading_again_while_it_runs(desk, client, aclient):
    desk.write(n=1)
    one = client()
    one.initialize()
    one.start_auto_refresh()
    for number in range(2, 6):
        desk.write(n=number)
        one.initialize()
        assert one.get("n") == number

    async def main() -> None:
        async with aclient() as two:
            await two.start_auto_refresh()
            await asyncio.to_thread(lambda: asyncio.run(two.refresh()))
            await two.initialize()
            await two.start_auto_refresh()
            assert two.get("n") == 5

    asyncio.run(main())
