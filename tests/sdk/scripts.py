"""Programs of their own: code that is run by another interpreter, and what it prints."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import REPOSITORY, Process, clean_environment

SDK = REPOSITORY / "sdk" / "src"


def environment(options: dict[str, Any] | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a program that uses the library."""
    names = {
        "base_url": "CONFIGSYNC_URL",
        "api_key": "CONFIGSYNC_API_KEY",
        "app_id": "CONFIGSYNC_APP_ID",
        "environment": "CONFIGSYNC_ENVIRONMENT",
    }
    given = {names[name]: value for name, value in (options or {}).items()}
    whole = clean_environment(PYTHONPATH=f"{SDK}", PYTHONUNBUFFERED="1", **given, **more)
    # These programs use the library alone; coverage of the server would print that there is none.
    return {name: value for name, value in whole.items() if not name.startswith("COVERAGE")}


@contextmanager
def running(command: list[str], place: Path, env: dict[str, str]) -> Iterator[Process]:
    """Run a program until the block ends."""
    process = Process(command, cwd=place, output=place / "output", env=env)
    try:
        yield process
    finally:
        process.end()


def run(
    code: str, options: dict[str, Any] | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run code to its end."""
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        env=environment(options, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
