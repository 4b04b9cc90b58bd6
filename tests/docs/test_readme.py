"""The README's tour, as a reader would paste it into a shell, against a fresh server."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from app.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = ("make ", "docker ")
PATIENCE_SECONDS = 120


def tour() -> str:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return "\n".join(block for block in blocks if not block.startswith(NOT_OURS))


def environment(**variables: str) -> dict[str, str]:
    """Return this environment without anybody's settings or proxies."""
    settings = {name.upper() for name in Settings.model_fields}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.lower().endswith("_proxy")
    }
    return kept | variables


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def fresh_server() -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="configsync-") as name:
        home = Path(name)
        home.chmod(0o755)  # the embedded PostgreSQL of root runs as somebody else
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with (home / "out").open("w") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=home,  # no .env of ours
                env=environment(
                    PYTHONPATH=str(ROOT),
                    DATA_DIR=str(home / "data"),
                    AUDIT_LOG_FILE=str(home / "audit.log"),
                    SERVICE_PORT=str(port),
                ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            wait_for(server, url, home / "out")
            yield url, home / "out"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(server: subprocess.Popen[bytes], url: str, out: Path) -> None:
    opener = build_opener(ProxyHandler({}))
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert server.poll() is None, out.read_text()
        assert time.monotonic() < until, out.read_text()
        try:
            opener.open(f"{url}/health", timeout=2).close()
        except (OSError, HTTPException):
            time.sleep(0.1)
        else:
            return


def test_the_tour_runs_as_it_stands():
    with fresh_server() as (url, out):
        done = subprocess.run(
            ["sh", "-eu"],
            input=tour(),
            env=environment(CONFIGSYNC_URL=url),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        told = out.read_text()
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{told}"
    said = done.stdout
    assert re.search(r'"version":2,.*"version":1,', said)
    assert '"patch":[{"op":"replace","path":"/database/timeout","value":60}]' in said
    assert '"version":3,' in said
    assert '{"detail":"Configuration deleted"}' in said
    assert '"version":5,' in said
    assert '"document_version":1,' in said
    assert said.splitlines().count("304") == 1
    assert re.search(r'"host":"db2".* 200$', said, re.MULTILINE)
    assert re.search(r'"code":"precondition_failed".* 412$', said, re.MULTILINE)
    assert (
        len(re.findall(r"^idempotency-replayed: true\r?$", said, re.MULTILINE | re.IGNORECASE)) == 1
    )
