"""`run`: the environment, exit codes, signals, restarts, with real programs."""

import os
import signal
import sys

import pexpect
import pytest

from tests.cli.prompt import Cli
from tests.processes import children, until

SHOW = "import json, os, sys; print(json.dumps(dict(os.environ)))"
NOTES = """
import os, signal, sys, time
from pathlib import Path

notes = Path(sys.argv[1])

def note(text):
    with notes.open("a") as file:
        file.write(text + chr(10))

def on(number, _):
    note(signal.Signals(number).name)
    if number == signal.SIGTERM and "STUBBORN" not in os.environ:
        sys.exit(int(os.environ.get("CODE", "0")))

for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"):
    signal.signal(getattr(signal, name), on)
note("started " + os.environ.get("COLOR", "-"))
while True:
    time.sleep(60)
"""


def python(*words: str) -> list[str]:
    return ["--", sys.executable, *words]


@pytest.fixture
def environment(cli: Cli, service):
    def shown(*words: str, **env: str) -> dict[str, str]:
        import json  # noqa: PLC0415

        return json.loads(cli("run", "-s", service, *words, *python("-c", SHOW), **env).ok().out)

    return shown


class Program:
    """A program under `run`, and what it noted."""

    def __init__(self, cli: Cli, *words: str, **env: str) -> None:
        self.notes_file = cli.home / "notes"
        self.notes_file.unlink(missing_ok=True)
        (cli.home / "program.py").write_text(NOTES)
        command = python(str(cli.home / "program.py"), str(self.notes_file))
        self.process = cli.started("run", *words, *command, **env)

    @property
    def notes(self) -> list[str]:
        return self.notes_file.read_text().split("\n")[:-1] if self.notes_file.exists() else []

    def noted(self, *notes: str) -> None:
        until(lambda: self.notes[-len(notes) :] == list(notes), f"{notes}, not {self.notes}")

    def end(self) -> tuple[int, str]:
        """Return the exit code and what was said."""
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)


@pytest.fixture
def program(cli: Cli):
    started: list[Program] = []

    def start(*words: str, **env: str) -> Program:
        started.append(Program(cli, *words, **env))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_names_follow_the_rule(cli: Cli, api, service, environment):
    config = {
        "database": {"host": "h", "port": 1},
        "a-b.c ü": "dots and more",
        "2fast": True,
        "list": [1, "x"],
        "empty": {},
        "none": None,
        "secret": {"$secret": "hunter2"},
    }
    api.post(f"/config/{service}", json={"config": config}).raise_for_status()
    found = environment()
    assert {name: found.get(name) for name in (
        "DATABASE_HOST", "DATABASE_PORT", "A_B_C__", "_2FAST", "LIST", "EMPTY", "SECRET", "NONE",
    )} == {
        "DATABASE_HOST": "h",
        "DATABASE_PORT": "1",
        "A_B_C__": "dots and more",
        "_2FAST": "true",
        "LIST": '[1, "x"]',
        "EMPTY": "{}",
        "SECRET": "hunter2",
        "NONE": None,
    }  # fmt: skip
    assert environment("--prefix", "app_")["APP_DATABASE_HOST"] == "h"


def test_two_keys_of_one_name_are_refused_unless_they_agree(cli: Cli, api, service, environment):
    api.post(f"/config/{service}", json={"config": {"a.b": 1, "a_b": 2}}).raise_for_status()
    line = cli("run", "-s", service, "--", "true").failed(1)
    assert "'a.b' and 'a_b' would both be A_B" in line
    api.post(f"/config/{service}", json={"config": {"a.b": 1, "a_b": 1}}).raise_for_status()
    assert environment()["A_B"] == "1"


def test_variables_that_are_set_stay_unless_overridden(cli: Cli, service, environment):
    cli("set", "color", "blue", "-s", service).ok()
    assert environment(COLOR="red")["COLOR"] == "red"
    said = cli("run", "-s", service, "--", "true", COLOR="red").ok()
    assert "kept as they are set here: COLOR" in said.err
    assert environment("--override", COLOR="red")["COLOR"] == "blue"


def test_secrets_that_may_not_be_read_are_left_out_and_named(cli: Cli, api, service):
    config = {"password": {"$secret": "hunter2"}, "a": "1"}
    api.post(f"/config/{service}", json={"config": config}).raise_for_status()
    key = api.post("/api/v1/api-keys", json={"name": "reads"}).json()["key"]
    said = cli("run", "-s", service, *python("-c", SHOW), CONFIGSYNC_API_KEY=key).ok()
    assert "may not read these secrets: password" in said.err
    assert '"A": "1"' in said.out
    assert "PASSWORD" not in said.out


def test_nothing_is_on_the_command_line_of_the_child(cli: Cli, service):
    cli("set", "password", "--secret", "-s", service, text="hunter2\n").ok()
    show = "print(open('/proc/self/cmdline').read().replace(chr(0), ' '))"
    assert "hunter2" not in cli("run", "-s", service, *python("-c", show)).ok().out


@pytest.mark.parametrize("words", [[], ["--watch"]])
def test_exit_codes_pass(cli: Cli, service, words):
    cli("set", "a", "1", "-s", service).ok()
    run = ["run", "-s", service, *words, "--"]
    assert cli(*run, "sh", "-c", "exit 7").code == 7
    assert cli(*run, "true", "--json", "-s").ok().out == ""
    assert cli(*run, "no-such-program").code == 127
    assert cli(*run, "/etc/passwd").code == 126
    killed = cli(*run, "sh", "-c", "kill -9 $$").code
    assert killed == (137 if words else -9)  # without --watch the program is the process


def test_a_program_without_a_name_is_wrong_usage(cli: Cli, service):
    cli("set", "a", "1", "-s", service).ok()
    assert "no program named" in cli("run", "-s", service, "--", "").failed(2)


def test_without_a_config_nothing_runs(cli: Cli, service):
    said = cli("run", "-s", service, "--", "sh", "-c", "touch ran")
    assert said.code == 3
    assert not (cli.home / "ran").exists()


@pytest.mark.parametrize("words", [[], ["--watch"]])
def test_signals_pass(cli: Cli, service, program, words):
    cli("set", "color", "red", "-s", service).ok()
    running = program("-s", service, *words, CODE="5")
    running.noted("started red")
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGINT", "SIGTERM"):
        running.process.send_signal(getattr(signal, name))
        running.noted(name)
    assert running.end()[0] == 5


def test_a_change_restarts_the_program(cli: Cli, service, program):
    cli("set", "color", "red", "-s", service).ok()
    running = program("-s", service, "-e", "staging", "--watch")
    running.noted("started red")
    cli("set", "color", "blue", "-s", service).ok()
    running.noted("started red", "SIGTERM", "started blue")
    cli("set", "color", "green", "-s", service, "-e", "staging").ok()
    running.noted("SIGTERM", "started green")
    running.process.terminate()
    code, err = running.end()
    assert code == 0
    assert err.count("has changed") == 2


def test_a_change_that_does_not_reach_the_program_does_not_restart_it(cli, service, program):
    cli("set", "color", "red", "-s", service).ok()
    cli("set", "color", "blue", "-s", service, "-e", "staging").ok()
    running = program("-s", service, "-e", "staging", "--watch")
    running.noted("started blue")
    cli("set", "color", "black", "-s", service).ok()  # hidden by staging's own
    cli("set", "color", "green", "-s", service, "-e", "staging").ok()
    running.noted("started blue", "SIGTERM", "started green")
    assert running.notes == ["started blue", "SIGTERM", "started green"]


def test_a_stubborn_program_is_killed_after_the_grace(cli: Cli, service, program):
    cli("set", "color", "red", "-s", service).ok()
    running = program("-s", service, "--watch", "--grace", "0.2", STUBBORN="1")
    running.noted("started red")
    cli("set", "color", "blue", "-s", service).ok()
    running.noted("started red", "SIGTERM", "started blue")
    [child] = children(running.process.pid)
    os.kill(child, signal.SIGKILL)
    assert running.end()[0] == 137


def test_ctrl_c_at_a_terminal_reaches_the_program_once(cli: Cli, service):
    cli("set", "color", "red", "-s", service).ok()
    (cli.home / "program.py").write_text(NOTES)
    words = python(str(cli.home / "program.py"), str(cli.home / "notes"))
    terminal = cli.terminal("run", "-s", service, "--watch", *words)

    def notes():
        file = cli.home / "notes"
        return file.read_text().splitlines() if file.exists() else []

    until(lambda: notes() == ["started red"], "it starts")
    terminal.sendintr()
    until(lambda: "SIGINT" in notes(), "it hears")
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert notes() == ["started red", "SIGINT", "SIGTERM"]
    assert terminal.exitstatus == 0
