"""`flags eval` and `flags explain`."""

import pexpect
import pytest

from tests.cli.prompt import Cli
from tests.cli.test_flag_commands import STAGING, make

PRO = {"attribute": "plan.name", "op": "equals", "value": "pro"}
RULES = [
    {"id": "pros", "description": "who pays", "when": PRO, "serve": {"variant": "red"}},
    {
        "id": "others",
        "when": {"any": [{"segment": "none"}, {"attribute": "age", "op": "gte", "value": 18}]},
        "serve": {
            "split": [{"variant": "red", "weight": 50}, {"variant": "blue", "weight": 50}],
        },
    },
]


@pytest.fixture
def flag(service: str) -> str:
    return f"{service}/flag"


@pytest.fixture
def color(api, flag) -> str:
    segment = flag.replace("/", "-")
    api.post("/api/v1/segments", json={"name": segment, "included": ["ada"]}).raise_for_status()
    others = {**RULES[1], "when": {"any": [{"segment": segment}, RULES[1]["when"]["any"][1]]}}
    variants = {"red": {"hex": "f00"}, "blue": {"hex": "00f"}, "grey": {}}
    make(api, flag, type="object", variants=variants, rules=[RULES[0], others])
    return flag


def test_a_boolean_flag_is_true_or_false(cli: Cli, api, flag):
    make(api, flag, target_users=["ada"], rollout_percentage=0)
    assert cli("flags", "eval", flag, "--user", "ada", **STAGING).ok().out == "true\n"
    assert cli("flags", "eval", flag, "-u", "bob", **STAGING).ok().out == "false\n"
    said = cli("flags", "eval", flag, "-u", "ada", "--json", **STAGING).ok().json
    assert (said["value"], said["reason"], said["rule_id"]) == (
        True,
        "user_targeted",
        "target_users",
    )
    cli("flags", "eval", f"{flag}-2", **STAGING).failed(3)


def test_who_is_asked_about_nobody_says_so(cli: Cli, api, flag):
    make(api, flag, rollout_percentage=50)
    said = cli("flags", "eval", flag, **STAGING).ok()
    assert said.out == "false\n"
    assert "--user" in said.err
    assert cli("flags", "eval", flag, "-u", "7", **STAGING).ok().err == ""


def test_the_context_comes_from_many_places(cli: Cli, color):
    for words, text in (
        (["--context", '{"plan": {"name": "pro"}}'], ""),
        (["--context", "-"], '{"plan": {"name": "pro"}}'),
        (["--context", "@about.yaml"], ""),
        (["--attr", "plan.name=pro"], ""),
        (["-a", 'plan={"name": "pro"}', "-a", "age=3"], ""),
        (["--context", '{"plan.name": "free"}', "-a", "plan.name=pro"], ""),
    ):
        (cli.home / "about.yaml").write_text("plan:\n  name: pro\n")
        said = cli("flags", "eval", color, *words, text=text, **STAGING).ok()
        assert said.out == '{"hex": "f00"}\n', words
    assert cli("flags", "eval", color, "-a", "plan.name=free", **STAGING).ok().out == "{}\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--context", "[1]"], "A context is an object"),
        (["--context", "{"], "--context is not JSON"),
        (["--attr", "plan"], "NAME=VALUE"),
    ],
)
def test_a_context_that_is_none(cli: Cli, flag, words, why):
    assert why in cli("flags", "eval", flag, *words, **STAGING).failed(2)


def test_without_a_name_all_flags_are_evaluated(cli: Cli, api, color):
    make(api, f"{color}-2", is_enabled=False)
    out = cli("flags", "eval", "-a", "plan.name=pro", **STAGING).ok().out.splitlines()
    assert out[0].split() == ["FLAG", "VALUE", "VARIANT", "REASON", "RULE"]
    found = {
        line.split("  ")[0]: [cell.strip() for cell in line.split("  ") if cell] for line in out
    }
    assert found[color][1:] == ['{"hex": "f00"}', "red", "rule_match", "pros"]
    assert found[f"{color}-2"][1:] == ["false", "off", "globally_disabled", "-"]
    said = cli("flags", "eval", "-u", "ada", "--json", **STAGING).ok().json
    assert said["evaluations"][f"{color}-2"]["value"] is False


def explained(cli: Cli, *words: str) -> list[str]:
    return cli("flags", "explain", *words, **STAGING).ok().out.splitlines()


def test_explain_shows_the_way(cli: Cli, color):
    segment = color.replace("/", "-")
    said = (
        cli("flags", "explain", color, "-u", "eve", "-a", "age=20", "--json", **STAGING).ok().json
    )
    bucket, variant = said["result"]["bucket"], said["result"]["variant"]
    assert explained(cli, color, "-u", "eve", "-a", "age=20") == [
        f'{color} in staging: {variant} = {{"hex": "{"f00" if variant == "red" else "00f"}"}}',
        "  ✗ rule pros (who pays): red",
        '      ✗ plan.name equals "pro": it is not there',
        "  ✓ rule others: red to 50 %, blue to 50 %",
        "      ✓ any of",
        f"        ✗ in segment {segment}",
        "        ✓ age gte 18: it is 20",
        f'      bucket {bucket:,} of 100,000, by targetingKey "eve" -> {variant}',
    ]
    assert explained(cli, color, "-a", "plan.name=pro")[1:] == [
        "  ✓ rule pros (who pays): red",
        '      ✓ plan.name equals "pro": it is "pro"',
    ]
    assert explained(cli, color)[-1] == "  ✓ no rule decides: grey"
    assert explained(cli, color, "-a", "age=20")[-1] == "      there is no targetingKey -> grey"
    cli("flags", "explain", f"{color}-2", **STAGING).failed(3)


def test_explain_says_what_decided_before_the_rules(cli: Cli, api, flag):
    make(api, flag, target_users=["ada"])
    needs = {"prerequisites": [{"flag": flag, "variants": ["off", "on"]}]}
    make(api, f"{flag}-2", **needs)
    assert explained(cli, f"{flag}-2") == [
        f"{flag}-2 in staging: on = true",
        f"  ✓ needs {flag} to serve off or on: it serves on",
        "  ✓ no rule decides: on",
    ]
    make(api, f"{flag}-3", prerequisites=[{"flag": flag, "variant": "off"}], rollout_percentage=9)
    assert explained(cli, f"{flag}-3") == [
        f"{flag}-3 in staging: off = false",
        f"  ✗ needs {flag} to serve off: it serves on",
    ]
    cli("flags", "off", f"{flag}-2", **STAGING).ok()
    assert explained(cli, f"{flag}-2")[1:] == ["  ✗ it is off: off for everybody"]


def test_what_decided_is_green_on_a_terminal(cli: Cli, api, flag):
    make(api, flag, target_users=["ada"], rollout_percentage=0)
    terminal = cli.terminal("flags", "explain", flag, "-u", "bob", **STAGING)
    terminal.expect(pexpect.EOF)
    assert "\x1b[31m  ✗ rule target_users: on\x1b[0m" in terminal.before
    assert "\x1b[32m  ✓ rule rollout" in terminal.before
