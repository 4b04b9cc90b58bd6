"""Configs as objects, and what the server is told of them."""

import dataclasses
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from configsync import InvalidConfig, NotInitialized, StaticClient
from pydantic import BaseModel, Field, field_validator

from tests.processes import until


class Database(BaseModel):
    host: str
    port: int = Field(default=5432, lt=65536)


class Settings(BaseModel):
    database: Database
    names: list[str] = []

    @field_validator("names")
    @classmethod
    def check(cls, names):
        if "bad" in names:
            raise ValueError(f"{names} is bad")
        return names


class Color(Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Inner:
    host: str
    port: int = 1


@dataclasses.dataclass
class Outer:
    inner: Inner
    many: list[Inner] = dataclasses.field(default_factory=list)
    by_name: dict[str, Inner] = dataclasses.field(default_factory=dict)
    color: Color = Color.RED
    mode: Literal["a", "b"] = "a"
    ratio: float = 1.0
    pair: tuple[int, str] = (1, "a")
    some: tuple[int, ...] = ()
    maybe: str | None = None
    noted: Annotated[bool, "a note"] = False
    anything: Any = None
    later: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.ratio < 0:
            raise ValueError(f"{self.ratio} is too small")


def test_an_invalid_config_is_rejected_and_reported(desk, client):
    desk.write(database={"host": "db1"}, n=1)
    one = client(instance_id="me", app_version="1.2")
    one.initialize()
    bound = one.bind(Settings)
    below = one.bind(Inner, prefix="database")
    assert (bound.current.database.port, below.current) == (5432, Inner("db1"))
    one.start_auto_refresh()
    until(lambda: one.status.push == "stream", "events come through")
    until(lambda: [one["status"] for one in desk.instances()] == ["applied"], "it is reported")
    revision = desk.write(database={"port": "s3cret"}, names=["bad"], n=2)
    until(lambda: one.status.rejected, "it is rejected")
    assert (one.get("n"), bound.current.database.host) == (1, "db1")
    until(lambda: desk.instances()[0]["status"] == "rejected", "that is reported")
    [told] = desk.instances()
    assert (told["instance_id"], told["revision"], told["app_version"]) == ("me", revision, "1.2")
    for place in ("database.host (missing)", "database.port (int_parsing)", "names (value_error)"):
        assert place in told["error"]
    assert "s3cret" not in told["error"]
    assert "bad" not in told["error"]
    desk.write(database={"host": "db3", "port": 3}, n=3)
    until(lambda: one.get("n") == 3, "the next one is taken")
    assert (bound.current.database, below.current) == (
        Database(host="db3", port=3),
        Inner("db3", 3),
    )
    assert one.status.rejected is None
    until(lambda: desk.instances()[0]["status"] == "applied", "that is reported too")


def test_the_first_config_must_fit(desk, client):
    desk.write(n=1)
    one = client(instance_id="me")
    bound = one.bind(Settings)
    with pytest.raises(NotInitialized):
        assert bound.current
    with pytest.raises(InvalidConfig, match=r"Settings: database \(missing\)"):
        one.initialize()
    assert [one["status"] for one in desk.instances()] == ["rejected"]
    desk.write(database={"host": "db1"})
    one.initialize()
    assert bound.current.database.host == "db1"


def test_dotted_names_fit_models_too():
    client = StaticClient({"database.host": "db1", "database": {"port": 7}})
    assert client.bind(Settings).current.database == Database(host="db1", port=7)
    assert client.bind(Inner, "database").current == Inner("db1", 7)


def test_dataclasses():
    values = {
        "inner": {"host": "h", "port": 2, "unknown": 1},
        "many": [{"host": "m"}],
        "by_name": {"x": {"host": "y"}},
        "color": "red",
        "mode": "b",
        "ratio": 2,
        "pair": [3, "z"],
        "some": [1, 2],
        "maybe": "x",
        "noted": True,
        "anything": {"a": [1]},
    }
    made = StaticClient(values).bind(Outer).current
    assert made == Outer(
        *(Inner("h", 2), [Inner("m")], {"x": Inner("y")}, Color.RED, "b", 2.0, (3, "z")),
        *((1, 2), "x", True, {"a": (1,)}),
    )
    assert isinstance(made.ratio, float)


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({}, ["inner (missing)"]),
        ({"inner": 1}, ["inner (object)"]),
        ({"inner": {"port": "x"}}, ["inner.host (missing)", "inner.port (type)"]),
        ({"inner": {"host": "h", "port": True}}, ["inner.port (type)"]),
        ({"many": [{"host": 1}]}, ["many.0.host (type)"]),
        ({"many": {}}, ["many (array)"]),
        ({"by_name": {"x": {}}}, ["by_name.x.host (missing)"]),
        ({"by_name": 1}, ["by_name (object)"]),
        ({"color": "blue"}, ["color (enum)"]),
        ({"mode": "c"}, ["mode (type)"]),
        ({"pair": [1]}, ["pair (length)"]),
        ({"maybe": 1}, ["maybe (type)"]),
        ({"noted": 1}, ["noted (type)"]),
        ({"inner": {"host": "h"}, "ratio": -1}, ["(ValueError)"]),
    ],
)
def test_dataclasses_that_do_not_fit(values, places):
    with pytest.raises(InvalidConfig) as caught:
        StaticClient(values).bind(Outer)
    for place in places:
        assert place in str(caught.value)
    assert "blue" not in str(caught.value)


def test_what_cannot_be_bound():
    with pytest.raises(TypeError, match="Pydantic model or a dataclass"):
        StaticClient().bind(int)


def test_masked_secrets_are_left_out(desk, client, caplog):
    desk.put({"db": {"password": {"$secret": "s3cret"}, "host": "h"}})
    one = client(api_key=desk.key("read"))
    one.initialize()
    assert (one.get("db.password"), one.get("db.host")) == (None, "h")
    assert one.get_all() == {"db": {"host": "h"}}
    assert "left out: db.password" in caplog.text
    with pytest.raises(KeyError, match="read_secrets"):
        one.require("db.password")
    two = client(api_key=desk.key("read", "read_secrets"))
    two.initialize()
    assert two.require("db.password") == "s3cret"
    assert "s3cret" not in repr(two._state.options)
