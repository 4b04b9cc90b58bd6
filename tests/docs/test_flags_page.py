"""The commands of docs/flags.md, as a reader would paste them after the README's first steps."""

import re
import subprocess
from pathlib import Path

from tests.docs.test_readme import PATIENCE_SECONDS, environment, tour
from tests.processes import Stage

PAGE = Path(__file__).resolve().parents[2] / "docs/flags.md"


def commands() -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    first_steps = tour().partition('api "$CONFIGSYNC_URL/config/update"')[0]
    return "\n".join([first_steps, *blocks])


def test_the_commands_run_as_they_stand():
    stage = Stage()
    try:
        done = subprocess.run(
            ["sh", "-eu"],
            input=commands(),
            env=environment(CONFIGSYNC_URL=stage.server().url),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    finally:
        stage.close()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = done.stdout
    assert '"reason":"user_targeted"' in said
    assert '"reason":"rollout_percentage"' in said  # of the explanation
    assert '"variant_schema":{"required":["rate"]' in said
    assert said.count('"environment":"staging"') == 2
    snapshot = next(line for line in said.splitlines() if line.startswith('{"version"'))
    assert '"limits":{' in snapshot
    assert "dark_mode" not in snapshot
