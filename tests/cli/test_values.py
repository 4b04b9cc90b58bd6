"""`get`, `set`, `unset`, `list`, `search`, `explain`."""

import json

import httpx
import pexpect
import pytest
from configsync.cli.output import masked

from tests.cli.prompt import Cli

BULLETS = "••••••••"


def stored(api: httpx.Client, service: str, environment: str | None = None):
    query = {"service": service} | ({"environment": environment} if environment else {})
    return api.get("/config/get", params=query).json()["config"]


@pytest.mark.parametrize(
    ("typed", "value", "shown"),
    [
        ("30", 30, "30"),
        ("1.5", 1.5, "1.5"),
        ("true", True, "true"),
        ("null", None, "null"),
        ('{"a": [1]}', {"a": [1]}, '{"a": [1]}'),
        ("plain text", "plain text", "plain text"),
        ("ümlaut\nline", "ümlaut\nline", "ümlaut\nline"),
        ("NaN", "NaN", "NaN"),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
    ],
)
def test_a_value_is_json_or_else_text(cli: Cli, api, service, typed, value, shown):
    cli("set", "key", typed, "-s", service).ok()
    assert stored(api, service) == {"key": value}
    assert cli("get", "key", "-s", service).ok().out == f"{shown}\n"


def test_what_may_have_been_meant_as_json_is_told(cli: Cli, api, service):
    for typed in ("NaN", '{"a": 1, "a": 2}', "[1,]", "1e999"):
        assert "stored as text" in cli("set", "key", typed, "-s", service).ok().err
        assert stored(api, service) == {"key": typed}
    for typed in ("plain", '"NaN"', "[1]"):
        assert "stored as text" not in cli("set", "key", typed, "-s", service).ok().err


def test_what_is_nested_too_deeply_is_refused(cli: Cli, service):
    for typed in ("[" * 5000, "[" * 200 + "]" * 200):
        assert "nested too deeply" in cli("set", "key", typed, "-s", service).failed(1)


def test_string_keeps_what_looks_like_json(cli: Cli, api, service):
    cli("set", "key", "30", "--string", "-s", service).ok()
    assert stored(api, service) == {"key": "30"}


def test_a_value_can_come_from_standard_input(cli: Cli, api, service):
    cli("set", "key", "-", "-s", service, text='{"from": "a file"}\n').ok()
    assert stored(api, service) == {"key": {"from": "a file"}}


def test_a_value_that_is_too_large_is_refused(cli: Cli, service):
    assert "larger than" in cli("set", "big", "-", "-s", service, text="x" * 12_000_000).failed(1)


def test_a_path_changes_the_object_where_it_stands(cli: Cli, api, service):
    cli("set", "database", '{"host": "db1", "port": 1}', "-s", service).ok()
    cli("set", "database.host", "db2", "-s", service, "-m", "moved").ok()
    assert stored(api, service) == {"database": {"host": "db2", "port": 1}}
    cli("unset", "database.port", "-s", service).ok()
    assert stored(api, service) == {"database": {"host": "db2"}}
    assert cli("get", "database.host", "-s", service).ok().out == "db2\n"


def test_a_dotted_key_that_stands_there_is_meant(cli: Cli, api, service):
    api.post(f"/config/{service}", json={"config": {"a.b": 1, "a": {"b": 2}}}).raise_for_status()
    cli("set", "a.b", "3", "-s", service).ok()
    assert stored(api, service) == {"a.b": 3, "a": {"b": 2}}


def test_expected_versions_protect_from_overwriting(cli: Cli, api, service):
    cli("set", "key", "1", "-s", service, "--expect-version", "0").ok()
    line = cli("set", "key", "2", "-s", service, "--expect-version", "7").failed(5)
    assert "version 7" in line
    assert "it is at version 1" in line
    cli("set", "deep", '{"er": 1}', "-s", service).ok()
    cli("set", "deep.er", "2", "-s", service, "--expect-version", "1").failed(5)
    assert stored(api, service) == {"key": 1, "deep": {"er": 1}}


def test_unset_shows_what_wider_levels_say_and_hide_takes_it_away(cli: Cli, service):
    cli("set", "key", "wide", "-s", service).ok()
    cli("set", "key", "narrow", "-s", service, "-e", "staging").ok()
    cli("unset", "key", "-s", service, "-e", "staging").ok()
    assert cli("get", "key", "-s", service, "-e", "staging").ok().out == "wide\n"
    cli("unset", "key", "-s", service, "-e", "staging", "--hide").ok()
    assert "has no key 'key'" in cli("get", "key", "-s", service, "-e", "staging").failed(3)


def test_what_is_not_there_is_exit_code_3(cli: Cli, service):
    assert service in cli("get", "key", "-s", service).failed(3)
    cli("set", "key", "1", "-s", service).ok()
    cli("get", "other", "-s", service).failed(3)
    cli("unset", "other", "-s", service).failed(3)
    cli("explain", "other", "-s", service).failed(3)
    cli("history", "other", "-s", service).failed(3)


def test_secrets_are_bullets_unless_asked_for(cli: Cli, service):
    cli("set", "password", "-", "--secret", "-s", service, text="hunter2\n").ok()
    cli("set", "db", '{"host": "h", "token": {"$secret": "t-4711"}}', "-s", service).ok()
    for words in (
        ["get"],
        ["get", "password"],
        ["get", "db"],
        ["get", "db.token", "--json"],
        ["get", "--json"],
        ["list"],
        ["explain"],
        ["export"],
        ["export", "--stored"],
        ["history", "password"],
        ["history", "--json"],
    ):
        said = cli(*words, "-s", service).ok()
        assert "hunter2" not in said.out + said.err, words
        assert "t-4711" not in said.out + said.err, words
        assert BULLETS in said.out or words == ["history", "--json"], words
    assert cli("get", "password", "--reveal", "-s", service).ok().out == "hunter2\n"
    shown = json.loads(cli("get", "--reveal", "-s", service).ok().out)
    assert shown == {"password": "hunter2", "db": {"host": "h", "token": "t-4711"}}


def test_beside_a_secret_everything_else_is_shown(cli: Cli, service):
    cli("set", "db", '{"host": "h"}', "-s", service).ok()
    cli("set", "db.password", "--secret", "-s", service, "-e", "staging", text="hunter2\n").ok()
    shown = json.loads(cli("get", "-s", service, "-e", "staging").ok().out)
    assert shown == {"db": {"host": "h"}, "db.password": BULLETS}
    cli("set", "db", '{"password": {"$secret": "swordfish"}}', "-s", service).ok()
    said = cli("get", "-s", service, "-e", "staging").ok().out
    assert json.loads(said) == {"db": {"password": BULLETS}, "db.password": BULLETS}


def test_an_address_that_leads_nowhere_hides_everything():
    assert masked({"a": {"b": 1}}, ["a.c"]) == BULLETS
    assert masked({"a": {"b": 1}, "a.b": 1, "c": 2}, ["a.b"]) == {
        "a": {"b": BULLETS},
        "a.b": BULLETS,
        "c": 2,
    }


def test_a_secret_is_not_taken_from_the_command_line(cli: Cli, service):
    line = cli("set", "password", "hunter2", "--secret", "-s", service).failed(2)
    assert "can be seen by others" in line
    assert "hunter2" not in line


def test_a_secret_is_typed_unseen(cli: Cli, service):
    terminal = cli.terminal("set", "password", "--secret", "-s", service)
    terminal.expect("Value of password: ")
    terminal.sendline("hunter2")
    terminal.expect(pexpect.EOF)
    assert "hunter2" not in (terminal.before or "")
    terminal.close()
    assert terminal.exitstatus == 0
    assert cli("get", "password", "--reveal", "-s", service).ok().out == "hunter2\n"


def test_the_environment_names_the_service(cli: Cli, service):
    ours = {"CONFIGSYNC_APP_ID": service, "CONFIGSYNC_ENVIRONMENT": "staging"}
    cli("set", "key", "staged", **ours).ok()
    cli("set", "key", "wide", "-e", "", **ours).ok()
    assert cli("get", "key", **ours).ok().out == "staged\n"
    assert cli("get", "key", "-e", "production", **ours).ok().out == "wide\n"
    assert "Which service?" in cli("get", "key").failed(2)


def test_list_and_search_find_keys(cli: Cli, service):
    cli("set", "needle-one", '"straw"', "-s", service).ok()
    cli("set", "needle-two", "2", "-s", service, "-e", "staging").ok()
    listed = cli("list", "-s", service, "--json").ok().json["configs"]
    assert [(one["key"], one["environment"]) for one in listed] == [
        ("needle-one", None),
        ("needle-two", "staging"),
    ]
    narrow = cli("list", "-s", service, "-e", "staging").ok().out
    assert narrow.splitlines()[0].split() == ["KEY", "VALUE", "SERVICE", "ENVIRONMENT", "VERSION"]
    assert [line.split() for line in narrow.splitlines()[1:]] == [
        ["needle-two", "2", service, "staging", "1"]
    ]
    wide = cli("list", "-s", service, "-e", "", "--json").ok().json["configs"]
    assert [one["key"] for one in wide] == ["needle-one"]
    found = cli("search", "NEEDLE", "--json", "-s", service).ok().json["configs"]
    assert [one["key"] for one in found] == ["needle-one", "needle-two"]
    assert service in cli("search", "straw").ok().out


def test_explain_says_where_values_come_from(cli: Cli, service):
    cli("set", "db", '{"host": "h", "port": 1}', "-s", service).ok()
    cli("set", "db", '{"port": 2}', "-s", service, "-e", "staging").ok()
    rows = cli("explain", "db", "-s", service, "-e", "staging").ok().out.splitlines()[1:]
    assert [row.split(None, 3) for row in rows] == [
        ["db.host", '"h"', f"{service}#1"],
        ["db.port", "2", f"{service}@staging#1", f"1 ({service}#1)"],
    ]
    said = cli("explain", "db.host", "-s", service, "--json").ok().json
    assert list(said["values"]) == ["db.host"]


def test_the_item_of_a_key_is_json(cli: Cli, service):
    cli("set", "db", '{"host": "h"}', "-s", service).ok()
    item = cli("--json", "get", "db.host", "-s", service).ok().json
    assert (item["value"], item["service_name"], item["version"]) == ("h", service, 1)


def test_a_value_cannot_control_the_terminal(cli: Cli, service):
    cli("set", "key", "\x1b]0;owned\x07", "-s", service).ok()
    assert cli("get", "key", "-s", service).ok().out == "\x1b]0;owned\x07\n"
    terminal = cli.terminal("get", "key", "-s", service)
    terminal.expect(pexpect.EOF)
    assert terminal.before == "\\x1b]0;owned\\x07\r\n"
    assert "\x1b" not in cli("list", "-s", service).ok().out
