"""Children that are forked with a client: os.fork, multiprocessing, gunicorn."""

import sys

import httpx

from tests.processes import free_port, until
from tests.sdk.scripts import environment, run, running

OS_FORK = """
import os, sys, time
from configsync import {kind}
{start}
heard = []
client.on_change(lambda config: heard.append(config["n"]))
parent, children = os.getpid(), []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        assert client.get("n") == 1
        children = []
        break
    children.append(pid)
me = "parent" if os.getpid() == parent else "child"
while not (client.get("n") == 2 and heard == [2]):
    if client.status.push == "stream":
        open(f"{{sys.argv[1]}}/{{os.getpid()}}", "w").close()
    time.sleep(0.02)
{end}
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
print(me)
"""
SYNC = "client = SyncConfigClient(); client.initialize(); client.start_auto_refresh()"


def fork_and_change(code, desk, place):
    """Run a program that forks three times; change the config when all four listen."""
    desk.write(n=1)
    signs = place / "signs"
    signs.mkdir()
    command = [sys.executable, "-c", code, str(signs)]
    with running(command, place, environment(desk.options)) as process:
        until(lambda: len([*signs.iterdir()]) == 4 or process.popen.poll(), "all four listen")
        assert process.popen.poll() is None, process.text()
        names = {one["instance_id"] for one in desk.instances()}
        desk.write(n=2)
        assert process.wait() == 0, process.text()
        assert sorted(process.text().split()) == ["child"] * 3 + ["parent"]
    return names


def test_children_listen_for_themselves(desk, tmp_path):
    code = OS_FORK.format(kind="SyncConfigClient", start=SYNC, end="client.close()")
    fork_and_change(code, desk, tmp_path)
    until(lambda: len(desk.instances()) == 4, "each child reports under a name of its own")


def test_children_of_a_program_with_a_loop(desk, tmp_path):
    code = """
import asyncio, os, sys, time
from configsync import ConfigClient

async def main():
    client = ConfigClient()
    await client.initialize()
    await client.start_auto_refresh()
    heard = []
    client.on_change(lambda config: heard.append(config["n"]))
    while client.status.push != "stream":
        await asyncio.sleep(0.01)
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            while not (client.get("n") == 2 and heard == [2]):
                if client.status.push == "stream" and client._thread is not None:
                    open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
                time.sleep(0.02)
            print("child", flush=True)
            os._exit(0)
        children.append(pid)
    while heard != [2]:
        open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
        await asyncio.sleep(0.02)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    await client.close()
    print("parent")

asyncio.run(main())
"""
    fork_and_change(code, desk, tmp_path)


def test_forks_in_the_middle_of_refreshes(desk):
    desk.write(n=1)
    code = f"""
import os, threading
from configsync import SyncConfigClient
{SYNC}
client.on_change(lambda config: None)
stop = threading.Event()
def swap():
    while not stop.is_set():
        client.refresh()
thread = threading.Thread(target=swap)
thread.start()
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        assert client.get("n") == 1
        client.refresh()
        client.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
thread.join()
client.refresh()
client.close()
print("good")
"""
    done = run(code, desk.options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


def test_multiprocessing(desk):
    desk.write(n=1)
    code = f"""
import multiprocessing, time
from configsync import SyncConfigClient
def work(queue, ready):
    while client.status.push != "stream":
        time.sleep(0.02)
    ready.put(True)
    while client.get("n") == 1:
        time.sleep(0.02)
    queue.put(client.get("n"))
if __name__ == "__main__":
    {SYNC}
    context = multiprocessing.get_context("fork")
    queue, ready = context.Queue(), context.Queue()
    some = [context.Process(target=work, args=(queue, ready)) for _ in range(2)]
    for one in some: one.start()
    for one in some: ready.get()
    import httpx, os
    body = {{"name": os.environ["CONFIGSYNC_APP_ID"], "config": {{"n": 2}}}}
    body["environment"] = "development"
    key = {{"X-API-Key": os.environ["CONFIGSYNC_API_KEY"]}}
    httpx.post(os.environ["CONFIGSYNC_URL"] + "/config/update", json=body, headers=key)
    print(sorted(queue.get() for _ in some))
    for one in some: one.join()
    client.close()
"""
    done = run(code, desk.options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2, 2]\n", "")


def test_all_workers_of_gunicorn_notice(desk, tmp_path):
    desk.write(n=1)
    (tmp_path / "wsgi.py").write_text(
        f"""
import json, os
from configsync import SyncConfigClient
{SYNC}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    answer = [os.getpid(), client.get("n"), client.status.push, client._state.instance_id]
    return [json.dumps(answer).encode()]
"""
    )
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "4"]
    command += ["--bind", f"127.0.0.1:{port}", "wsgi:application"]
    with running(command, tmp_path, environment(desk.options)) as process:
        answers: dict[int, list] = {}

        def ask() -> dict[int, list]:
            assert process.popen.poll() is None, process.text()
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}", trust_env=False).json()
            except httpx.TransportError:
                return answers
            answers[answer[0]] = answer
            return answers

        until(lambda: len(ask()) == 4, "all workers answer")
        until(lambda: {one[2] for one in ask().values()} == {"stream"}, "all workers listen")
        desk.write(n=2)
        until(lambda: {one[1] for one in ask().values()} == {2}, "all workers have the change")
        assert len({one[3] for one in answers.values()}) == 4
    assert "Traceback" not in process.text()
