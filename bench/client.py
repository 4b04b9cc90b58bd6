"""The client library beside its yardsticks: reading, swapping, hearing of a change, doing nothing.

`python -m bench.client [listener-url key]`; the last two need a server and a key that may write.
"""

import json
import os
import sys
import threading
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk" / "src"))

from configsync import SyncConfigClient
from configsync._options import Options
from configsync._snapshot import Origin, Snapshot
from configsync._state import State
from configsync._transport import Cursor, Fetched

KEYS, CHANGES, IDLE_SECONDS = 100_000, 200, 20.0
SERVICE, ENVIRONMENT = "bench-client", "development"


def document(number: int, keys: int = KEYS) -> dict[str, Any]:
    """Return a document with so many scalar keys in objects of a hundred."""
    return {
        f"part_{part:04}": {f"key_{key:02}": number + key for key in range(100)}
        for part in range(keys // 100)
    }


def client_with(config: dict[str, Any]) -> SyncConfigClient:
    """Return a client that holds a config without having asked a server."""
    client = SyncConfigClient(base_url="http://localhost", app_id=SERVICE)
    client._publish(Snapshot(config, Origin("server")))  # noqa: SLF001
    return client


def best(statement: str, names: dict[str, Any], times: int = 500_000) -> float:
    """Return the nanoseconds of a statement, the best of seven runs."""
    timer = timeit.Timer(statement, globals=names)
    return min(timer.repeat(7, times)) / times * 1e9


def reading() -> float:
    """Print `get` of a key beside `dict.get` of the same; return the ratio of their speeds."""
    client = client_with(document(0))
    plain = dict(client._now.flat)  # noqa: SLF001
    names = {"client": client, "plain": plain, "key": "part_0500.key_50"}
    # In turns, so that both see the same machine.
    ours = min(best("client.get(key)", names) for _ in range(3))
    bare = min(best("plain.get(key)", names) for _ in range(3))
    print(f"get: {ours:.1f} ns, dict.get: {bare:.1f} ns, ratio {bare / ours:.2f} (>= 0.4)")
    return bare / ours


def swapping() -> tuple[float, float]:
    """Print how long a swap of 100,000 keys takes, with and without parsing its JSON."""
    state = State(
        Options(base_url="http://localhost", app_id=SERVICE), lambda _: None, in_threads=True
    )
    heard = threading.Event()
    state.listeners.add(lambda _: heard.set(), None, None)
    texts = [json.dumps(document(number)) for number in range(7)]
    parsed, swapped = [], []
    for number, text in enumerate(texts):
        began = time.perf_counter()
        configs = json.loads(text)
        between = time.perf_counter()
        state.take(Fetched(configs, (), f"v{number}", number, Cursor("e", number), 0.0))
        swapped.append(time.perf_counter() - between)
        parsed.append(between - began)
    state.listeners.join()
    assert heard.is_set()
    ours = sorted(swapped)[len(swapped) // 2] * 1000
    both = sorted(map(sum, zip(parsed, swapped, strict=True)))[len(swapped) // 2] * 1000
    print(f"swap of {KEYS:,} keys: {ours:.0f} ms (< 100), with parsing {both:.0f} ms")
    return ours, both


def write(http: httpx.Client, number: int) -> None:
    body = {"name": SERVICE, "environment": ENVIRONMENT, "config": {"n": number}}
    http.post("/config/update", json=body).raise_for_status()


def connected(url: str, key: str) -> SyncConfigClient:
    """Return a client that hears of changes."""
    client = SyncConfigClient(base_url=url, api_key=key, app_id=SERVICE, environment=ENVIRONMENT)
    client.initialize()
    client.start_auto_refresh()
    while client.status.push != "stream":
        time.sleep(0.05)
    return client


def hearing(url: str, key: str) -> float:
    """Print the time from sending a change to a listener's call; return p99 in ms."""
    took = []
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=20) as http:
        write(http, -1)
        client = connected(url, key)
        heard: dict[int, float] = {}
        came = threading.Event()

        def listen(config: Any) -> None:
            heard[config["n"]] = time.perf_counter()
            came.set()

        client.on_change(listen)
        for number in range(CHANGES):
            came.clear()
            began = time.perf_counter()
            write(http, number)
            while number not in heard:
                came.wait(1)
                came.clear()
            took.append(heard[number] - began)
            time.sleep(0.05)
        client.close()
    took.sort()
    p99 = took[int(len(took) * 0.99) - 1] * 1000
    print(f"change -> listener: p50 {took[len(took) // 2] * 1000:.1f}, p99 {p99:.1f} ms (< 300)")
    return p99


def idling(url: str, key: str, seconds: float = IDLE_SECONDS) -> float:
    """Print the share of a core that a connected client takes; return it in percent."""
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=20) as http:
        write(http, -2)
    client = connected(url, key)
    time.sleep(1)
    before = sum(os.times()[:2])
    time.sleep(seconds)
    share = (sum(os.times()[:2]) - before) / seconds * 100
    client.close()
    print(f"idle: {share:.3f} % of a core over {seconds:.0f} s (< 0.1)")
    return share


def main() -> None:
    """Print what can be measured."""
    todo: list[Callable[[], object]] = [reading, swapping]
    if len(sys.argv) > 2:
        url, key = sys.argv[1:3]
        todo += [lambda: hearing(url, key), lambda: idling(url, key)]
    for one in todo:
        one()


if __name__ == "__main__":
    main()
