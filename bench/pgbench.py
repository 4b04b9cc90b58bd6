"""The yardstick for updates: pgbench, sending the SQL of an update as fast as PostgreSQL can."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from app.launcher.postgres import binary
from bench.recording import Recording

SENT = "100000002"  # the nonce of the recorded update
CLIENTS = 8


def script(recording: Recording) -> str:
    """Turn a recorded update into a script: the same statements, other content every time."""
    lines = ["\\set nonce random(200000000, 999999999)", "BEGIN;"]
    for statement in recording.statements:
        text = " ".join(statement.split()).replace(SENT, ":nonce")
        # One message, as the server sends it: pgbench would make two of it.
        text = text.replace("; SET LOCAL", r" \; SET LOCAL")
        lines.append(re.sub(r"'[0-9a-f]{9}([0-9a-f]{55})'", r"':nonce\1'", text) + ";")
    return "\n".join([*lines, "COMMIT;", ""])


def run(dsn: str, recordings: Sequence[Recording], *, seconds: float, home: Path) -> float:
    """Return transactions per second over the workspaces of these recordings."""
    command = [str(binary("pgbench")), "-n", "-c", str(CLIENTS), "-j", "1"]
    for number, recording in enumerate(recordings):
        file = home / f"update-{number}.sql"
        file.write_text(script(recording))
        command += ["-f", str(file)]
    done = subprocess.run(
        [*command, "-T", str(max(1, round(seconds))), dsn],
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode or told is None or "aborted" in done.stderr:
        raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}")
    return float(told[1])
