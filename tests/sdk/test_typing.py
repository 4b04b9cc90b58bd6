"""Type checkers see the public names as they are."""

import subprocess
import sys

from tests.processes import REPOSITORY


def test_mypy_agrees(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml"),
            *("--cache-dir", str(tmp_path), "tests/sdk/typing_api.py"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
