"""The last known good config on disk, and the fallback file."""

import json
import logging
import math
import os
import shutil
import stat

import pytest
from configsync import (
    AuthenticationError,
    InvalidConfig,
    KeyMissing,
    ServerUnreachable,
    SyncConfigClient,
    TooStale,
)
from configsync._cache import Cache

from tests.processes import free_port
from tests.sdk.desk import KEY
from tests.sdk.impostor import Impostor

NOWHERE = f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def away(stack, place):
    """Make clients of an impostor that has gone away, leaving a cache behind."""

    def make(**options):
        made = SyncConfigClient(
            **{"base_url": NOWHERE, "app_id": "app", "api_key": KEY, "cache_dir": place} | options
        )
        stack.callback(made.close)
        return made

    return make


def leave(client, wrong, secrets=(), **config):
    """Have a client load a config as if from the server that is not there."""
    server = Impostor(**config)
    server.answer["secrets"] = [*secrets]
    url = wrong(server)
    options = client._state.options
    object.__setattr__(options, "base_url", f"{url}/api/v1")
    client.initialize()
    object.__setattr__(options, "base_url", f"{NOWHERE}/api/v1")


def test_an_application_starts_while_the_server_is_away(away, place, wrong):
    leave(away(), wrong, database={"host": "db1"}, names=["a"])
    [file] = place.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    one = away()
    one.initialize()
    assert (one.get("database.host"), one.get("names")) == ("db1", ("a",))
    assert (one.source, one.revision) == ("cache", 1)
    assert one.staleness < 60
    assert "cannot be reached" in one.status.error


@pytest.mark.parametrize(
    "options",
    [
        {"app_id": "other"},
        {"environment": "production"},
        {"api_key": KEY + "x"},
        {"workspace": "other"},
        {"base_url": "http://127.0.0.1:1"},
    ],
)
def test_the_cache_is_of_one_application(away, place, wrong, options, caplog):
    leave(away(), wrong, n=1)
    with pytest.raises(ServerUnreachable):
        away(**options).initialize()
    other = away(**options)
    [file] = place.iterdir()
    shutil.copy(file, other._engine._cache.file)
    with pytest.raises(ServerUnreachable):
        other.initialize()
    assert "of another application" in caplog.text


def damaged(text):
    envelope = json.loads(text)
    envelope["content"] = envelope["content"].replace("db1", "db2")
    return json.dumps(envelope)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:-20], "cannot be read"),
        (lambda _: "", "cannot be read"),
        (lambda _: "[1]", "cannot be read"),
        (lambda _: "\x00\xff", "cannot be read"),
        (damaged, "it is damaged"),
        (lambda text: json.dumps(json.loads(text) | {"format": 2, "new": 1}), "another version"),
    ],
)
def test_files_that_are_not_used(away, place, wrong, caplog, change, says):
    leave(away(), wrong, database={"host": "db1"})
    [file] = place.iterdir()
    file.write_text(change(file.read_text()))
    with pytest.raises(ServerUnreachable):
        away().initialize()
    assert says in caplog.text
    assert "db1" not in caplog.text
    leave(away(), wrong, database={"host": "db3"})
    one = away()
    one.initialize()
    assert one.get("database.host") == "db3"


def test_files_that_others_can_write_are_not_used(away, place, wrong, caplog):
    leave(away(), wrong, n=1)
    [file] = place.iterdir()
    file.chmod(0o644)
    with pytest.raises(ServerUnreachable):
        away().initialize()
    assert "others may read or write it" in caplog.text
    file.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(file, 12345, -1)
        with pytest.raises(ServerUnreachable):
            away().initialize()
        assert "belongs to somebody else" in caplog.text
        os.chown(file, 0, -1)
    target = place / "elsewhere"
    file.rename(target)
    file.symlink_to(target)
    with pytest.raises(ServerUnreachable):
        away().initialize()


def test_a_directory_that_others_can_write_is_not_used(away, place, wrong, caplog):
    place.mkdir()
    place.chmod(0o777)
    leave(away(), wrong, n=1)
    assert "others may write there" in caplog.text
    assert [*place.iterdir()] == []


@pytest.mark.parametrize("where", ["/proc/configsync", "/dev/null/configsync", "/dev/full/x"])
def test_a_directory_that_cannot_be_written(away, wrong, caplog, where):
    one = away(cache_dir=where)
    leave(one, wrong, n=1)
    assert one.get("n") == 1
    assert "cannot be kept" in caplog.text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_full_disk(away, place, wrong, caplog, monkeypatch):
    leave(away(), wrong, n=1)
    number = os.open("/dev/full", os.O_WRONLY)  # every write there fails as on a full disk
    real = os.fdopen
    monkeypatch.setattr("os.fdopen", lambda _, *more: real(os.dup(number), *more))
    one = away()
    with monkeypatch.context():
        Cache.save(one._engine._cache, kept())
    os.close(number)
    monkeypatch.undo()
    assert "No space left" in caplog.text
    assert len([*place.iterdir()]) == 1
    one.initialize()
    assert one.get("n") == 1


def kept():
    from configsync._cache import Kept  # noqa: PLC0415

    return Kept({"n": 2}, (), "v", 1, "e", 1, 0.0)


def test_secrets_stay_out_of_the_cache(away, place, wrong):
    secrets = ["db.password", "list.0.token"]
    config = {
        "db": {"password": "s3cret", "host": "db1"},
        "list": [{"token": "t0ken", "n": 1}],
        "n": 1,
    }
    one = away()
    leave(one, wrong, secrets, **config)
    assert one.get("db.password") == "s3cret"
    [file] = place.iterdir()
    assert "s3cret" not in file.read_text()
    assert "t0ken" not in file.read_text()
    two = away()
    two.initialize()
    assert (two.get("db.password"), two.get("db.host")) == (None, "db1")
    assert two.get_list("list") == ({"n": 1},)
    with pytest.raises(KeyMissing, match=r"'db\.password' is a secret, which the cache"):
        two.require("db.password")


def test_secrets_are_encrypted_if_asked_for(away, place, wrong, caplog):
    leave(
        away(cache_secrets="a passphrase"), wrong, ["password"], password="s3cret", host="postgres"
    )
    [file] = place.iterdir()
    assert "s3cret" not in file.read_text()
    assert "postgres" not in file.read_text()
    one = away(cache_secrets="a passphrase")
    one.initialize()
    assert one.require("password") == "s3cret"
    for other, says in (("another one", "does not open it"), (None, "no cache_secrets")):
        with pytest.raises(ServerUnreachable):
            away(cache_secrets=other).initialize()
        assert says in caplog.text


def test_a_refused_key_starts_from_the_cache_alone(away, place, wrong, tmp_path, caplog):
    leave(away(), wrong, n=1)
    server = Impostor(n=1)
    server.refuses = (401, "invalid_key")
    url = wrong(server)
    fallback = tmp_path / "fallback.json"
    fallback.write_text('{"n": 0}')
    with pytest.raises(AuthenticationError):
        away(base_url=url, fallback_file=fallback).initialize()
    one = away()
    object.__setattr__(one._state.options, "base_url", f"{url}/api/v1")
    one.initialize()
    assert (one.get("n"), one.source) == (1, "cache")
    assert "invalid_key" in one.status.error
    assert [one for one in caplog.records if one.levelno == logging.ERROR]


@pytest.mark.parametrize(
    ("name", "text"), [("f.json", '{"a": {"b": [1]}}'), ("f.toml", "[a]\nb = [1]\n")]
)
def test_the_fallback_file(away, tmp_path, wrong, name, text):
    file = tmp_path / name
    file.write_text(text)
    one = away(fallback_file=file)
    one.initialize()
    assert (one.get("a.b"), one.source, one.version) == ((1,), "fallback", "")
    leave(away(), wrong, n=1)
    two = away(fallback_file=file)
    two.initialize()
    assert two.source == "cache"


def test_a_fallback_is_nothing_that_the_server_confirmed(away, tmp_path, wrong):
    file = tmp_path / "fallback.json"
    file.write_text('{"n": 0}')
    one = away(fallback_file=file, max_stale=1000)
    assert one.staleness == math.inf
    one.initialize()
    assert (one.get("n"), one.staleness) == (0, math.inf)
    one._state.started -= 1001
    with pytest.raises(TooStale, match="never confirmed this config"):
        one.get("n")
    object.__setattr__(one._state.options, "base_url", f"{wrong(Impostor(n=1))}/api/v1")
    one.refresh()
    assert one.get("n") == 1
    assert one.staleness < 1000


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_fallback_files_that_are_none(away, tmp_path, text, caplog):
    file = tmp_path / "fallback.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ServerUnreachable):
        away(fallback_file=file).initialize()
    assert "There is no fallback" in caplog.text


def test_a_cache_that_does_not_fit_the_model(away, wrong, tmp_path):
    from dataclasses import dataclass  # noqa: PLC0415

    @dataclass
    class Needs:
        host: str

    leave(away(), wrong, n=1)
    one = away()
    one.bind(Needs)
    with pytest.raises(ServerUnreachable):
        one.initialize()
    two = away()
    two.initialize()
    with pytest.raises(InvalidConfig, match=r"host \(missing\)"):
        two.bind(Needs)
