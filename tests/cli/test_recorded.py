"""The session in docs/cli.md, run again: the commands of the page and what they answer.

Times, fingerprints, buckets and the server's address differ from run to run and are compared by
form.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.prompt import KEY, Cli
from tests.processes import REPOSITORY, Server, Stage

PAGE = REPOSITORY / "docs" / "cli.md"


def session() -> list[tuple[str, str]]:
    """Return the commands of the page's console blocks, each with its answer."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    parts = re.split(r"^\$ ", "".join(blocks), flags=re.MULTILINE)[1:]
    return [(command, answer) for command, _, answer in (one.partition("\n") for one in parts)]


def normal(text: str, home: str = "~", url: str = "http://localhost:8000") -> str:
    text = text.replace(url, "http://localhost:8000").replace(home, "~")
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z *", "TIME ", text)
    text = re.sub(r"WHEN +", "WHEN ", text)
    text = re.sub(r"bucket [\d,]+ of", "bucket N of", text)
    return re.sub(r'"fingerprint":"[0-9a-f]+"', '"fingerprint":"…"', text)


@pytest.fixture
def fresh() -> Iterator[Server]:
    """Give a server on which nothing has happened: revisions are in the answers."""
    stage = Stage()
    try:
        yield stage.server(API_KEY=KEY)
    finally:
        stage.close()


def test_the_session_of_the_page_is_what_happens(tmp_path, fresh):
    cli = Cli(tmp_path, fresh.url).anonymous()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "configsync"
    program.write_text(f'#!/bin/sh\nexec {" ".join(cli.command)} "$@"\n')
    program.chmod(0o755)
    env = {**cli.env, "PATH": f"{program.parent}:{cli.env['PATH']}", "API_KEY": KEY}
    env |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    for command, answer in session():
        done = subprocess.run(
            ["sh", "-c", command.replace("http://localhost:8000", fresh.url)],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        assert normal(done.stdout, str(tmp_path), fresh.url) == normal(answer), command
