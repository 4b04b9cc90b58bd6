"""`envs`, `keys`, `workspaces`, `status`, `doctor`, and how commands are called."""

import pytest
from configsync.cli.app import root

from tests.cli.prompt import Cli
from tests.client import PASSWORD

COMMANDS = (
    "login logout whoami get set unset edit list search explain diff history rollback watch apply"
    " export envs keys workspaces run status doctor"
)


def test_environments_come_and_go(cli: Cli, service):
    name = f"env-{service[4:]}"
    cli("envs", "create", name, "--description", "for a test", "--protected").ok()
    assert f"{name}" in cli("envs", "list").ok().out
    shown = cli("envs", "list", "--json").ok().json["environments"]
    [made] = [one for one in shown if one["name"] == name]
    assert (made["protected"], made["description"]) == (True, "for a test")
    cli("envs", "create", name).failed(5)
    cli("envs", "delete", name).ok()
    cli("envs", "delete", name).failed(3)


def test_an_api_key_is_made_shown_once_renewed_and_revoked(cli: Cli, service):
    cli("set", "a", "1", "-s", service).ok()
    said = cli("keys", "create", service, "--services", service, "--actions", "read,write").ok()
    first = said.out.strip()
    assert first not in said.err
    assert cli("get", "a", "-s", service, CONFIGSYNC_API_KEY=first).ok().out == "1\n"
    assert cli("get", "a", "-s", f"{service}-2", CONFIGSYNC_API_KEY=first).failed(4)
    listed = cli("keys", "list", "--json").ok()
    assert first not in listed.out
    [made] = [one for one in listed.json["api_keys"] if one["name"] == service]
    assert made["scopes"]["actions"] == ["read", "write"]
    second = cli("keys", "rotate", str(made["id"]), "--overlap", "0", "--json").ok().json["key"]
    assert cli("get", "a", "-s", service, CONFIGSYNC_API_KEY=second).ok().out == "1\n"
    cli("keys", "revoke", str(made["id"])).ok()
    assert made["prefix"] not in cli("keys", "list").ok().out
    cli("keys", "revoke", str(made["id"])).failed(3)


def test_workspaces_and_their_members(cli: Cli, ada, service):
    person = cli.anonymous()
    person("login", cli.url, "-u", ada, text=f"{PASSWORD}\n").ok()
    slug = f"team-{service[4:]}"
    person("workspaces", "create", slug, "--name", "A team").ok()
    listed = person("workspaces", "list", "--json").ok().json["workspaces"]
    assert {ada, slug} <= {one["slug"] for one in listed}
    members = person("workspaces", "members", slug, "--add", "admin", "--role", "editor").ok()
    assert [line.split()[:2] for line in members.out.splitlines()[1:]] == [
        [ada, "owner"],
        ["admin", "editor"],
    ] or sorted(line.split()[0] for line in members.out.splitlines()[1:]) == [ada, "admin"]
    person("workspaces", "members", slug, "--remove", "admin").ok()
    person("set", "a", "1", "-s", service, "--workspace", slug).ok()
    assert person("get", "a", "-s", service, "--workspace", slug).ok().out == "1\n"
    person("get", "a", "-s", service).failed(3)
    person("get", "a", "-s", service, "--workspace", "no-such").failed(3)


def test_status_shows_who_is_behind_and_who_rejected(cli: Cli, api, service):
    cli("set", "a", "1", "-s", service).ok()
    at = api.get(f"/config/{service}").json()["revision"]
    for name, status, error in (("one", "applied", None), ("two", "rejected", "a: not a number")):
        body = {
            "service": service,
            "instance_id": name,
            "revision": at,
            "version": "x",
            "status": status,
            "error": error,
        }
        assert api.post("/api/v1/instances/report", json=body).status_code == 202
    cli("set", "a", "2", "-s", service).ok()
    said = cli("status", "-s", service).ok()
    rows = [line.split() for line in said.out.splitlines()[1:]]
    assert [(row[0], row[4], row[5]) for row in rows] == [
        ("one", "1", "applied"),
        ("two", "1", "rejected"),
    ]
    assert f"two rejected revision {at}: a: not a number" in said.err
    shown = cli("status", "-s", service, "--json").ok().json
    assert [one["instance_id"] for one in shown["instances"]] == ["one", "two"]


def test_doctor_finds_nothing_wrong(cli: Cli):
    said = cli("doctor", "--json").ok().json["checks"]
    assert [(one["name"], one["state"]) for one in said] == [
        (name, "ok")
        for name in ("profile", "network", "clock", "versions", "server", "login", "stream")
    ]
    assert "ok       stream: opens" in cli("doctor").ok().out


def test_doctor_says_what_to_do(cli: Cli):
    closed = cli("doctor", "--url", "http://127.0.0.1:9")
    assert closed.code == 1
    assert "failed   network: 127.0.0.1 port 9: Connection refused" in closed.out
    assert "Is the server running" in closed.out
    unknown = cli("doctor", "--url", "http://no-such-host.invalid")
    assert (unknown.code, "no-such-host.invalid is not known" in unknown.out) == (1, True)
    wrong = cli("doctor", CONFIGSYNC_API_KEY="cs_00000000_wrong")
    assert "failed   login" in wrong.out
    assert "cs_00000000" not in wrong.out + wrong.err
    nobody = cli("doctor", CONFIGSYNC_API_KEY="")
    assert "nobody is logged in" in nobody.out


@pytest.mark.parametrize("command", COMMANDS.split())
def test_every_command_explains_itself(command, capsys):
    def said(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            root()([*words, "--help"], prog_name="configsync")
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert f"Usage: configsync {command} " in said(command)
    assert f"  {command} " in said()


def test_wrong_calls_are_exit_code_2(cli: Cli):
    for words in ([], ["gett"], ["get", "--nonsense"], ["rollback", "one"], ["keys"], ["set"]):
        said = cli(*words)
        assert (said.code, "Traceback" in said.err) == (2, False), words
    assert "Did you mean" in cli("whoam").err or "No such command" in cli("whoam").err


def test_options_for_all_commands_may_stand_anywhere(cli: Cli, service):
    cli("set", "a", "1", "-s", service).ok()
    assert cli("--json", "get", "-s", service).ok().json["configs"] == {"a": 1}
    assert cli("get", "--json", "-s", service).ok().json["configs"] == {"a": 1}
    assert cli("get", "a", "-s", service, "--url", "http://127.0.0.1:9").code == 6


def test_a_pipe_that_closes_is_no_disaster(cli: Cli, service):
    import subprocess  # noqa: PLC0415

    cli("set", "a", "1", "-s", service).ok()
    line = f"{' '.join(cli.command)} list -s {service} | true"
    done = subprocess.run(
        ["sh", "-c", line], env=cli.env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
