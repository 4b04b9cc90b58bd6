"""`segments list`, `get`, `set`, `delete`."""

import json

import pytest

from tests.cli.prompt import Cli

SEGMENTS = "/api/v1/segments"


@pytest.fixture
def segment(service: str) -> str:
    return f"{service}/beta"


def test_people_come_and_go(cli: Cli, api, segment):
    said = cli("segments", "set", segment, "--include", "ada", "--exclude", "eve").ok()
    assert said.err.startswith(f"New: segment {segment}: version 1")
    cli("segments", "set", segment, "--include", "eve", "--include", "bob", "-m", "more").ok()
    now = api.get(f"{SEGMENTS}/{segment}").json()
    assert (now["included"], now["excluded"]) == (["ada", "eve", "bob"], [])
    cli("segments", "set", segment, "--forget", "eve", "--description", "testers").ok()
    now = api.get(f"{SEGMENTS}/{segment}").json()
    assert (now["included"], now["description"]) == (["ada", "bob"], "testers")
    out = cli("segments", "get", segment).ok().out.splitlines()
    assert out[0].startswith(f"{segment}: version 3")
    assert out[1] == "testers"
    assert out[2].split(None, 1) == ["included", '["ada", "bob"]']
    line = next(one for one in cli("segments", "list").ok().out.splitlines() if segment in one)
    assert line.split() == [segment, "2", "0", "no", "3"]


def test_a_condition_comes_from_a_file(cli: Cli, api, segment):
    when = {"attribute": "plan", "op": "equals", "value": "pro"}
    cli(
        "segments", "set", segment, "-f", "-", "--include", "ada", text=json.dumps({"when": when})
    ).ok()
    assert api.get(f"{SEGMENTS}/{segment}").json()["when"] == when
    assert cli("segments", "get", segment).ok().out.splitlines()[-1].strip() == 'plan equals "pro"'
    said = cli("segments", "get", segment, "--json").ok()
    cli("segments", "set", f"{segment}-2", "-f", "-", text=said.out).ok()
    copy = api.get(f"{SEGMENTS}/{segment}-2").json()
    assert (copy["when"], copy["included"]) == (when, ["ada"])
    assert "must be an object" in cli("segments", "set", segment, "-f", "-", text="[]").failed(2)


def test_expected_versions_of_segments(cli: Cli, segment):
    cli("segments", "set", segment, "--expect-version", "1").failed(5)
    cli("segments", "set", segment, "--expect-version", "0").ok()
    cli("segments", "set", segment, "--include", "ada", "--expect-version", "1").ok()
    line = cli("segments", "set", segment, "--include", "bob", "--expect-version", "1").failed(5)
    assert "version 2" in line


def test_one_that_a_rule_names_stays(cli: Cli, segment):
    cli("segments", "set", segment).ok()
    rule = {"when": {"segment": segment}, "serve": {"variant": "on"}}
    text = json.dumps({"rules": [rule]})
    cli("flags", "set", segment, "-e", "staging", "-f", "-", text=text).ok()
    assert segment in cli("segments", "delete", segment).failed(5)
    cli("flags", "delete", segment, "-e", "staging").ok()
    cli("segments", "delete", segment).ok()
    cli("segments", "delete", segment).failed(3)
    assert "configsync segments list" in cli("segments", "get", segment).failed(3)
