"""`apply` and `export`."""

import json
import math
import tomllib
from xml.etree import ElementTree as ET

import pexpect
import pytest
import yaml

from tests.cli.prompt import Cli

BULLETS = "••••••••"
CONFIG = {
    "text": 'a "quoted" $line\\',
    "lines": "one\ntwo",
    "ünicode key": "💡",
    "number": 1.5,
    "big": 10**20,
    "on": True,
    "list": [1, {"a": "b"}],
    "empty": {},
    "nested": {"deep": {"er": 1}},
}


def change_set(service: str, *changes: dict) -> dict:
    return {"changes": [{"service": service, **one} for one in changes], "message": "from a file"}


@pytest.fixture
def file(cli: Cli):
    def write(content: str, name: str = "changes.yaml") -> str:
        (cli.home / name).write_text(content)
        return name

    return write


def test_a_change_set_is_applied_as_a_whole(cli: Cli, api, service, file):
    content = change_set(
        service,
        {"key": "a", "op": "set", "value": 1},
        {"key": "b", "op": "set", "value": {"c": None}, "environment": "staging"},
    )
    said = cli("apply", "-f", file(json.dumps(content), "c.json"), "--json").ok().json
    assert [one["key"] for one in said["changes"]] == ["a", "b"]
    assert api.get(f"/config/{service}?environment=staging").json()["config"] == {
        "a": 1,
        "b": {"c": None},
    }
    [version] = api.get(f"/config/{service}/history").json()["versions"]
    assert version["message"] == "from a file"


def test_yaml_and_standard_input_are_understood(cli: Cli, api, service, file):
    text = f"changes:\n- {{service: {service}, key: a, op: set, value: [on, 'on', true, 1e3]}}\n"
    cli("apply", "-f", file(text)).ok()
    cli("apply", "-f", "-", text=text.replace("key: a", "key: b")).ok()
    assert api.get(f"/config/{service}").json()["config"] == {
        "a": ["on", "on", True, "1e3"],
        "b": ["on", "on", True, "1e3"],
    }


def test_one_change_that_does_not_fit_undoes_all(cli: Cli, api, service, file):
    content = change_set(
        service,
        {"key": "a", "op": "set", "value": 1},
        {"key": "b", "op": "set", "value": 1, "expected_version": 3},
    )
    cli("apply", "-f", file(json.dumps(content))).failed(5)
    assert api.get("/config/get", params={"service": service}).status_code == 404


def test_a_dry_run_shows_everything_and_changes_nothing(cli: Cli, api, service, file):
    cli("set", "same", "1", "-s", service).ok()
    cli("set", "old", "1", "-s", service).ok()
    cli("set", "gone", "1", "-s", service).ok()
    cli("set", "secret", "-s", service, "--secret", text="hunter2\n").ok()
    before = api.get("/config/get", params={"service": service}).json()
    content = change_set(
        service,
        {"key": "same", "op": "set", "value": 1},
        {"key": "old", "op": "set", "value": 2},
        {"key": "gone", "op": "delete"},
        {"key": "secret", "op": "set", "value": "swordfish"},
        {"key": "new", "op": "set", "value": "x", "environment": "staging"},
        {"key": "token", "op": "set", "value": "t-4711", "is_encrypted": True},
    )
    name = file(json.dumps(content))
    said = cli("apply", "-f", name, "--dry-run").ok()
    assert said.out.splitlines() == [
        f"= {service} same",
        f"~ {service} old: 1 -> 2",
        f"- {service} gone: 1",
        f'~ {service} secret: "{BULLETS}" -> "{BULLETS}"',
        f'+ {service}@staging new: "x"',
        f'+ {service} token: "{BULLETS}"',
    ]
    shown = cli("apply", "-f", name, "--dry-run", "--json").ok()
    assert [one["action"] for one in shown.json["changes"]] == [
        "none",
        "change",
        "remove",
        "change",
        "add",
        "add",
    ]
    assert "t-4711" not in shown.out
    assert "swordfish" not in shown.out
    assert api.get("/config/get", params={"service": service}).json() == before


def test_a_dry_run_finds_what_would_be_refused(cli: Cli, service, file):
    cli("set", "a", "1", "-s", service).ok()
    late = change_set(service, {"key": "a", "op": "set", "value": 2, "expected_version": 9})
    said = cli("apply", "-f", file(json.dumps(late)), "--dry-run")
    assert said.code == 5
    assert f"{service} a" in said.err
    nowhere = change_set(service, {"key": "a", "op": "delete", "environment": "moon"})
    assert "moon" in cli("apply", "-f", file(json.dumps(nowhere)), "--dry-run").failed(1)
    twice = change_set(service, *[{"key": "a", "op": "delete"}] * 2)
    said = cli("apply", "-f", file(json.dumps(twice)), "--dry-run")
    assert (said.code, "stands twice" in said.err) == (1, True)


def flag_changes(service: str) -> dict:
    share = {"rollout_percentage": 25, "target_users": ["ada"]}
    place = {"environment": "staging", "op": "set"}
    return {
        "changes": [
            {"service": service, "key": "a", "op": "set", "value": 1},
            {"segment": f"{service}/beta", "op": "set", "included": ["ada"]},
            {"flag": f"{service}/new", **place, "is_enabled": True, **share},
            {"flag": f"{service}/old", **place, "is_enabled": False, "tags": ["b"]},
            {"flag": f"{service}/same", **place, "tags": []},
            {"flag": f"{service}/gone", "environment": "staging", "op": "delete"},
        ]
    }


@pytest.fixture
def present(api, service):
    for name in ("old", "same", "gone"):
        body = {"name": f"{service}/{name}", "environment": "staging", "is_enabled": True}
        api.post("/api/v1/feature-flags", json=body).raise_for_status()


def flags(api, service: str) -> dict:
    found = api.get("/api/v1/feature-flags", params={"q": service}).json()["feature_flags"]
    return {one["name"].rpartition("/")[2]: one for one in found}


def test_a_change_set_has_flags_and_segments_too(cli: Cli, api, service, file, present):
    name = file(yaml.safe_dump(flag_changes(service)))
    said = cli("apply", "-f", name, "--json").ok()
    assert said.err.startswith("6 changes, revision ")
    now = flags(api, service)
    assert sorted(now) == ["new", "old", "same"]
    assert (now["new"]["rollout_percentage"], now["old"]["is_enabled"]) == (25, False)
    assert {now["new"]["revision"], now["old"]["revision"]} == {said.json["revision"]}
    assert api.get(f"/api/v1/segments/{service}/beta").json()["included"] == ["ada"]
    assert api.get(f"/config/{service}").json()["config"] == {"a": 1}


def test_a_dry_run_shows_flags_and_segments_too(cli: Cli, api, service, file, present):
    before = flags(api, service)
    name = file(yaml.safe_dump(flag_changes(service)))
    new = '{"is_enabled": true, "rollout_percentage": 25, "target_user…'
    assert cli("apply", "-f", name, "--dry-run").ok().out.splitlines() == [
        f"+ {service} a: 1",
        f'+ segment {service}/beta: {{"description": "", "included": ["ada"], "excluded": [], "w…',
        f"+ flag {service}/new in staging: {new}",
        f'~ flag {service}/old in staging: is_enabled true -> false, tags [] -> ["b"]',
        f"= flag {service}/same in staging",
        f"- flag {service}/gone in staging",
    ]
    shown = cli("apply", "-f", name, "--dry-run", "--json").ok().json["changes"]
    assert (shown[3]["action"], shown[3]["new"]) == ("change", {"is_enabled": False, "tags": ["b"]})
    assert flags(api, service) == before


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ({"flag": "old", "op": "set"}, 2, "names no environment"),
        ({"flag": "none", "op": "update", "environment": "staging"}, 3, "none"),
        ({"flag": "old", "op": "create", "environment": "staging", "is_enabled": True}, 5, "old"),
        (
            {"flag": "old", "op": "set", "environment": "staging", "expected_version": 7},
            5,
            "version",
        ),
        ({"flag": "old", "op": "set", "environment": "moon"}, 1, "moon"),
        ({"flag": "old", "op": "set", "environment": "staging", "colour": 1}, 1, "colour"),
        ({"flag": "old", "op": "delete", "environment": "staging", "tags": []}, 1, "tags"),
        ({"segment": "old", "op": "delete"}, 3, "old"),
    ],
)
def test_changes_of_flags_that_cannot_be_made(
    cli: Cli, api, service, file, present, change, code, why
):
    names = {kind: f"{service}/{change[kind]}" for kind in ("flag", "segment") if kind in change}
    name = file(json.dumps({"changes": [{**change, **names}]}))
    before = flags(api, service)
    for words in ([], ["--dry-run"]):
        said = cli("apply", "-f", name, *words)
        assert (said.code, why in said.err) == (code, True), (words, said)
    assert flags(api, service) == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is not JSON"),
        ("a: b: c", "is not YAML"),
        ("changes: []", "list named changes"),
        ("changes: [{op: set, value: 1}]", "names no key"),
        ("changes: [{key: a, op: move}]", "set, delete or unset"),
        ("changes: [{key: a, op: set}]", "a value belongs to set"),
        ("changes: [{key: a, op: set, value: 1, value: 2}]", "stands twice"),
        ("changes: [{key: a, op: set, value: 2026-01-31}]", "in quotes"),
        ("changes: [{key: a, op: set, value: 2026-99-31}]", "is not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("changes: " + "[" * 5000, "nested too deeply"),
        ("changes: &all [*all]", "nested too deeply"),
    ],
)
def test_a_file_that_is_no_change_set_says_why(cli: Cli, file, content, why):
    assert why in cli("apply", "-f", file(content)).failed(2)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"service": 5}, "service must be text"),
        ({"environment": ["a"]}, "environment must be text"),
        ({"expected_version": "1"}, "expected_version must be a whole number"),
        ({"expected_version": True}, "expected_version must be a whole number"),
        ({"expected_version": -1}, "less than 0"),
        ({"is_encrypted": 1}, "is_encrypted must be true or false"),
        ({"valeu": 1}, "a member 'valeu'"),
        ({"key": ""}, "printable characters"),
        ({"key": "k" * 256}, "printable characters"),
        ({"value": math.inf}, "no such number"),
        ({"value": [math.nan]}, "no such number"),
    ],
)
def test_a_dry_run_refuses_what_apply_refuses(cli: Cli, service, file, more, why):
    content = change_set(service, {"key": "a", "op": "set", "value": 1, **more})
    name = file(yaml.safe_dump(content))
    for words in ([], ["--dry-run"]):
        assert why in cli("apply", "-f", name, *words).failed(1)


def test_a_change_set_of_other_members_or_types_is_refused(cli: Cli, file):
    change = {"key": "a", "op": "set", "value": 1}
    for more, why in (({"messages": "x"}, "'messages'"), ({"message": 5}, "message must be text")):
        name = file(json.dumps({"changes": [change], **more}))
        for words in ([], ["--dry-run"]):
            assert why in cli("apply", "-f", name, *words).failed(1)


def test_a_byte_order_mark_is_no_part_of_a_file(cli: Cli, api, service, file):
    text = "\ufeff" + json.dumps(change_set(service, {"key": "a", "op": "set", "value": 1}))
    cli("apply", "-f", file(text, "c.json")).ok()
    cli("apply", "-f", "-", text=text.replace('"value": 1', '"value": 2')).ok()
    assert api.get(f"/config/{service}").json()["config"] == {"a": 2}


def test_places_are_told_once(cli: Cli, service, file):
    changes = [{"key": "a", "op": "delete"}, {"key": "b", "op": "delete"}]
    said = cli("apply", "-f", file(json.dumps(change_set("a b", *changes)), "c.json")).failed(1)
    assert said.count("body.changes.0.service") == 1
    assert said.count("body.changes.1.service") == 1
    assert ".." not in said


def test_a_file_that_is_not_there_says_so(cli: Cli):
    assert "Cannot read" in cli("apply", "-f", "nowhere.yaml").failed(2)


@pytest.fixture
def exported(cli: Cli, api, service):
    api.post(f"/config/{service}", json={"config": CONFIG}).raise_for_status()

    def export(form: str) -> str:
        return cli("export", "-s", service, "--format", form).ok().out

    return export


def test_json_yaml_and_toml_say_the_same(exported):
    assert json.loads(exported("json")) == CONFIG
    assert yaml.safe_load(exported("yaml")) == CONFIG
    assert tomllib.loads(exported("toml")) == CONFIG


def test_xml_has_everything(exported):
    root = ET.fromstring(exported("xml"))
    assert root.findtext("nested/deep/er") == "1"
    assert root.find("entry[@name='ünicode key']").text == "💡"
    assert [one.findtext("a") or one.text for one in root.findall("list/item")] == ["1", "b"]
    assert root.find("on").get("type") == "boolean"


def test_an_env_file_is_read_back_by_a_shell(cli: Cli, exported):
    import subprocess  # noqa: PLC0415

    (cli.home / "file.env").write_text(exported("env"))
    script = 'set -a; . ./file.env; printf "%s|%s|%s|%s" "$TEXT" "$LINES" "$NESTED_DEEP_ER" "$LIST"'
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=cli.home, capture_output=True, text=True, check=True
    )
    assert done.stdout == "|".join((CONFIG["text"], CONFIG["lines"], "1", '[1, {"a": "b"}]'))


def test_properties_are_ascii_with_escapes(exported):
    lines = exported("properties").splitlines()
    assert "nested.deep.er=1" in lines
    assert "\\u00fcnicode\\ key=\\ud83d\\udca1" in lines
    assert 'text=a "quoted" $line\\\\' in lines
    assert "lines=one\\ntwo" in lines


def test_a_file_is_for_its_owner_alone(cli: Cli, exported, service):
    cli("export", "-s", service, "-o", "out.json").ok()
    assert (cli.home / "out.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((cli.home / "out.json").read_text()) == CONFIG
    assert "Cannot write" in cli("export", "-s", service, "-o", "no/where").failed(1)


def test_all_documents_go_into_a_directory(cli: Cli, api, service):
    cli("set", "a", "1", "-s", service).ok()
    cli("set", "a", "2", "-s", service, "-e", "staging").ok()
    said = cli("export", "--all", "out", "--json").ok().json
    assert f"out/{service}.json" in said["files"]
    assert json.loads((cli.home / f"out/{service}@staging.json").read_text()) == {"a": 2}


def test_long_work_has_a_bar_on_a_terminal(cli: Cli, service):
    cli("set", "a", "1", "-s", service).ok()
    terminal = cli.terminal("export", "--all", "out", "--stored")
    terminal.expect("Exporting")
    terminal.expect("files are in out")
    terminal.expect(pexpect.EOF)


def test_what_a_format_cannot_hold_is_said(cli: Cli, api, service):
    api.post(f"/config/{service}", json={"config": {"a": None, "b": 1}}).raise_for_status()
    said = cli("export", "-s", service, "-f", "toml").ok()
    assert (said.out, "a is left out" in said.err) == ("b = 1\n", True)
    api.post(f"/config/{service}", json={"config": {"a.b": 1, "a": {"b": 1}, "A_B": 2}})
    assert "would both be A_B" in cli("export", "-s", service, "-f", "env").failed(1)


def test_the_stored_document_and_what_is_not_there(cli: Cli, service):
    cli("set", "a", "1", "-s", service).ok()
    cli("set", "b", "2", "-s", service, "-e", "staging").ok()
    alone = cli("export", "-s", service, "-e", "staging", "--stored").ok().out
    assert json.loads(alone) == {"b": 2}
    cli("export", "-s", service, "-e", "production", "--stored").failed(3)
