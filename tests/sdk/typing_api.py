"""What type checkers see of the public names; `test_typing.py` has mypy look at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_type

from configsync import (
    Binding,
    ConfigClient,
    FlagDetails,
    FrozenDict,
    Snapshot,
    StaticClient,
    Status,
    SyncConfigClient,
)


@dataclass
class Model:
    """A model."""

    host: str


def reading(client: ConfigClient | SyncConfigClient | StaticClient | Snapshot) -> None:
    """Check the reads, which all of them have."""
    assert_type(client.get("a"), Any)
    assert_type(client.get("a", default=1), Any)
    assert_type(client.get_int("a"), int | None)
    assert_type(client.get_int("a", 1), int)
    assert_type(client.get_int("a", default="none"), int | str)
    assert_type(client.get_bool("a"), bool | None)
    assert_type(client.get_bool("a", default=False), bool)
    assert_type(client.get_list("a"), tuple[Any, ...] | None)
    assert_type(client.get_list("a", ()), tuple[Any, ...] | tuple[()])
    assert_type(client.get_all(), FrozenDict)
    assert_type(client.require("a"), Any)
    assert_type(client.revision, int)
    assert_type(client.version, str)
    assert_type(client.source, Literal["server", "cache", "fallback", "static", "none"])


def flags(client: ConfigClient | SyncConfigClient | StaticClient | Snapshot) -> None:
    """Check the flags, which all of them have."""
    assert_type(client.flag("a"), bool)
    assert_type(client.flag("a", "eve", {"b": 1}, True), bool)
    assert_type(client.flag("a", user_id=1, default=False), bool)
    assert_type(client.flag("a", default="text"), str)
    assert_type(client.flag("a", default=1), int)
    assert_type(client.flag("a", default=0.5), float)
    assert_type(client.flag("a", default={"b": 1}), Mapping[str, Any])
    assert_type(client.flag("a", default=[1]), list[Any] | tuple[Any, ...])
    assert_type(client.flag("a", default=None), Any)
    assert_type(client.flag_details("a", default="text"), FlagDetails)
    assert_type(client.flag_details("a").error, str | None)
    assert_type(client.flags("eve", {"b": 1}), dict[str, Any])


def about(client: ConfigClient | SyncConfigClient) -> None:
    """Check what clients have besides."""
    assert_type(client.status, Status)
    assert_type(client.status.restored, str | None)
    assert_type(client.staleness, float)
    assert_type(client.bind(Model), Binding[Model])
    assert_type(client.bind(Model, prefix="a").current, Model)
    assert_type(client.on_change(print, key="a"), Callable[[], None])
    assert_type(client.on_flag_change(print), Callable[[], None])
    client.on_flag_change(lambda names: names | {"a"})
    assert_type(client.status.flags, str | None)
    with client.snapshot() as moment:
        assert_type(moment, Snapshot)


async def asynchronous() -> None:
    """Check the life of a client in a loop."""

    async def listen(config: FrozenDict) -> None:
        assert_type(config["a"], Any)

    async with ConfigClient(app_id="a", cache_dir="/tmp/a") as client:
        assert_type(client, ConfigClient)
        client.on_change(listen)
        await client.start_auto_refresh(interval=60)
        await client.refresh()
        await client.follow()
        await client.close()


def synchronous() -> None:
    """Check the life of a client without one."""
    with SyncConfigClient(base_url="http://localhost", max_stale=5) as client:
        assert_type(client, SyncConfigClient)
        client.on_change(lambda config: config["a"])
        client.start_auto_refresh(interval=1)
        client.refresh()
        client.follow()
        client.close()


def wrong(client: SyncConfigClient) -> None:
    """Check that mistakes are found: an `ignore` that is not needed is an error."""
    client.get(1)  # type: ignore[arg-type]
    client.flag(1)  # type: ignore[call-overload]
    client.flag("a", default=object())  # type: ignore[call-overload]
    client.on_change(1)  # type: ignore[arg-type]
    print(client.bind(Model).current.port)  # type: ignore[attr-defined]  # noqa: T201
    SyncConfigClient("http://localhost")  # type: ignore[call-arg]
    SyncConfigClient(nothing=1)  # type: ignore[call-arg]
    client.get_all()["a"] = 1  # NoReturn: what follows is never reached
    print(1 + "")  # noqa: T201
