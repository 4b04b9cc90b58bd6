"""Completion in bash, zsh and fish: the scripts, and what they are answered."""

import shutil
import subprocess

import configsync
import pytest

from tests.cli.prompt import Cli


def completed(cli: Cli, shell: str, line: str) -> str:
    words = line.split(" ")
    ours = {"_CONFIGSYNC_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    ours |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        ours["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    return cli(**ours).ok().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_options_are_completed(cli: Cli, shell):
    assert "watch" in completed(cli, shell, "configsync wat")
    assert "whoami" not in completed(cli, shell, "configsync wat")
    assert "rotate" in completed(cli, shell, "configsync keys ro")
    assert "explain" in completed(cli, shell, "configsync flags ex")
    assert "--untarget" in completed(cli, shell, "configsync flags set --unt")
    assert "--reveal" in completed(cli, shell, "configsync get --re")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(cli: Cli, shell):
    script = cli(_CONFIGSYNC_COMPLETE=f"source_{shell}").ok().out
    assert f"complete_{shell}" in script
    program = shutil.which(shell)
    if program:
        checked = subprocess.run(
            [program, "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_with_its_script(cli: Cli):
    bin_dir = cli.home / "bin"
    bin_dir.mkdir()
    (bin_dir / "configsync").write_text(f'#!/bin/sh\nexec {" ".join(cli.command)} "$@"\n')
    (bin_dir / "configsync").chmod(0o755)
    script = cli(_CONFIGSYNC_COMPLETE="source_bash").ok().out
    ask = (
        f"{script}\nCOMP_WORDS=(configsync sta); COMP_CWORD=1; COMP_LINE='configsync sta'\n"
        "_configsync_completion configsync\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", ask],
        env={**cli.env, "PATH": f"{bin_dir}:{cli.env['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "status\n", done.stderr


def test_the_version_is_told(cli: Cli):
    assert cli("--version").ok().out.strip() == f"configsync {configsync.__version__}"
