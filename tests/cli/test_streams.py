"""Standard streams that are closed, full, or that nobody reads."""

import subprocess

import pytest

from tests.cli.prompt import Cli, Said


@pytest.fixture
def shell(cli: Cli, service):
    """Run a command of a shell in which $C is the command line, and $S the service."""

    def run(text: str) -> Said:
        done = subprocess.run(
            ["bash", "-c", text],
            env={**cli.env, "C": " ".join(cli.command), "S": service},
            cwd=cli.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def test_without_a_standard_error_everything_works(cli: Cli, service, shell):
    for place in ("2>&-", "2>/dev/full"):
        assert shell(f"$C set a '\"{place}\"' -s $S {place}").code == 0
        assert shell(f"$C get a -s $S {place}").out == f"{place}\n"


def test_a_result_that_cannot_be_written_is_a_failure(cli: Cli, service, shell):
    assert shell("$C set a 1 -s $S >&-").code == 0
    for words in ("get a", "get", "list", "list --json"):
        assert "result: it is closed." in shell(f"$C {words} -s $S >&-").failed(1)
        said = shell(f"$C {words} -s $S >/dev/full").failed(1)
        assert said == "configsync: Cannot write the result: No space left on device."


def test_input_that_is_missing_is_a_failure(cli: Cli, service, shell):
    said = shell("$C set a - -s $S <&-").failed(1)
    assert said == "configsync: Cannot read standard input: it is closed."
    assert "it is closed" in shell("$C apply -f - <&-").failed(1)
    assert "it is closed" in shell("$C set a -s $S --secret <&-").failed(1)
    assert shell("$C set a 1 -s $S <&-").code == 0
    assert "not UTF-8" in shell("printf '\\xff' | PYTHONUTF8=0 PYTHONIOENCODING=utf-8:strict "
                                "$C set a - -s $S").failed(1)  # fmt: skip


def test_who_reads_no_further_ends_the_command_quietly(cli: Cli, service, shell):
    cli("set", "a", "1", "-s", service).ok()
    for words in ("get a", "get", "list"):
        said = shell(f"$C {words} -s $S | true; echo ${{PIPESTATUS[0]}}")
        assert said.err == ""
        assert said.out in {"141\n", "0\n"}
    said = shell("{ sleep 0.1; $C get a -s $S; echo $? >&2; } | true")
    assert said.err == "141\n"
