"""dump and load: the whole store as one file, checked before anything changes."""

import json
import shutil
import stat
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core import db
from app.launcher import store
from app.launcher.store import StoreError
from tests.client import PASSWORD, login, register
from tests.conftest import copy_template, environment, execute, url_of
from tests.processes import KEYS, Stage, rows

STATE = (
    "SELECT (SELECT array_agg(epoch ORDER BY id) FROM epochs), "
    "(SELECT array_agg(username ORDER BY id) FROM users), "
    "(SELECT array_agg(content ORDER BY id) FROM versions), "
    "(SELECT array_agg(action ORDER BY id) FROM events), "
    "(SELECT count(*) FROM event_pending)"
)


@pytest.fixture
def other() -> Iterator[str]:
    """Give a second migrated and empty database."""
    name = f"test_{uuid.uuid4().hex}"
    copy_template(name)
    yield url_of(name)
    execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def dumped(stage: Stage, database: str) -> Path:
    """Fill the database through a server, and dump it."""
    server = stage.server(DATABASE_URL=database, **KEYS)
    with server.client() as client:
        ada, bob = register(client, "ada"), register(client, "bob")
        for number in range(3):
            text = f'{{"name":"billing","config":{{"z":1e2,"n":{number},"a":"ä\\t\\n"}}}}'
            kind = {"Content-Type": "application/json"}
            written = ada.request("POST", "/config/update", content=text, headers=kind)
            assert written.status_code == 200, server.text()[-3000:]
            assert written.json()["version"] == number + 1
        ada.update("_global", {"region": "eu"})
        bob.update("mail", {"host": "mx"})
        bob.request("DELETE", "/config/delete", params={"service": "mail"})
    server.end()
    file = stage.place / "store.dump"
    done = stage.run("dump", str(file), DATABASE_URL=database)
    assert done.returncode == 0, done.stderr
    assert "keep it safe" in done.stderr
    return file


def test_round_trip(stage, database, dumped, other):
    assert stat.S_IMODE(dumped.stat().st_mode) == 0o600
    assert not list(stage.place.glob(".store.dump*"))
    done = stage.run("load", str(dumped), DATABASE_URL=other)
    assert done.returncode == 0, done.stderr
    before, after = rows(database, STATE)[0], rows(other, STATE)[0]
    assert after[0][:-1] == before[0]
    assert after[0][-1] not in before[0]
    assert after[1:4] == before[1:4]
    server = stage.server(DATABASE_URL=other, **KEYS)
    with server.client() as client:
        ada = login(client, "ada")
        got = ada.get("/config/get", service="billing")
        assert '"config":{"z":1e2,"n":2,"a":"ä\\t\\n"}' in got.text
        assert got.headers["x-configsync-revision"] == f"{after[0][-1]}-4"
        written = ada.update("billing", {"n": 3}).json()
        assert (written["version"], written["revision"]) == (4, 5)
        new = ada.update("orders", {"new": True}).json()
        assert (new["version"], new["revision"]) == (1, 6)
        register(client, "carol")
        bob = login(client, "bob", PASSWORD)
        restored = bob.request("POST", "/config/restore", params={"service": "mail"}).json()
        assert (restored["version"], restored["config"]) == (3, {"host": "mx"})
    gaps = "SELECT workspace_id FROM revisions WHERE n > 0 GROUP BY 1 HAVING count(*) <> max(n)"
    assert rows(other, gaps) == []


def test_a_store_in_use_is_replaced_only_on_request(stage, database, dumped):
    before = rows(database, STATE)
    done = stage.run("load", str(dumped), DATABASE_URL=database)
    assert (done.returncode, done.stderr) == (
        1,
        "This store is in use. To replace all of it, say --replace.\n",
    )
    assert rows(database, STATE) == before
    done = stage.run("load", str(dumped), "--replace", DATABASE_URL=database)
    assert done.returncode == 0, done.stderr
    assert rows(database, STATE)[0][1:4] == before[0][1:4]


def test_embedded_dump_beside_the_running_server_and_load(stage):
    server = stage.server()
    file = stage.place / "embedded.dump"
    with server.client() as client:
        register(client, "ada").update("billing", {"a": 1})
        assert stage.run("dump", str(file)).returncode == 0
    server.end()
    shutil.rmtree(stage.place / "data/postgres")
    done = stage.run("load", str(file))
    assert done.returncode == 0, done.stderr
    again = stage.server()
    assert "Password:" not in again.text()
    with again.client() as client:
        got = login(client, "ada").get("/config/get", service="billing").json()
    assert got["config"] == {"a": 1}


def rewrite(source: Path, target: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.replace(".", "_"), old.read(name)))
    return target


def manifest(file: Path, **changes) -> bytes:
    with zipfile.ZipFile(file) as bundle:
        return json.dumps(json.loads(bundle.read("manifest.json")) | changes).encode()


def damaged(file: Path, place: Path) -> Iterator[tuple[str, Path]]:
    whole = file.read_bytes()
    bad = place / "bad"
    for name, content in {
        "truncated": whole[: len(whole) * 2 // 3],
        "empty": b"",
        "text": b"no dump at all",
    }.items():
        bad.write_bytes(content)
        yield name, bad
    with zipfile.ZipFile(bad, "w") as foreign:
        foreign.writestr("something", "else")
    yield "foreign", bad
    for name, member in {
        "another migration": manifest(file, migration="0000"),
        "another format": manifest(file, format=99),
        "no tables": manifest(file, tables=None),
        "a list": b"[]",
        "not JSON": b"{",
    }.items():
        yield name, rewrite(file, bad, manifest_json=member)
    yield "another content", rewrite(file, bad, users=b"1\tx\n")
    yield "missing", place / "nowhere"


def test_what_is_not_a_whole_dump_is_refused_and_changes_nothing(stage, database, dumped):
    before = rows(database, STATE)
    with environment(DATABASE_URL=database):
        for name, bad in damaged(dumped, stage.place):
            with pytest.raises(StoreError) as refused:
                store.load(bad, replace=True)
            assert str(refused.value), name
            assert rows(database, STATE) == before, name
        db.dispose_engines()
    done = stage.run("load", str(stage.place / "bad"), "--replace", DATABASE_URL=database)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert rows(database, STATE) == before


def test_no_flipped_byte_is_loaded_as_something_else(stage, database, dumped):
    before = rows(database, STATE)[0]
    whole = dumped.read_bytes()
    bad = stage.place / "flipped"
    refused = 0
    with environment(DATABASE_URL=database):
        for place in range(0, len(whole), max(1, len(whole) // 150)):
            flipped = bytearray(whole)
            flipped[place] ^= 0x10
            bad.write_bytes(flipped)
            try:
                store.load(bad, replace=True)
            except StoreError:
                refused += 1
            assert rows(database, STATE)[0][1:4] == before[1:4], place
    assert refused > 75


def test_a_dump_that_fails_leaves_the_old_file(stage, database, dumped):
    old = dumped.read_bytes()
    done = stage.run("dump", str(dumped), DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert dumped.read_bytes() == old
    assert not list(stage.place.glob(".store.dump*"))
