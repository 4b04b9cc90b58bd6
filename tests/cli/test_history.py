"""`diff`, `history`, `rollback`, `watch`."""

import json
import signal

import pexpect
import pytest
from configsync.cli.watching import described

from tests.cli.prompt import Cli


@pytest.fixture
def versions(cli: Cli, service):
    cli("set", "key", "1", "-s", service, "-m", "first").ok()
    cli("set", "key", "2", "-s", service, "-m", "second").ok()
    cli("set", "password", "--secret", "-s", service, text="hunter2\n").ok()


def test_a_diff_has_signs_and_no_secrets(cli: Cli, service, versions):
    said = cli("diff", f"{service}#1", service).ok()
    first, second = said.out.splitlines()
    assert first == "~ key: 1 -> 2"
    assert second.startswith("+ password: ")
    assert "hunter2" not in said.out
    assert "are the same" in cli("diff", service, service).ok().err
    shown = cli("diff", f"{service}#1", f"{service}#2", "--json").ok().json
    assert shown["patch"] == [{"op": "replace", "path": "/key", "value": 2}]


def test_a_diff_is_coloured_on_a_terminal_unless_it_shall_not(cli: Cli, service, versions):
    def shown(*words: str, **env: str) -> str:
        terminal = cli.terminal("diff", f"{service}#1", f"{service}#2", *words, **env)
        terminal.expect(pexpect.EOF)
        return terminal.before

    assert shown() == "\x1b[33m~ key: 1 -> 2\x1b[0m\r\n"
    assert shown("--no-color") == "~ key: 1 -> 2\r\n"
    assert shown(NO_COLOR="1") == "~ key: 1 -> 2\r\n"


def test_a_reference_that_names_nothing(cli: Cli, service):
    cli("diff", service, f"{service}#1").failed(3)
    assert "from" in cli("diff", "a@b@c@d", service).failed(1)


def test_history_and_rollback_of_a_document(cli: Cli, service, versions):
    rows = cli("history", "-s", service).ok().out.splitlines()
    assert [row.split()[0] for row in rows] == ["VERSION", "3", "2", "1"]
    assert rows[3].endswith("first")
    cli("rollback", "1", "-s", service, "-m", "back").ok()
    assert json.loads(cli("get", "-s", service).ok().out) == {"key": 1}
    newest = cli("history", "-s", service, "--json").ok().json["versions"][0]
    assert (newest["version"], newest["action"], newest["message"]) == (4, "rollback", "back")
    cli("rollback", "99", "-s", service).failed(3)


def test_history_and_rollback_of_a_key(cli: Cli, service, versions):
    rows = cli("history", "key", "-s", service).ok().out.splitlines()
    assert [row.split()[:3] for row in rows[1:]] == [["2", "updated", "2"], ["1", "created", "1"]]
    said = cli("rollback", "1", "key", "-s", service, "--json").ok().json
    assert (said["value"], said["version"]) == (1, 3)


def test_watch_shows_changes_as_they_happen(cli: Cli, service):
    process = cli.started("watch", service)
    try:
        assert "Listening from revision" in process.stderr.readline()
        cli("set", "key", "1", "-s", service, "-m", "hello there").ok()
        head, change = process.stdout.readline(), process.stdout.readline()
        assert head.rstrip().endswith("key:bootstrap  hello there")
        assert "create" in change
        assert f"{service}  key key (version 1)" in change
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_watch_names_flags_and_segments(cli: Cli, service):
    process = cli.started("watch", "-e", "staging")
    try:
        assert "Listening from revision" in process.stderr.readline()
        cli("segments", "set", service).ok()
        cli("flags", "set", service, "-e", "production").ok()
        cli("flags", "set", service, "-e", "staging", "-m", "begin").ok()
        said = [process.stdout.readline().strip() for _ in range(4)]
        assert said[1] == f"create   all environments  segment {service} (version 1)"
        assert said[2].endswith("begin")
        assert said[3] == f"create   staging  flag {service} (version 1)"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    hidden = {"resource_type": "feature_flag", "environment": "staging", "action": "update"}
    assert described(hidden) == "update   staging  flag"


def test_watch_has_one_json_document_a_line(cli: Cli, service):
    process = cli.started("watch", "-s", service, "--json")
    try:
        assert "Listening" in process.stderr.readline()
        cli("set", "other", "1", "-s", f"{service}-2").ok()
        cli("set", "key", "1", "-s", service).ok()
        commit = json.loads(process.stdout.readline())
        assert {one["service"] for one in commit["changes"]} == {service}
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_ctrl_c_ends_watch_at_a_terminal(cli: Cli, service):
    terminal = cli.terminal("watch", service)
    terminal.expect("Listening")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in terminal.before
