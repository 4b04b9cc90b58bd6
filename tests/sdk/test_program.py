"""The program of the README, while the server is killed and started again."""

import re
import signal
import sys

from tests.processes import REPOSITORY, until
from tests.sdk.desk import KEY, Desk
from tests.sdk.scripts import environment, run, running

README = REPOSITORY / "sdk" / "README.md"


def program(port: int) -> str:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for line in (
        'base_url="http://localhost:8000/api/v1", app_id="my-app", environment="development"',
        'db_host = client.get("database.host", default="localhost")',
        'client.on_change(lambda configs: print("Configs updated!"))',
        "await client.start_auto_refresh(interval=60)",
    ):
        assert line in code
    return code.replace(":8000/", f":{port}/")


def test_the_program_survives_its_server(stage):
    server = stage.server(API_KEY=KEY)
    with Desk(server.url, "my-app") as desk:
        desk.write(database={"host": "db1"})
        command = [sys.executable, "-W", "error", "-c", program(server.port)]
        env = environment({"api_key": KEY})
        with running(command, stage.place, env) as process:
            until(desk.instances, "the program runs")
            desk.write(database={"host": "db2"})
            until(lambda: process.text() == "Configs updated!\n", "it hears of a change")
            server.kill()
            assert process.popen.poll() is None
            again = stage.server(port=server.port, API_KEY=KEY)
            desk.write(database={"host": "db3"})
            until(lambda: process.text() == "Configs updated!\n" * 2, "it hears of one more")
            again.signal(signal.SIGSTOP)
            assert process.popen.poll() is None
            again.signal(signal.SIGCONT)
            desk.write(database={"host": "the end"})
            assert process.wait() == 0
            assert process.text() == "Configs updated!\n" * 3


def test_importing_does_nothing():
    code = """
import sys, threading
before = set(sys.modules)
import configsync
loaded = set(sys.modules) - before
assert not loaded & {"httpx", "asyncio", "ssl", "pydantic"}, sorted(loaded)
assert threading.active_count() == 1
for name in configsync.__all__:
    getattr(configsync, name)
assert threading.active_count() == 1
"""
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_interpreter_ends_with_a_stream_open(desk):
    desk.write(n=1)
    for code in (
        """
from configsync import SyncConfigClient
client = SyncConfigClient()
client.initialize()
client.on_change(lambda config: None)
client.start_auto_refresh()
while client.status.push != "stream":
    pass
""",
        """
import asyncio
from configsync import ConfigClient
async def main():
    client = ConfigClient()
    await client.initialize()
    await client.start_auto_refresh()
    while client.status.push != "stream":
        await asyncio.sleep(0.01)
asyncio.run(main())
""",
        """
from configsync import SyncConfigClient
client = SyncConfigClient()
client.initialize()
client.start_auto_refresh()
raise SystemExit(0)
""",
    ):
        done = run(code, desk.options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
