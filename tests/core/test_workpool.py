import json
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core import workpool
from app.core.workpool import Refusal, WorkPool, WorkRefused
from app.diff.deep import deep_diff

PROGRAM = """
import threading, time
from app.core.workpool import WorkPool
pool = WorkPool(workers=2, queue=0, seconds=600, megabytes=512)
threading.Thread(target=pool.run, args=(time.sleep, 600)).start()
pool.run(time.sleep, 0)
print("ready", flush=True)
"""


@pytest.fixture
def make_pool():
    pools = []

    def make(*, workers=1, queue=4, seconds=60.0, megabytes=512):
        pools.append(WorkPool(workers=workers, queue=queue, seconds=seconds, megabytes=megabytes))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def refusal(pool, function, *args):
    with pytest.raises(WorkRefused) as caught:
        pool.run(function, *args)
    return caught.value.reason


def wait_until(condition):
    while not condition():
        time.sleep(0.01)


def stat(pid):
    """The state and the session of a process, from /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return fields[0], int(fields[3])


def living(session):
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if stat(pid)[1] == session and stat(pid)[0] not in "ZX"]


def describe_worker():
    fds = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return {
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "space": resource.getrlimit(resource.RLIMIT_AS)[0],
        "sigint": signal.getsignal(signal.SIGINT),
        "sockets": [fd.name for fd in fds if str(fd.readlink()).startswith("socket:")],
        "heavy": sorted({"fastapi", "starlette", "sqlalchemy"} & set(sys.modules)),
    }


def half_changed(step):
    return json.dumps([{"id": n, "value": n + step * (n % 2), "s": f"s{n}"} for n in range(1200)])


def test_work_is_done_elsewhere(make_pool):
    pool = make_pool(workers=2)
    assert pool.run(divmod, 7, 2) == (3, 1)
    assert pool.run(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="invalid literal"):
        pool.run(int, "x")


def test_many_threads_share_a_pool(make_pool):
    pool = make_pool(workers=2, queue=8)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: pool.run(abs, -n), range(40))) == list(range(40))


def test_no_process_before_the_first_use(make_pool):
    pool = make_pool()
    assert pool._pool is None
    pool.close()
    assert refusal(pool, os.getpid) is Refusal.CLOSED


def test_a_worker_is_confined(make_pool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        worker = make_pool().run(describe_worker)
    assert worker["core"] == (0, 0)
    assert 512 << 20 <= worker["space"] < 4096 << 20
    assert worker["sigint"] is signal.SIG_IGN
    assert worker["sockets"] == []
    assert worker["heavy"] == []


def test_an_exploding_diff_is_killed_and_the_next_one_answered(make_pool):
    pool = make_pool(seconds=2.0)
    before = pool.run(os.getpid)
    assert refusal(pool, deep_diff, half_changed(0), half_changed(7)) is Refusal.TIME
    assert stat(before)[0] == "X"
    assert pool.run(deep_diff, "[1, 2]", "[2, 1]") == "{}"


def test_memory_is_limited(make_pool):
    pool = make_pool(megabytes=256)
    assert refusal(pool, bytes, 1 << 30) is Refusal.MEMORY
    assert pool.run(len, bytes(1 << 20)) == 1 << 20


def test_a_dying_worker_is_replaced(make_pool):
    pool = make_pool()
    assert refusal(pool, os._exit, 3) is Refusal.DIED
    assert pool.run(abs, -1) == 1


def test_a_pool_survives_the_death_of_an_idle_worker(make_pool):
    pool = make_pool()
    before = pool.run(os.getpid)
    manager = pool._pool
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not manager.active)
    assert pool.run(os.getpid) != before


def test_a_lost_task_does_not_block_for_ever(make_pool, monkeypatch):
    pool = make_pool()
    with monkeypatch.context() as patch:
        patch.setattr(workpool, "_START_SECONDS", -60.0)
        assert refusal(pool, time.sleep, 60) is Refusal.TIME
    assert pool.run(abs, -1) == 1


def test_no_worker_can_be_started(make_pool, monkeypatch):
    def fail(*_args):
        raise OSError("no more processes")

    pool = make_pool()
    with monkeypatch.context() as patch:
        patch.setattr("multiprocessing.util.spawnv_passfds", fail)
        assert refusal(pool, abs, -1) is Refusal.DIED
    assert pool.run(abs, -1) == 1


def test_a_full_queue_refuses(make_pool):
    pool = make_pool(queue=0)
    with pool._slot():
        assert refusal(pool, abs, -1) is Refusal.FULL
    assert pool.run(abs, -1) == 1


def test_waiting_for_a_worker_ends(make_pool):
    pool = make_pool(queue=1, seconds=0.05)
    with pool._slot():
        assert refusal(pool, abs, -1) is Refusal.FULL


def test_close_refuses_what_is_running_and_leaves_no_process(make_pool):
    pool = make_pool(workers=2)
    pool.run(abs, -1)
    pids = [process.pid for process in multiprocessing.active_children()]
    assert len(pids) >= 2
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(refusal, pool, time.sleep, 60)
        wait_until(lambda: pool._futures)
        pool.close()
        assert running.result() is Refusal.CLOSED
    assert {stat(pid)[0] for pid in pids} == {"X"}
    pool.close()


def test_workers_end_when_the_server_is_killed():
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        assert len(living(server.pid)) >= 3
        server.kill()
        server.wait()
        wait_until(lambda: not living(server.pid))
