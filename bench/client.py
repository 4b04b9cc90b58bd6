"""`python -m bench client`: reading, swapping, hearing of a change, doing nothing, a command."""

import json
import os
import subprocess
import sys
import threading
import time
import timeit
from statistics import median
from typing import Any

from configsync import SyncConfigClient
from configsync._options import Options
from configsync._snapshot import Origin, Snapshot
from configsync._state import News, State
from configsync._transport import Cursor, Fetched

from bench import store
from bench.lines import Table, percentile
from bench.sealed import Client
from bench.store import ROOT, Person

KEYS, SWAPS = 100_000, 7
CHANGES, BRIEF_CHANGES = 200, 40
IDLE_SECONDS, BRIEF_IDLE = 20.0, 5.0
COMMANDS = 11
READ, SWAP_MS, HEARD_MS, IDLE_PERCENT, COLD_MS = 0.4, 100.0, 300.0, 0.1, 250.0
SERVICE, ENVIRONMENT = "bench-client", "development"
WRITE = ["read", "write"]


def document(number: int) -> dict[str, Any]:
    """Return a document with so many scalar keys in objects of a hundred."""
    return {
        f"part_{part:04}": {f"key_{key:02}": number + key for key in range(100)}
        for part in range(KEYS // 100)
    }


def best(statement: str, names: dict[str, Any], times: int = 500_000) -> float:
    """Return the nanoseconds of a statement, the best of seven runs."""
    return min(timeit.Timer(statement, globals=names).repeat(7, times)) / times * 1e9


def reading(table: Table) -> None:
    """Measure `get` of a key beside `dict.get` of the same, in turns."""
    client = SyncConfigClient(base_url="http://localhost", app_id=SERVICE)
    snapshot = Snapshot(document(0), Origin("server"))
    client._publish(snapshot)  # noqa: SLF001  (as if a server had answered)
    names = {"client": client, "plain": dict(snapshot.flat), "key": "part_0500.key_50"}
    pairs = [(best("client.get(key)", names), best("plain.get(key)", names)) for _ in range(3)]
    ours, plain = (min(pair[place] for pair in pairs) for place in (0, 1))
    table.at_least(
        "client.get of a key; dict.get",
        f"{ours:.1f} ns",
        f"{plain:.1f} ns",
        ratio=plain / ours,
        promised=READ,
    )


def swapping(table: Table) -> None:
    """Measure a swap of all keys beside parsing their JSON."""
    options = Options(base_url="http://localhost", app_id=SERVICE)
    state = State(options, lambda _: None, in_threads=True)
    heard = threading.Event()
    state.listeners.add(lambda _: heard.set(), None, None)
    parsed, swapped = [], []
    for number, text in enumerate([json.dumps(document(number)) for number in range(SWAPS)]):
        began = time.perf_counter()
        configs = json.loads(text)
        between = time.perf_counter()
        cursor = Cursor("e", number)
        fetched = Fetched(configs, (), f"v{number}", number, cursor, 0.0)
        state.take(News(fetched, None, cursor))
        swapped.append((time.perf_counter() - between) * 1000)
        parsed.append((between - began) * 1000)
    state.listeners.join()
    assert heard.is_set()
    what = f"{KEYS:,} keys taken, frozen, swapped; parsing their JSON"
    table.below(what, median(swapped), "ms", median(parsed), promised=SWAP_MS)


def write(owner: Client, number: int) -> None:
    """Change the config."""
    body = {"name": SERVICE, "environment": ENVIRONMENT, "config": {"n": number}}
    owner.post("/config/update", body)


def hearing(table: Table, client: SyncConfigClient, owner: Client, changes: int) -> None:
    """Measure from sending a change to a listener's call, beside the server's answer."""
    heard: dict[int, float] = {}
    came = threading.Event()

    def listen(config: Any) -> None:
        heard[config["n"]] = time.perf_counter()
        came.set()

    remove = client.on_change(listen)
    took, answered = [], []
    for number in range(1, changes + 1):
        began = time.perf_counter()
        write(owner, number)
        answered.append((time.perf_counter() - began) * 1000)
        while number not in heard:
            came.wait(1)
            came.clear()
        took.append((heard[number] - began) * 1000)
        time.sleep(0.05)
    remove()
    table.below(
        "change sent -> listener called: p99; the write's own answer",
        percentile(took, 99),
        "ms",
        percentile(answered, 99),
        promised=HEARD_MS,
    )
    table.note(f"p50 {median(took):.1f} ms, the answer {median(answered):.1f} ms; {changes}")


def idling(table: Table, seconds: float) -> None:
    """Measure the CPU of this process while a client is connected and nothing happens."""
    time.sleep(1)
    before = time.process_time()
    time.sleep(seconds)
    share = (time.process_time() - before) / seconds * 100
    table.line(
        f"CPU of a connected client, idle for {seconds:g} s",
        f"{share:.3f} %",
        promised=f"< {IDLE_PERCENT:g} %",
        kept=share < IDLE_PERCENT,
    )


def command(table: Table, url: str, key: str) -> None:
    """Measure `configsync get` from its start to its end, beside a bare interpreter."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "sdk" / "src"),
        "CONFIGSYNC_URL": url,
        "CONFIGSYNC_API_KEY": key,
        "CONFIGSYNC_APP_ID": SERVICE,
        "CONFIGSYNC_ENVIRONMENT": ENVIRONMENT,
    }

    def run(*words: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], env=variables, check=True, capture_output=True)
        return (time.perf_counter() - began) * 1000

    get = ("-m", "configsync", "get", "n")
    run(*get)  # compiles
    pairs = [(run(*get), run("-c", "pass")) for _ in range(COMMANDS)]
    ours, plain = (median(pair[place] for pair in pairs) for place in (0, 1))
    table.below("`configsync get`, cold; `python -c pass`", ours, "ms", plain, promised=COLD_MS)


def run(person: Person, *, brief: bool) -> bool:
    """Print the figures of the client library and the command line."""
    table = Table(f"Client library and command line; load {os.getloadavg()[0]:.1f}")
    reading(table)
    swapping(table)
    with store.configsync(1) as server:
        owner = Client(server.port, person.token)
        write(owner, 0)
        url, key = f"http://127.0.0.1:{server.port}", owner.new_key(WRITE)
        with SyncConfigClient(
            base_url=url, api_key=key, app_id=SERVICE, environment=ENVIRONMENT
        ) as client:
            client.start_auto_refresh()
            while client.status.push != "stream":
                time.sleep(0.05)
            hearing(table, client, owner, BRIEF_CHANGES if brief else CHANGES)
            idling(table, BRIEF_IDLE if brief else IDLE_SECONDS)
        command(table, url, key)
    return table.good
