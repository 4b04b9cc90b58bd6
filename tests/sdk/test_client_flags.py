"""Flags in a program: the same as the server's, typed, and there whatever happens."""

import asyncio
import json
import sys
import threading
from collections import UserDict
from contextlib import suppress
from dataclasses import dataclass

import pytest
from configsync import (
    FlagDetails,
    FrozenDict,
    NotInitialized,
    ServerUnreachable,
    StaticClient,
    SyncConfigClient,
    TooStale,
    TryAgain,
)
from configsync.pytest import configsync_static

from tests.processes import free_port, until
from tests.sdk.desk import KEY, Desk
from tests.sdk.impostor import Impostor, reply
from tests.sdk.scripts import environment, run, running
from tests.sdk.test_client import eventually

__all__ = ["configsync_static"]

KINDS = {
    "text": ("string", {"a": "x", "b": "y"}, "x"),
    "whole": ("number", {"a": 5, "b": 1}, 5),
    "broken": ("number", {"a": 5.5, "b": 1}, 5.5),
    "object": ("object", {"a": {"n": [1, {"m": 2}]}, "b": {}}, {"n": (1, {"m": 2})}),
    "list": ("object", {"a": [1, 2], "b": []}, (1, 2)),
}
HALF = [{"variant": "on", "weight": 50}, {"variant": "off", "weight": 50}]


def rule(**members):
    return {"id": "r", "serve": {"variant": "on"}, **members}


@pytest.fixture
def follow(client):
    """Give a client that follows changes."""

    def start(**options):
        one = client(**options)
        one.initialize()
        one.start_auto_refresh()
        until(lambda: one.status.push == "stream", "events come through")
        return one

    return start


def test_every_type(desk, client):
    desk.write(n=1)
    for name, (kind, variants, _) in KINDS.items():
        flag = {"type": kind, "variants": variants, "default_variant": "a", "off_variant": "b"}
        desk.flag(desk.name(name), **flag)
    desk.flag(desk.name("yes"))
    with client() as one:

        def ask(name, default):
            return one.flag(desk.name(name), default=default)

        assert ask("yes", False) is True
        assert [ask(name, None) for name in KINDS] == [value for _, _, value in KINDS.values()]
        assert (ask("text", ""), ask("whole", 0), ask("broken", 0.0)) == ("x", 5, 5.5)
        assert (ask("object", {}), ask("list", [])) == (KINDS["object"][2], (1, 2))
        assert type(ask("whole", 0.0)) is float
        value = ask("object", {})
        assert type(value) is FrozenDict
        with pytest.raises(TypeError):
            value["n"] = 1
        everything = one.flags()
        assert everything[desk.name("text")] == "x"
        for name, default in (
            *(("text", True), ("text", 1), ("text", {}), ("whole", "a"), ("whole", True)),
            *(("broken", 1), ("yes", 1), ("yes", ""), ("object", []), ("list", {})),
            ("text", object()),
        ):
            assert ask(name, default) is default
            details = one.flag_details(desk.name(name), default=default)
            assert (details.value, details.error) == (default, "TYPE_MISMATCH")


def test_off_unknown_and_unreachable_are_told_apart(desk, client):
    desk.write(n=1)
    off, unknown = desk.name("off"), desk.name("unknown")
    flag = desk.flag(off, is_enabled=False)
    with client() as one:
        found = one.flag_details(off, "eve", default=True)
        revision = flag["revision"]
        assert found == (off, False, "off", "globally_disabled", None, None, revision, None)
        assert one.flag(off, default=True) is False
        found = one.flag_details(unknown, "eve", default=True)
        assert (found.value, found.reason, found.error) == (True, "error", "FLAG_NOT_FOUND")
        assert one.flag(unknown, default="d") == "d"
    away = client(base_url=f"http://127.0.0.1:{free_port()}")
    found = away.flag_details(off, default=True)
    assert (found.value, found.error) == (True, "PROVIDER_NOT_READY")
    assert (away.flag(off, default=3), away.flags()) == (3, {})
    with pytest.raises(NotInitialized):
        away.snapshot()


def test_details_say_who_decided(desk, client):
    desk.write(n=1)
    name = desk.name("checkout")
    when = {"attribute": "country", "op": "equals", "value": "DE"}
    rules = [rule(when=when), {"id": "half", "serve": {"split": HALF}}]
    flag = desk.flag(name, rules=rules)
    with client() as one:
        found = one.flag_details(name, "eve", {"country": "DE"})
        assert isinstance(found, FlagDetails)
        assert found == (name, True, "on", "rule_match", "r", None, flag["revision"], None)
        split = one.flag_details(name, "eve")
        assert (split.reason, split.rule_id) == ("rollout_percentage", "half")
        assert split.value is (split.bucket < 50_000)
        for asking in ({}, {"context": {"country": "FR"}}, {"user_id": ["eve"]}):
            keyless = one.flag_details(name, **asking, default=True)
            assert (keyless.value, keyless.error) == (True, "TARGETING_KEY_MISSING")
            assert keyless.reason == "targeting_key_missing"
            assert one.flag(name, **asking, default=True) is True


@dataclass
class Model:
    n: int


class Hostile(UserDict):
    def keys(self):
        raise RuntimeError("a context that does not want to be read")


def test_no_context_raises(desk, client):
    desk.write(n=1)
    name = desk.name("checkout")
    when = {"attribute": "a.b", "op": "in", "values": ["x"]}
    desk.flag(name, rules=[rule(when=when)])
    deep: dict = {}
    for _ in range(10_000):
        deep = {"b": deep}
    with client() as one:
        for context in (
            *({"a": object()}, {"a": {"b": float("nan")}}, {"a": deep}, {"a.b": [[]]}),
            *({1: 2}, {"a": {"b": "\ud800"}}, {"targetingKey": {}}),
        ):
            assert one.flag_details(name, context=context).error is None
            assert one.flag(name, context=context, default=True) is False
        for context in ([1], "text", 5, Hostile(a=1)):
            assert one.flag(name, context=context, default=True) is True
            found = one.flag_details(name, context=context, default=True)
            assert (found.value, found.error) == (True, "INVALID_CONTEXT")


def test_changes_come_by_the_stream(desk, follow):
    desk.write(n=1)
    name, segment = desk.name("checkout"), desk.name("beta")
    desk.post("/api/v1/segments", {"name": segment, "included": ["ada"]})
    base = desk.flag(desk.name("base"))
    needed = [{"flag": desk.name("base"), "variant": "on"}]
    flag = desk.flag(name, rules=[rule(when={"segment": segment})], prerequisites=needed)
    one = follow()
    heard: list[frozenset[str]] = []
    configs: list[object] = []
    one.on_flag_change(heard.append)
    one.on_change(configs.append)
    assert (one.flag(name, "ada"), one.flag(name, "eve")) == (True, False)

    def changes(act, told, ada, eve):
        heard.clear()
        act()
        until(lambda: (one.flag(name, "ada"), one.flag(name, "eve")) == (ada, eve), "it is there")
        until(lambda: frozenset().union(*heard) == {desk.name(part) for part in told}, "is told")

    def included(*people):
        answer = desk.http.put(f"/api/v1/segments/{segment}", json={"included": [*people]})
        assert answer.is_success, answer.text

    changes(lambda: included("eve"), {"checkout"}, False, True)
    changes(lambda: desk.change(base, is_enabled=False), {"checkout", "base"}, False, False)
    changes(lambda: desk.change(base, is_enabled=True), {"checkout", "base"}, False, True)
    changes(lambda: desk.change(flag, is_enabled=False), {"checkout"}, False, False)
    heard.clear()
    desk.flag(desk.name("new"))
    until(lambda: heard == [{desk.name("new")}], "a new flag is told")
    assert desk.http.delete(f"/api/v1/feature-flags/{flag['id']}").is_success
    until(lambda: one.flag_details(name).error == "FLAG_NOT_FOUND", "a deleted flag is gone")
    assert (one.status.flags, one.status.error, configs) == (None, None, [])


def test_in_a_loop_too(desk, aclient):
    desk.write(n=1)
    name = desk.name("checkout")
    flag = desk.flag(name)

    async def main() -> None:
        async with aclient() as one:
            heard: list[frozenset[str]] = []

            async def listen(names) -> None:
                heard.append(names)

            one.on_flag_change(listen)
            await one.start_auto_refresh()
            await eventually(lambda: one.status.push == "stream")
            assert one.flag(name) is True
            await asyncio.to_thread(desk.change, flag, is_enabled=False)
            await eventually(lambda: heard == [{name}])
            assert one.flag(name) is False
            with one.snapshot() as moment:
                assert (moment.flag(name), moment.get("n")) == (False, 1)

    asyncio.run(main())


def test_more_flags_than_are_compiled_at_once(desk, aclient, monkeypatch):
    """In a thread, then; what comes out is the same."""
    desk.write(n=1)
    monkeypatch.setattr("configsync._flag_loading.MOST_AT_ONCE", 0)
    name = desk.name("checkout")
    desk.flag(name)

    async def main() -> None:
        async with aclient() as one:
            assert one.flag(name) is True

    asyncio.run(main())


def test_a_key_sees_its_flags_only(desk, client, follow):
    desk.write(n=1)
    seen, other = f"web.{desk.service}", f"app.{desk.service}"
    desk.flag(other, description="of nobody's business")
    needing = [{"flag": other, "variant": "on"}]
    flag = desk.flag(seen, prerequisites=needing)
    one = follow(api_key=desk.key("read", flags=["web.*"]))
    assert one.flag(seen) is True
    assert one.flag_details(other).error == "FLAG_NOT_FOUND"
    assert {name.partition(".")[0] for name in one.flags()} == {"web"}
    desk.change(flag, is_enabled=False)
    until(lambda: one.flag(seen) is False, "a change of its flag reaches it")


def test_a_key_without_flags_has_its_config(desk, client):
    desk.write(n=1)
    name = desk.name("checkout")
    desk.flag(name)
    with client(api_key=desk.key("read", flags=["none.*"])) as one:
        assert (one.get("n"), one.flags()) == (1, {})
        assert one.flag_details(name, default=True).error == "FLAG_NOT_FOUND"


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (403, "outside_scope")])
def test_a_server_that_gives_no_flags(wrong, stack, status, code):
    server = Impostor(n=1)
    server.flags_refused = (status, code)
    one = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    stack.callback(one.close)
    one.initialize()
    assert one.get("n") == 1
    assert (one.flag_details("a").error, one.status.error) == ("PROVIDER_NOT_READY", None)
    assert code in one.status.flags
    server.set(2, n=2)
    server.flags_refused, server.flags = None, {"a": {}}
    one.refresh()
    assert (one.get("n"), one.flag("a"), one.status.flags) == (2, True, None)
    server.flags_refused = (status, code)
    server.set(3, n=3)
    one.refresh()
    assert (one.get("n"), one.flag("a")) == (3, True)
    assert code in one.status.flags


def test_without_an_environment_there_are_none(desk, client):
    desk.write(None, n=1)
    with client(environment=None) as one:
        assert one.get("n") == 1
        assert one.flag_details("a").error == "PROVIDER_NOT_READY"
        assert "environment" in one.status.flags


def test_what_was_changed_together_is_seen_together(desk, follow):
    desk.write(n=0)
    name = desk.name("number")
    steps = 12
    variants = {f"v{number}": number for number in range(steps + 1)}
    desk.flag(
        *(name, "development"),
        type="number",
        variants=variants,
        default_variant="v0",
        off_variant="v0",
    )
    one = follow()
    seen: set[tuple[int, int]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.001):
            with one.snapshot() as moment:
                seen.add((moment.require("n"), moment.flag(name, default=-1)))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, steps + 1):
            flag = {"flag": name, "op": "set", "default_variant": f"v{number}"}
            key = {"service": desk.service, "key": "n", "op": "set", "value": number}
            both = [{**change, "environment": "development"} for change in (flag, key)]
            desk.post("/api/v1/changes", {"changes": both})
        until(lambda: (steps, steps) in seen, "the last state is seen")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 2
    assert {config - found for config, found in seen} == {0}


class Moving(Impostor):
    """Takes another config and other flags at each call, for some time."""

    def __init__(self, times: int) -> None:
        super().__init__(n=1)
        self.times = times
        self.move(0)

    def move(self, by: int) -> None:
        number = self.head + by
        self.set(number, n=number)
        self.flags = {"n": {"type": "number", "variants": {"v": number}}}

    def __call__(self, handler) -> None:
        self.times -= 1
        if self.times >= 0:
            self.move(1)
        super().__call__(handler)


@pytest.mark.parametrize(("times", "calls"), [(1, 2), (2, 3), (3, 4), (9, 10), (1_000, 10)])
def test_a_server_that_moves_on_between_two_calls(wrong, stack, times, calls):
    server = Moving(times)
    one = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    stack.callback(one.close)
    one.initialize()
    assert len(server.asked) == calls
    with one.snapshot() as moment:
        apart = moment.flag("n", default=0) - moment.require("n")
        assert apart == (times == 1_000)


def test_a_server_that_goes_away_between_two_calls(wrong, stack):
    """Both stay as they were, rather than one of them being newer."""
    server = Moving(0)
    one = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    stack.callback(one.close)
    one.initialize()
    server.move(1)
    server.flags_refused = (503, "unavailable")
    with pytest.raises(TryAgain):
        one.refresh()
    assert (one.get("n"), one.flag("n", default=0)) == (1, 1)
    server.flags_refused = None
    one.refresh()
    assert (one.get("n"), one.flag("n", default=0)) == (2, 2)


def test_a_flag_of_a_newer_server(wrong, stack, caplog):
    server = Impostor(n=1)
    when = {"attribute": "a", "op": "resembles", "value": "b"}
    server.flags = {
        "new": {"rules": [rule(when=when)]},
        "needing": {"prerequisites": [{"flag": "new", "variant": "on"}]},
        "old": {},
    }
    one = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    stack.callback(one.close)
    one.initialize()
    one.refresh()
    assert one.flag("old") is True
    assert one.flags() == {"old": True}
    for name in ("new", "needing"):
        assert one.flag(name, default=True) is True
        assert one.flag_details(name).error == "PARSE_ERROR"
        said = [record for record in caplog.records if f"The flag {name} " in record.message]
        assert len(said) == 1
    server.flags = {"old": []}
    server.set(2, n=2)
    one.refresh()
    assert one.flag_details("old", default=True).error == "PARSE_ERROR"


@pytest.mark.parametrize("document", [[], {"flags": []}, {"flags": {}, "segments": {}}])
def test_flags_that_are_none(wrong, stack, document):
    server = Impostor(n=1)
    server.flags = {}
    good = server.tell_flags
    one = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    stack.callback(one.close)
    server.tell_flags = lambda handler: reply(  # type: ignore[method-assign]
        handler, 200, json.dumps(document).encode(), "application/json"
    )
    with suppress(ServerUnreachable):
        one.initialize()
    assert one.get("n") == 1
    assert "not that of a ConfigSync server" in str(one.status.flags)
    server.tell_flags = good  # type: ignore[method-assign]
    one.refresh()
    assert one.status.flags is None


def test_flags_go_on_without_their_server(stage, client):
    server = stage.server(API_KEY=KEY)
    with Desk(server.url, "orphan") as desk:
        desk.write(n=1)
        desk.flag("checkout", target_users=["eve"], rollout_percentage=0)
        one = SyncConfigClient(**desk.options)
        limited = SyncConfigClient(**desk.options, max_stale=3600)
        with one, limited:
            one.start_auto_refresh()
            until(lambda: one.status.push == "stream", "events come through")
            server.kill()
            until(lambda: one.status.error, "the client notices before its interval", seconds=30)
            assert (one.flag("checkout", "eve"), one.flag("checkout", "bob")) == (True, False)
            assert limited.flag("checkout", "eve") is True
            limited._state.flags_confirmed -= 7200
            with pytest.raises(TooStale):
                limited.flag("checkout", "eve")


def test_a_restart_with_a_cache(desk, client, tmp_path, caplog):
    desk.write(n=1)
    name, segment = desk.name("checkout"), desk.name("beta")
    desk.post("/api/v1/segments", {"name": segment, "included": ["cleopatra"]})
    rules = [
        rule(when={"attribute": "user_id", "op": "in", "values": ["nefertiti"]}),
        rule(id="s", when={"segment": segment}),
    ]
    flag = desk.flag(name, rules=rules)
    options = {"cache_dir": tmp_path / "cache", "workspace": "default"}
    with client(**options) as one:
        assert [one.flag(name, who) for who in ("nefertiti", "cleopatra", "eve")] == [
            *(True, True, False)
        ]
        held = json.dumps(one._now.ruled.document)
    [file] = (tmp_path / "cache").iterdir()
    for people in ("nefertiti", "cleopatra"):
        assert people not in held
        assert people not in file.read_text()
    again = client(**options)
    object.__setattr__(again._state.options, "base_url", f"http://127.0.0.1:{free_port()}/api/v1")
    again.initialize()
    assert again.source == "cache"
    assert (again.flag(name, "nefertiti"), again.flag(name, "eve")) == (True, False)
    object.__setattr__(again._state.options, "base_url", f"{desk.url}/api/v1")
    desk.change(flag, is_enabled=False)
    again.refresh()
    assert (again.source, again.flag(name, "nefertiti")) == ("server", False)
    envelope = json.loads(file.read_text())
    assert envelope["encrypted"] is False


def test_a_rejected_config_does_not_hold_up_flags(desk, follow):
    """A flag may have to be switched off at once."""
    desk.write(n=1)
    name = desk.name("checkout")
    flag = desk.flag(name)
    one = follow()
    bound = one.bind(Model)
    desk.write(n="no number")
    until(lambda: one.status.rejected, "the config is rejected")
    desk.change(flag, is_enabled=False)
    until(lambda: one.flag(name) is False, "the flag is off")
    assert (bound.current.n, one.get("n")) == (1, 1)


def test_a_config_that_is_gone_does_not_hold_up_flags(desk, follow):
    """Nor one that may no longer be read."""
    desk.write(n=1)
    name = desk.name("checkout")
    flag = desk.flag(name)
    one = follow()
    where = {"service": desk.service, "environment": "development"}
    assert desk.http.request("DELETE", "/config/delete", params=where).is_success
    until(lambda: one.status.error, "it is told that the config is gone")
    desk.change(flag, is_enabled=False)
    until(lambda: one.flag(name) is False, "the flag is off")
    assert "config_not_found" in one.status.error
    assert one.get("n") == 1
    desk.write(n=2)
    until(lambda: one.get("n") == 2, "the config is there again")
    until(lambda: one.status.error is None, "all is well")


def test_flags_that_are_given(configsync_static):
    heard: list[frozenset[str]] = []
    configsync_static.on_flag_change(heard.append)
    configsync_static.set({"a": 1}, flags={"checkout": True, "limits": {"n": [1]}})
    assert configsync_static.flag("checkout") is True
    assert configsync_static.flag("limits", default={}) == {"n": (1,)}
    with configsync_static.override(flags={"checkout": "text"}) as inner:
        assert (inner.flag("checkout", default=""), inner.get("a")) == ("text", 1)
        assert inner.flag("checkout") is False
        assert inner.flags() == {"checkout": "text", "limits": {"n": (1,)}}
    assert configsync_static.flag("checkout", "eve", {"a": 1}) is True
    assert configsync_static.flag_details("none").error == "FLAG_NOT_FOUND"
    assert heard == [{"checkout", "limits"}, {"checkout"}, {"checkout"}]
    assert StaticClient(flags={"a": 5}).flag("a", default=0) == 5


def test_children_have_flags_and_counts_of_their_own(desk, tmp_path):
    desk.write(n=1)
    name = desk.name("checkout")
    flag = desk.flag(name)
    code = f"""
import os, sys, time
from configsync import SyncConfigClient
client = SyncConfigClient(); client.initialize(); client.start_auto_refresh()
assert client.flag({name!r})
pid = os.fork()
assert client.flag({name!r})
while client.flag_details({name!r}).variant == "on":
    if client.status.push == "stream":
        open(f"{{sys.argv[1]}}/{{os.getpid()}}", "w").close()
    time.sleep(0.02)
print(sum(one["count"] for one in client._state.usage.report().counts if one["variant"] == "off"))
if pid:
    assert os.waitpid(pid, 0)[1] == 0
client.close()
"""
    signs = tmp_path / "signs"
    signs.mkdir()
    command = [sys.executable, "-c", code, str(signs)]
    with running(command, tmp_path, environment(desk.options)) as process:
        until(lambda: len([*signs.iterdir()]) == 2 or process.popen.poll(), "both listen")
        desk.change(flag, is_enabled=False)
        assert process.wait() == 0, process.text()
        assert process.text().split() == ["1", "1"]


WITHOUT = """
import sys
sys.modules.update(mmh3=None, re2=None)
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("mmh3", "re2") else find(name)
from configsync import FlagsNotInstalled, StaticClient, SyncConfigClient
with SyncConfigClient() as client:
    print(client.get("n"), client.status.flags)
    for ask in (client.flag, client.flag_details, client.snapshot().flag):
        try:
            ask("a")
        except FlagsNotInstalled as error:
            assert "pip install 'configsync[flags]'" in str(error)
        else:
            raise AssertionError
    client.start_auto_refresh()
    while client.status.push != "stream":
        pass
print(StaticClient(flags={"a": True}).flag("a"))
"""


def test_without_the_extra_all_but_flags_works(desk):
    desk.write(n=1)
    done = run(WITHOUT, desk.options)
    said = "1 flags need an extra: pip install 'configsync[flags]'"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{said}\nTrue\n", "")
