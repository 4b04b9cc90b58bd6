"""`flags set`: new flags, and changes of what is named."""

import json

import httpx
import pytest

from tests.cli.prompt import Cli
from tests.cli.test_flag_commands import FLAGS, STAGING, make, stored

SPLIT = """
rules:
- id: half
  serve: {split: [{variant: "on", weight: %d}, {variant: "off", weight: %d}]}
"""


@pytest.fixture
def flag(service: str) -> str:
    return f"{service}/flag"


def test_what_is_not_there_is_made_and_is_off(cli: Cli, api, flag):
    said = cli("flags", "set", flag, "--percentage", "25", **STAGING).ok()
    assert said.err.startswith(f"New: {flag} in staging is off (for 25 % when on): version 1")
    assert "configsync flags on" in said.err
    made = stored(api, flag)
    assert (made["is_enabled"], made["rollout_percentage"]) == (False, 25)
    said = cli("flags", "set", f"{flag}-2", "--on", **STAGING).ok()
    assert "is on for everybody" in said.err
    assert "configsync flags on" not in said.err


def test_what_is_not_named_stays(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=10, target_users=["ada"], tags=["a"], owner="ada")
    words = ["--target", "bob", "--target", "eve", "--untarget", "ada", "--tag", "b", "-m", "why"]
    said = cli("flags", "set", flag, *words, "--json", **STAGING).ok()
    assert f"{flag} in staging is on for 2 users + 10 %: version 2" in said.err
    assert said.json == stored(api, flag)
    now = said.json
    assert (now["target_users"], now["tags"], now["owner"]) == (["bob", "eve"], ["a", "b"], "ada")
    words = [
        "--percentage",
        "everybody",
        "--off",
        "--untag",
        "a",
        "--owner",
        "",
        "--untarget",
        "eve",
    ]
    words += ["--expires", "2030-01-31", "--description", "why"]
    cli("flags", "set", flag, *words, **STAGING).ok()
    now = stored(api, flag)
    assert (now["rollout_percentage"], now["target_users"]) == (None, ["bob"])
    assert (now["is_enabled"], now["tags"], now["owner"]) == (False, ["b"], None)
    assert (now["expires_at"], now["description"]) == ("2030-01-31T00:00:00Z", "why")
    cli("flags", "set", flag, "--expires", "never", **STAGING).ok()
    assert stored(api, flag)["expires_at"] is None


def test_what_changes_nothing_makes_no_version(cli: Cli, api, flag):
    make(api, flag, target_users=["ada"])
    cli("flags", "set", flag, "--target", "ada", "--on", **STAGING).ok()
    assert stored(api, flag)["version"] == 1


def test_expected_versions(cli: Cli, api, flag):
    cli("flags", "set", flag, "--expect-version", "3", **STAGING).failed(5)
    cli("flags", "set", flag, "--expect-version", "0", **STAGING).ok()
    cli("flags", "set", flag, "--on", "--expect-version", "0", **STAGING).failed(5)
    cli("flags", "set", flag, "--on", "--expect-version", "7", **STAGING).failed(5)
    cli("flags", "set", flag, "--on", "--expect-version", "1", **STAGING).ok()
    assert stored(api, flag)["is_enabled"]


def test_a_file_has_all_members(cli: Cli, api, flag):
    text = """
type: string
variants: {red: "#f00", grey: "#888"}
off_variant: grey
rules:
- id: pros
  when: {attribute: plan, op: in, values: [pro, team]}
  serve: {variant: red}
"""
    cli("flags", "set", flag, "-f", "-", "--on", "--owner", "ada", text=text, **STAGING).ok()
    made = stored(api, flag)
    assert (made["type"], made["owner"], made["is_enabled"]) == ("string", "ada", True)
    assert made["variants"] == {"red": "#f00", "grey": "#888"}
    assert [rule["id"] for rule in made["rules"]] == ["pros"]
    assert "stays so" in cli("flags", "set", flag, "--type", "number", **STAGING).failed(1)


def test_what_get_says_can_be_edited_and_set(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=25, target_users=["ada"])
    said = cli("flags", "get", flag, "--json", **STAGING).ok().json
    text = json.dumps({**said, "rollout_percentage": 50})
    cli("flags", "set", flag, "--file", "-", text=text, **STAGING).ok()
    now = stored(api, flag)
    assert (now["rollout_percentage"], now["target_users"]) == (50, ["ada"])


def test_what_get_says_is_the_same_flag_elsewhere(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=25, target_users=["ada"], tags=["shop"])
    text = cli("flags", "get", flag, "--json", **STAGING).ok().out
    cli("flags", "set", flag, "-f", "-", "-e", "production", text=text).ok()
    here, there = stored(api, flag), stored(api, flag, "production")
    differs = {"id", "environment", "revision", "created_at", "updated_at"}
    assert {name for name in here if here[name] != there[name]} == differs
    words = ["-f", "-", "--percentage", "5", "--target", "eve"]
    cli("flags", "set", flag, *words, "-e", "production", text=text).ok()
    there = stored(api, flag, "production")
    assert (there["rollout_percentage"], there["target_users"]) == (5, ["ada", "eve"])


def test_a_file_that_contradicts_itself(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=25)
    said = cli("flags", "get", flag, "--json", **STAGING).ok().json
    text = json.dumps({**said, "rollout_percentage": 50})
    line = cli("flags", "set", f"{flag}-2", "-f", "-", text=text, **STAGING).failed(1)
    assert "rollout_percentage" in line
    assert api.get(f"{FLAGS}/{flag}-2?environment=staging").status_code == 404


def test_moving_people_must_be_meant(cli: Cli, api, flag):
    cli("flags", "set", flag, "-f", "-", "--on", text=SPLIT % (50, 50), **STAGING).ok()
    line = cli("flags", "set", flag, "-f", "-", text=SPLIT % (30, 70), **STAGING).failed(5)
    assert "another variant" in line
    assert "--accept-rebucketing" in line
    words = ["flags", "set", flag, "-f", "-", "--accept-rebucketing"]
    cli(*words, text=SPLIT % (30, 70), **STAGING).ok()
    assert "--accept-rebucketing" in cli("flags", "rollback", flag, "1", **STAGING).failed(5)
    cli("flags", "rollback", flag, "1", "--accept-rebucketing", **STAGING).ok()
    [rule] = stored(api, flag)["rules"]
    assert [one["weight"] for one in rule["serve"]["split"]] == [50, 50]


@pytest.mark.parametrize(
    ("words", "text", "code", "why"),
    [
        (["--percentage", "much"], "", 2, "0 to 100, or everybody"),
        (["--percentage", "101"], "", 1, "rollout_percentage"),
        (["--expires", "soon"], "", 1, "expires_at"),
        (["-f", "-"], "[1]", 2, "must be an object"),
        (["-f", "-"], '{"colour": 1}', 1, "colour"),
        (["-f", "-"], '{"rules": 7}', 1, "rules"),
        (
            *(["-f", "-"], '{"rules": [{"serve": {"variant": "none"}}]}', 1),
            "configsync: body.rules.0.serve.variant: the flag has no such variant.",
        ),
        (["-f", "-"], '{"rules": [7], "target_users": ["ada"]}', 1, "target_users"),
    ],
)
def test_what_is_no_flag_is_refused(cli: Cli, api: httpx.Client, flag, words, text, code, why):
    assert why in cli("flags", "set", flag, *words, text=text, **STAGING).failed(code)
    assert api.get(f"{FLAGS}/{flag}?environment=staging").status_code == 404
