"""`edit`: the editor, others who write meanwhile, and nothing that is lost."""

import json
import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.cli.prompt import KEY, Cli

EDITOR = """
import json, os, sys, urllib.request
from pathlib import Path

file = Path(sys.argv[1])
turn = Path(os.environ["TURN"])
number = int(turn.read_text()) if turn.exists() else 0
turn.write_text(str(number + 1))
(turn.parent / f"seen-{number}").write_text(file.read_text())
assert file.parent.stat().st_mode & 0o077 == 0, "others can read it"
exec(json.loads(os.environ["TURNS"])[number])
"""
WRITE = "file.write_text({!r})"
MEANWHILE = """
request = urllib.request.Request(os.environ["CONFIGSYNC_URL"] + "/config/" + os.environ["SERVICE"],
    json.dumps({{"config": {!r}}}).encode(),
    {{"X-API-Key": os.environ["CONFIGSYNC_API_KEY"], "Content-Type": "application/json"}})
urllib.request.urlopen(request).read()
"""


class Editor:
    """An editor that does one thing each time that it is opened."""

    def __init__(self, cli: Cli, service: str, *turns: str) -> None:
        self.place = cli.home / "editor"
        self.place.mkdir()
        (self.place / "editor.py").write_text(EDITOR)
        (self.place / "tmp").mkdir()
        cli.env |= {
            "EDITOR": f"{sys.executable} {self.place / 'editor.py'}",
            "TURN": str(self.place / "turn"),
            "TURNS": json.dumps(turns),
            "SERVICE": service,
            "TMPDIR": str(self.place / "tmp"),
        }

    def seen(self, number: int) -> str:
        return (self.place / f"seen-{number}").read_text()

    @property
    def left(self) -> list[Path]:
        return [one for one in (self.place / "tmp").rglob("*") if one.is_file()]


@pytest.fixture
def stored(api, service):
    def read(environment=None):
        query = {"service": service} | ({"environment": environment} if environment else {})
        return api.get("/config/get", params=query).json()

    return read


def seed(api, service, config):
    api.post(f"/config/{service}", json={"config": config}).raise_for_status()


def written(config) -> str:
    return WRITE.format(json.dumps(config))


def test_what_is_saved_in_the_editor_is_stored(cli, api, service, stored):
    seed(api, service, {"a": 1})
    editor = Editor(cli, service, written({"a": 2}))
    said = cli("edit", "-s", service, "-m", "by hand").ok()
    assert "saved as version 2" in said.err
    assert editor.seen(0) == '{\n  "a": 1\n}\n'
    assert stored()["config"] == {"a": 2}
    history = api.get(f"/config/{service}/history").json()["versions"]
    assert history[0]["message"] == "by hand"
    assert editor.left == []


def test_a_new_document_begins_empty(cli, service, stored):
    editor = Editor(cli, service, written({"a": 1}))
    cli("edit", "-s", service, "-e", "staging").ok()
    assert editor.seen(0) == "{}\n"
    assert stored("staging")["config"] == {"a": 1}


def test_nothing_changed_is_nothing_saved(cli, api, service, stored):
    seed(api, service, {"a": 1})
    editor = Editor(cli, service, "pass")
    assert "Nothing to save" in cli("edit", "-s", service).ok().err
    assert stored()["version"] == 1
    assert editor.left == []


def test_secrets_stay_secrets(cli, api, service):
    seed(api, service, {"password": {"$secret": "hunter2"}, "a": 1})
    turn = "file.write_text(file.read_text().replace('\"a\": 1', '\"a\": 2'))"
    editor = Editor(cli, service, turn)
    cli("edit", "-s", service).ok()
    assert "hunter2" not in editor.seen(0)
    assert api.get(f"/config/{service}").json()["config"] == {"password": "hunter2", "a": 2}


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON object"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"p": {"$secret": 7}}', "secret"),
    ],
)
def test_what_cannot_be_saved_is_kept_and_named(cli, api, service, stored, typed, why):
    seed(api, service, {"a": 1})
    editor = Editor(cli, service, WRITE.format(typed))
    said = cli("edit", "-s", service)
    assert said.failed(1)
    assert said.err.count(why) >= 1
    assert said.err.count("not JSON") <= 1
    [kept] = editor.left
    assert str(kept) in said.err
    assert kept.read_text() == typed
    assert stored()["version"] == 1


def test_at_a_terminal_the_editor_opens_again(cli, api, service, stored):
    seed(api, service, {"a": 1})
    editor = Editor(cli, service, WRITE.format("{"), written({"a": 3}))
    terminal = cli.terminal("edit", "-s", service)
    terminal.expect("Edit again")
    terminal.sendline("y")
    terminal.expect("saved as version 2")
    terminal.expect(pexpect.EOF)
    assert editor.seen(1) == "{"
    assert stored()["config"] == {"a": 3}
    assert editor.left == []


def test_another_edit_elsewhere_in_the_document_is_merged(cli, api, service, stored):
    seed(api, service, {"a": 1, "b": {"c": 1, "d": 1}})
    mine = written({"a": 1, "b": {"c": 2, "d": 1}})
    theirs = {"a": 1, "b": {"c": 1, "d": 9}, "e": True}
    Editor(cli, service, MEANWHILE.format(theirs) + mine)
    said = cli("edit", "-s", service).ok()
    assert "merged with version 2 by key:bootstrap" in said.err
    assert stored()["config"] == {"a": 1, "b": {"c": 2, "d": 9}, "e": True}
    assert stored()["version"] == 3


def test_contradictions_are_shown_and_decided(cli, api, service, stored):
    seed(api, service, {"a": 1, "b": {"c": 1}})
    theirs = {"a": 1, "b": {"c": 3}}
    editor = Editor(
        cli,
        service,
        MEANWHILE.format(theirs) + written({"a": 2, "b": {"c": 2}}),
        written({"a": 2, "b": {"c": 4}}),
    )
    said = cli("edit", "-s", service).ok()
    assert "changed the same values" in said.err
    assert editor.seen(1) == (
        '{\n  "a": 2,\n  "b": {\n'
        "<<<<<<< yours\n"
        '    "c": 2\n'
        "||||||| version 1\n"
        '    "c": 1\n'
        "=======\n"
        '    "c": 3\n'
        ">>>>>>> version 2 by key:bootstrap\n"
        "  }\n}\n"
    )
    assert stored()["config"] == {"a": 2, "b": {"c": 4}}


def test_undecided_contradictions_are_not_saved(cli, api, service, stored):
    seed(api, service, {"a": 1})
    Editor(cli, service, MEANWHILE.format({"a": 3}) + written({"a": 2}), "pass")
    said = cli("edit", "-s", service)
    assert said.code == 5
    [kept] = re.findall(r"kept in (\S+)", said.err)
    assert '"a": 2' in Path(kept).read_text()
    assert stored()["config"] == {"a": 3}


def test_a_document_that_was_deleted_meanwhile_is_not_made_again(cli, api, service):
    seed(api, service, {"a": 1})
    delete = (
        "request = urllib.request.Request(os.environ['CONFIGSYNC_URL'] + '/config/delete?service='"
        " + os.environ['SERVICE'], method='DELETE',"
        " headers={'X-API-Key': os.environ['CONFIGSYNC_API_KEY']})\n"
        "urllib.request.urlopen(request).read()\n"
    )
    editor = Editor(cli, service, delete + written({"a": 2}))
    said = cli("edit", "-s", service)
    assert said.code == 5
    assert [one.read_text() for one in editor.left] == ['{"a": 2}']


def test_an_editor_that_fails_saves_nothing(cli, api, service, stored):
    seed(api, service, {"a": 1})
    editor = Editor(cli, service, written({"a": 2}) + "\nsys.exit(3)")
    assert "ended with status 3" in cli("edit", "-s", service).failed(1)
    assert stored()["version"] == 1
    assert len(editor.left) == 1
    assert "Set EDITOR" in cli("edit", "-s", service, EDITOR="/nowhere/vi").failed(1)


@pytest.mark.parametrize(
    ("turn", "left"),
    [
        ("file.unlink()", []),
        ("file.write_text('typed'); file.rename(f'{file}.new')", ["typed"]),
        ("file.unlink(); file.mkdir(); (file / 'inner').write_text('typed')", ["typed"]),
        ("(file.parent / 'other').write_text('typed')", ["typed"]),
        ("file.write_text('[' * 5000)", ["[" * 5000]),
    ],
)
def test_an_editor_that_does_more_than_write_loses_nothing(cli, api, service, stored, turn, left):
    seed(api, service, {"a": 1})
    editor = Editor(cli, service, turn)
    said = cli("edit", "-s", service)
    assert "Traceback" not in said.err
    texts = [one.read_text() for one in editor.left]
    assert [one for one in texts if one != '{\n  "a": 1\n}\n'] == left
    assert bool(left) == (f"kept in {editor.place / 'tmp'}" in said.err)
    assert ("nested too deeply" in said.err) == ("5000" in turn)
    assert said.code == (0 if "other" in turn else 1)
    assert stored()["version"] == 1


def test_a_server_that_is_gone_loses_nothing(cli, api, service, stored):
    """The credential is taken away while the editor is open."""
    seed(api, service, {"a": 1})
    made = api.post(
        "/api/v1/api-keys",
        json={"name": "short", "scopes": {"actions": ["read", "write"]}},
    ).json()
    revoke = (
        "request = urllib.request.Request("
        f"os.environ['CONFIGSYNC_URL'] + '/api/v1/api-keys/{made['id']}',"
        f" method='DELETE', headers={{'X-API-Key': {KEY!r}}})\n"
        "urllib.request.urlopen(request).read()\n"
        "import time\n"
        "while True:\n"
        "    try:\n"
        "        ask = urllib.request.Request(os.environ['CONFIGSYNC_URL'] + '/environments',"
        " headers={'X-API-Key': os.environ['CONFIGSYNC_API_KEY']})\n"
        "        urllib.request.urlopen(ask).read()\n"
        "    except urllib.error.HTTPError:\n"
        "        break\n"
        "    time.sleep(0.05)\n"
    )
    editor = Editor(cli, service, revoke + written({"a": 2}))
    said = cli("edit", "-s", service, CONFIGSYNC_API_KEY=made["key"])
    said.failed(4)
    [kept] = editor.left
    assert str(kept) in said.err
    assert kept.read_text() == '{"a": 2}'
    assert stored()["config"] == {"a": 1}
