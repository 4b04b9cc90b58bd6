"""`flags list`, `get`, `on`, `off`, `delete`, `history`, `rollback`, `stale`."""

import json
from typing import Any

import httpx
import pytest

from tests.cli.prompt import Cli

FLAGS = "/api/v1/feature-flags"
STAGING = {"CONFIGSYNC_ENVIRONMENT": "staging"}


@pytest.fixture
def flag(service: str) -> str:
    return f"{service}/flag"


def stored(api: httpx.Client, name: str, environment: str = "staging") -> dict[str, Any]:
    answer = api.get(f"{FLAGS}/{name}", params={"environment": environment})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def make(api: httpx.Client, name: str, environment: str = "staging", **members: Any) -> None:
    body = {"name": name, "environment": environment, "is_enabled": True, **members}
    answer = api.post(FLAGS, json=body)
    assert answer.status_code == 201, answer.text


def rows(cli: Cli, *words: str, **env: str) -> list[list[str]]:
    """Return the cells of a table, of which none has two spaces in it."""
    lines = cli(*words, **env).ok().out.splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell] for line in lines]


def test_the_list_says_who_gets_a_flag(cli: Cli, api, service):
    rule = {"when": {"segment": "none"}, "serve": {"variant": "on"}}
    on = {"attribute": "plan", "op": "equals", "value": "pro"}
    make(api, f"{service}/a")
    make(api, f"{service}/b", target_users=["u1", "u2", "u3"], rollout_percentage=0.5)
    make(api, f"{service}/c", target_users=["u1"], rollout_percentage=0, owner="ada")
    make(api, f"{service}/d", rollout_percentage=25, is_enabled=False, tags=["shop"])
    make(api, f"{service}/e", rules=[{**rule, "when": on}, {**rule, "when": on}])
    make(api, f"{service}/f", default_variant="off")
    make(api, f"{service}/g", target_users=["u1"], expires_at="2030-01-31T00:00:00Z")
    place = ["boolean", "staging", "-", "-"]
    assert rows(cli, "flags", "list", service) == [
        [f"{service}/a", "on", "everybody", *place],
        [f"{service}/b", "on", "3 users + 0.5 %", *place],
        [f"{service}/c", "on", "1 user", "boolean", "staging", "ada", "-"],
        [f"{service}/d", "off", "25 %", *place],
        [f"{service}/e", "on", "2 rules", *place],
        [f"{service}/f", "on", "nobody", *place],
        [f"{service}/g", "on", "everybody", *place[:3], "2030-01-31T00:00:00Z"],
    ]
    assert [row[0] for row in rows(cli, "flags", "list", service, "--tag", "shop")] == [
        f"{service}/d"
    ]


def test_the_list_is_of_all_environments_unless_one_is_meant(cli: Cli, api, flag):
    make(api, flag)
    make(api, flag, "production")

    def places(*words: str, **env: str) -> list[str]:
        found = cli("flags", "list", flag, "--json", *words, **env).ok().json["feature_flags"]
        return [one["environment"] for one in found]

    assert places() == ["production", "staging"]
    assert places("-e", "staging") == ["staging"]
    assert places(**STAGING) == ["staging"]
    assert places("-e", "", **STAGING) == ["production", "staging"]


def test_get_shows_what_decides(cli: Cli, api, flag):
    condition = {
        "all": [
            {"attribute": "country", "op": "in", "values": ["DE", "AT"]},
            {"not": {"attribute": "mail", "op": "ends_with", "value": "@x", "ignore_case": True}},
            {"any": [{"attribute": "age", "op": "gte", "value": 18, "negate": True}]},
        ]
    }
    split = [{"variant": "red", "weight": 60}, {"variant": "blue", "weight": 40}]
    make(
        api,
        flag,
        type="string",
        description="The colour",
        variants={"red": "#f00", "blue": "#00f", "grey": "#888"},
        off_variant="grey",
        rules=[
            {
                "id": "adults",
                "description": "grown-ups",
                "when": condition,
                "serve": {"split": split},
            }
        ],
        owner="ada",
        tags=["shop", "ui"],
        bucket_by="company",
    )
    lines = [
        line.split("  ")[-1] for line in cli("flags", "get", flag, **STAGING).ok().out.split("\n")
    ]
    lines = [line.strip() for line in lines]
    assert lines[:2] == [f"{flag} in staging: on for 1 rule", "The colour"]
    assert lines[2:7] == [
        "string",
        'red = "#f00", blue = "#00f", grey = "#888" (off)',
        "company",
        "shop, ui",
        "ada",
    ]
    assert lines[7].startswith("1 of ")
    assert lines[9:] == [
        "1 adults: grown-ups",
        "all of",
        'country in ["DE", "AT"]',
        "not",
        'mail ends_with "@x" (ignoring case)',
        "any of",
        "age not gte 18",
        "-> red to 60 %, blue to 40 %",
        "",
    ]
    assert cli("flags", "get", flag, "--json", **STAGING).ok().json == stored(api, flag)


def test_what_a_flag_needs_is_told(cli: Cli, api, service):
    make(api, f"{service}/base")
    make(api, f"{service}/flag", prerequisites=[{"flag": f"{service}/base", "variant": "on"}])
    said = cli("flags", "get", f"{service}/flag", **STAGING).ok().out
    assert f"{service}/base to serve on" in said


def test_a_flag_stands_in_an_environment(cli: Cli, api, flag):
    make(api, flag)
    for words in (["get", flag], ["set", flag], ["on", flag], ["eval"], ["history", flag]):
        assert "Which environment?" in cli("flags", *words).failed(2)
        assert "Which environment?" in cli("flags", *words, "-e", "", **STAGING).failed(2)
    assert "configsync flags list" in cli("flags", "get", flag, "-e", "production").failed(3)


def test_the_switch(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=25)
    assert "off (for 25 % when on)" in cli("flags", "off", flag, "-m", "fire", **STAGING).ok().err
    off = stored(api, flag)
    assert (off["is_enabled"], off["rollout_percentage"]) == (False, 25)
    said = cli("flags", "on", flag, "--json", **STAGING).ok()
    assert "is on for 25 %: version 3" in said.err
    assert said.json == stored(api, flag)
    assert said.json["is_enabled"]
    cli("flags", "on", f"{flag}-2", **STAGING).failed(3)


def test_deleted_here_it_stays_elsewhere(cli: Cli, api, flag):
    make(api, flag)
    make(api, flag, "production")
    assert "is deleted" in cli("flags", "delete", flag, **STAGING).ok().err
    assert stored(api, flag, "production")
    cli("flags", "delete", flag, **STAGING).failed(3)


def test_one_that_is_needed_is_not_deleted(cli: Cli, api, service):
    make(api, f"{service}/base")
    make(api, f"{service}/flag", prerequisites=[{"flag": f"{service}/base", "variant": "on"}])
    line = cli("flags", "delete", f"{service}/base", **STAGING).failed(5)
    assert f"{service}/flag" in line


def test_history_and_rollback(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=25)
    cli("flags", "set", flag, "--percentage", "50", "-m", "more", **STAGING).ok()
    cli("flags", "off", flag, **STAGING).ok()
    found = rows(cli, "flags", "history", flag, **STAGING)
    assert [(row[0], row[2], row[3], row[6]) for row in found] == [
        ("3", "update", "off (for 50 % when on)", "-"),
        ("2", "update", "on for 50 %", "more"),
        ("1", "create", "on for 25 %", "-"),
    ]
    said = cli("flags", "rollback", flag, "1", "-m", "back", **STAGING).ok()
    assert "on for 25 %: version 4" in said.err
    assert stored(api, flag)["rollout_percentage"] == 25
    newest = cli("flags", "history", flag, "--json", **STAGING).ok().json["versions"][0]
    assert (newest["action"], newest["message"]) == ("rollback", "back")
    cli("flags", "rollback", flag, "99", **STAGING).failed(3)


def test_a_diff_of_two_versions(cli: Cli, api, flag):
    make(api, flag, tags=["a"])
    cli("flags", "set", flag, "--off", **STAGING).ok()
    cli("flags", "set", flag, "--owner", "ada", **STAGING).ok()
    assert cli("flags", "diff", flag, "1", "2", **STAGING).ok().out.splitlines() == [
        "~ is_enabled: true -> false"
    ]
    assert '+ owner: "ada"' in cli("flags", "diff", flag, "1", **STAGING).ok().out
    assert "are the same" in cli("flags", "diff", flag, "3", **STAGING).ok().err
    said = cli("flags", "diff", flag, "1", "2", "--json", **STAGING).ok().json
    assert said["patch"] == [{"op": "replace", "path": "/is_enabled", "value": False}]
    cli("flags", "diff", flag, "1", "9", **STAGING).failed(3)


def test_a_deleted_flag_comes_back_with_its_history(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=25)
    cli("flags", "delete", flag, **STAGING).ok()
    cli("flags", "set", flag, **STAGING).ok()
    cli("flags", "rollback", flag, "1", **STAGING).ok()
    assert stored(api, flag)["rollout_percentage"] == 25
    found = rows(cli, "flags", "history", flag, **STAGING)
    assert [row[2:4] for row in found][2] == ["delete", "-"]


def test_stale_flags_with_the_next_step(cli: Cli, api, service):
    make(api, f"{service}/old", expires_at="2020-01-31T00:00:00Z", owner="ada")
    make(api, f"{service}/new")
    found = [row for row in rows(cli, "flags", "stale", **STAGING) if row[0].startswith(service)]
    assert [row[:5] for row in found] == [
        [f"{service}/old", "staging", "expired", "2020-01-31T00:00:00Z", "ada"]
    ]
    assert "delete it" in found[0][5]
    said = cli("flags", "stale", "--days", "7", "--json", "-e", "").ok().json
    assert f"{service}/old" in [one["flag"] for one in said["flags"]]
    assert "No flag is stale." in cli("flags", "stale", "-e", "development").ok().err
    cli("flags", "stale", "--days", "0").failed(1)


def test_a_key_without_a_right_is_told_so(cli: Cli, api, flag):
    make(api, flag)
    said = cli("keys", "create", flag, "--actions", "read", "--json").ok().json
    reader = {**STAGING, "CONFIGSYNC_API_KEY": said["key"]}
    assert json.loads(cli("flags", "get", flag, "--json", **reader).ok().out)["name"] == flag
    cli("flags", "off", flag, **reader).failed(4)
    assert stored(api, flag)["is_enabled"]
