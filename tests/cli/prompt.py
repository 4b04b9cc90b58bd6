"""The command line as people call it: real processes, with a home of their own."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pexpect  # type: ignore[import-untyped]

from tests.processes import REPOSITORY, until

KEY = "command-line-key-0123456789-abcdefghijkl"
SDK = REPOSITORY / "sdk" / "src"
OURS = ("CONFIGSYNC_", "XDG_", "EDITOR", "VISUAL", "NO_COLOR", "COLUMNS")
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
from configsync.cli import main
main()
"""


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> "Said":
        assert self.code == 0, self.err
        return self

    def failed(self, code: int) -> str:
        """Return the one line that says why."""
        assert (self.code, self.out) == (code, ""), (self.code, self.out, self.err)
        assert "Traceback" not in self.err
        lines = [one for one in self.err.splitlines() if one.startswith("configsync: ")]
        assert lines, self.err
        return lines[-1]


class Lines:
    """What a running command says, line by line, without waiting for ever."""

    def __init__(self, stream: IO[str]) -> None:
        self.said: list[str] = []
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.said.append(line)

    def wait(self, number: int) -> list[str]:
        until(lambda: len(self.said) >= number, f"{number} lines, not {self.said}")
        return self.said


class Cli:
    """Somebody at a prompt."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        self.env = {**kept, "HOME": str(home), "PYTHONPATH": str(SDK), "LC_ALL": "C.UTF-8"}
        self.env |= {"CONFIGSYNC_URL": url, "CONFIGSYNC_API_KEY": KEY}

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "configsync"]

    def __call__(self, *words: str, text: str = "", **env: str) -> Said:
        done = subprocess.run(
            [*self.command, *words],
            input=text,
            capture_output=True,
            check=False,
            text=True,
            env={**self.env, **env},
            cwd=self.home,
            timeout=60,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def anonymous(self) -> "Cli":
        """Take what the environment says away; who calls is nobody yet."""
        for name in ("CONFIGSYNC_URL", "CONFIGSYNC_API_KEY"):
            self.env.pop(name, None)
        return self

    def terminal(self, *words: str, **env: str) -> "pexpect.spawn[str]":
        """Start a command at a terminal."""
        return pexpect.spawn(
            sys.executable,
            ["-c", INTERRUPTIBLE, *words],
            env={**self.env, "TERM": "xterm", **env},
            cwd=str(self.home),
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 120),
        )

    def started(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        """Start a command whose lines are read while it runs."""
        return subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.env, **env},
            cwd=self.home,
        )
