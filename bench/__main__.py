"""`python -m bench [--seconds N] [--profile] [names…]`: measure, every figure by its yardstick."""

import argparse
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from bench import (
    client,
    flags,
    hot,
    live,
    load,
    pgbench,
    profiling,
    rules,
    scale,
    sealed,
    store,
    way,
    workers,
)
from bench.load import Load
from bench.recording import Recording, rehearse
from bench.store import NONCE, SERVICE, Person

CONNECTIONS = 8
PROMISED = 0.35  # of pgbench, for updates
HTTP = ("get", "update", "versions", "diff")
SECRETS = "secrets"  # shorter unless named
HOT, LIVE = "hot", "live"  # shorter, too
WAY, CLIENT, RULES, FLAGS = "way", "client", "rules", "flags"
FAST = (SECRETS, HOT, LIVE, WAY, CLIENT, RULES, FLAGS)
NAMES = (*HTTP, "trips", "pgbench", *FAST)
SCALE, ROTATION = ALONE = ("scale", "rotation")  # take minutes: only when named


def say(text: str) -> None:
    print(text, flush=True)


class Updates:
    """Requests that update, no two with the same content."""

    def __init__(self, people: list[Person]) -> None:
        self._halves = []
        for person in people:
            whole = load.post("/config/update", person.token, store.body())
            before, _, after = whole.partition(NONCE.encode())
            self._halves.append((before, after))

    next_nonce = 500000000

    def __call__(self, number: int) -> bytes:
        Updates.next_nonce += 1
        before, after = self._halves[number % len(self._halves)]
        return b"%b%d%b" % (before, Updates.next_nonce, after)


def reads(people: list[Person], path: Callable[[Person], str]) -> load.Make:
    """Return requests that read, from one person after the other."""
    requests = [load.get(path(person), person.token) for person in people]
    return lambda number: requests[number % len(requests)]


def requests_of(name: str, people: list[Person]) -> load.Make:
    """Return the requests that a measurement sends."""
    if name == "update":
        return Updates(people)
    if name == "bare":
        return lambda _: load.get("/bare")
    if name == "get":
        return reads(people, lambda _: f"/config/get?service={SERVICE}")
    if name == "versions":
        return reads(people, lambda _: f"/config/versions?name={SERVICE}&limit=3")
    return reads(
        people,
        lambda person: (
            f"/config/diff?service={SERVICE}&version1_id={person.version_ids[0]}"
            f"&version2_id={person.version_ids[1]}"
        ),
    )


def measure(
    server: store.Server, make: load.Make, *, seconds: float, processes: int = 1
) -> tuple[Load, str]:
    """Load a server over eight connections."""
    sockets, spread = workers.spread(server.pid, server.port, workers=processes, count=CONNECTIONS)
    try:
        result = load.run(sockets, make, seconds=seconds)
        if result.failed:
            raise RuntimeError(f"calls failed; answers by status: {result.statuses}")
        return result, spread
    finally:
        load.close(sockets)


def http(names: list[str], people: list[Person], dsn: str, seconds: float) -> None:
    """Measure routes, each between two halves of a measurement of a bare FastAPI route."""
    say(f"\nOver HTTP: 1 process, {CONNECTIONS} connections, {len(people)} workspaces, 2 KB each")
    say("  route         req/s   p50 ms   p99 ms   bare/s   p50 ms   p99 ms   ratio")
    with store.bare() as plain, store.configsync(1) as server:
        for name in names:
            store.tidy(dsn)
            first, _ = measure(plain, requests_of("bare", people), seconds=seconds / 2)
            result, _ = measure(server, requests_of(name, people), seconds=seconds)
            second, _ = measure(plain, requests_of("bare", people), seconds=seconds / 2)
            bare = first + second
            say(
                f"  {name:<10}{result.per_second:9.0f}{result.percentile(50):9.2f}"
                f"{result.percentile(99):9.2f}{bare.per_second:9.0f}{bare.percentile(50):9.2f}"
                f"{bare.percentile(99):9.2f}{result.per_second / bare.per_second:8.3f}"
            )
    say(
        "  bare: a def route that returns a 2 KB Pydantic model; for it the generator took "
        f"{bare.busy * 100:.0f} % of\n  a core, so that it could send about {bare.ceiling:.0f} "
        "requests a second by itself."
    )


def against_pgbench(
    people: list[Person], recordings: dict[str, Recording], dsn: str, seconds: float, home: Path
) -> bool:
    """Measure updates between two halves of pgbench; say whether the promise holds."""
    say(f"\nUpdates beside pgbench with the same SQL, {CONNECTIONS} clients; promised: {PROMISED}")
    say("  workspaces  workers  update/s  p50 ms  p99 ms  pgbench/s   ratio  connections")
    good = True

    def yardstick(count: int) -> float:
        store.tidy(dsn)
        said = [recordings[person.username] for person in people[:count]]
        return pgbench.run(dsn, said, seconds=seconds / 2, home=home)

    for processes in (2, 1):
        with store.configsync(processes) as server:
            for count in (1, len(people)):
                first = yardstick(count)
                store.tidy(dsn)
                result, spread = measure(
                    server, Updates(people[:count]), seconds=seconds, processes=processes
                )
                same = (first + yardstick(count)) / 2
                ratio = result.per_second / same
                good = good and (processes == 1 or ratio >= PROMISED)
                say(
                    f"  {count:10}{processes:9}{result.per_second:10.0f}"
                    f"{result.percentile(50):8.2f}{result.percentile(99):8.2f}"
                    f"{same:11.0f}{ratio:8.2f}  {spread}"
                )
    say(f"  The promise, {PROMISED} with 2 workers: {'kept' if good else 'NOT KEPT'}")
    return good


def trips(recordings: dict[str, Recording]) -> None:
    """Print what one update sends to PostgreSQL."""
    recording = list(recordings.values())[len(recordings) // 2]
    say("\nOne update in PostgreSQL (of an existing document)")
    say(
        f"  statements {len(recording.statements)}, and BEGIN, COMMIT; "
        f"round trips in all: {recording.trips}"
    )
    earlier = 0
    for statement, trip in zip(recording.statements, recording.after, strict=True):
        say(f"  trip {trip:2}{f' (+{trip - earlier})':5}  {' '.join(statement.split())[:100]}")
        earlier = trip
    say(f"  trip {recording.trips:2} (+{recording.trips - earlier})  COMMIT")
    for what, words in (
        ("object lock", ("FOR UPDATE",)),
        ("counter lock", ("UPDATE workspace_heads",)),
    ):
        statements, round_trips = recording.held(recording.index(*words))
        say(
            f"  while the {what} is held: {statements} statements (COMMIT included), "
            f"{round_trips} round trips"
        )


def end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        help=f"what to measure: {', '.join(NAMES)}; all. Or one of {', '.join(ALONE)}, alone",
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="for each measurement")
    parser.add_argument("--profile", action="store_true", help="print where an update's time goes")
    parser.add_argument("--services", type=int, default=10_000, help=f"for {SCALE}")
    parser.add_argument("--plans", action="store_true", help=f"for {SCALE}: print query plans")
    parser.add_argument("--secrets", type=int, default=100_000, help=f"for {ROTATION}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown and arguments.names not in ([SCALE], [ROTATION]):
        parser.error(f"unknown, or only alone: {', '.join(sorted(unknown))}")
    return arguments


def fast(
    names: Sequence[str], person: Person, dsn: str, home: Path, arguments: argparse.Namespace
) -> bool:
    """Measure the fast path and the live path; say whether their promises hold."""
    brief, seconds = not arguments.names, arguments.seconds
    good = True
    if HOT in names:
        good = hot.run(person, dsn, home, seconds=seconds, brief=brief)
    if LIVE in names:
        good = live.run(person, dsn, seconds=seconds, brief=brief) and good
    if WAY in names:
        way.run(person, say)
    if CLIENT in names:
        good = client.run(person, brief=brief) and good
    if RULES in names:
        good = rules.run() and good
    if FLAGS in names:
        good = flags.run(person, dsn, home, seconds=seconds, brief=brief) and good
    return good


def measure_named(arguments: argparse.Namespace) -> bool:
    """Measure what was asked for; say whether all promises hold."""
    names = arguments.names or ([] if arguments.profile else NAMES)
    good = True
    with store.prepared() as (dsn, people, home):
        recordings = {} if {*names} <= {*FAST} else rehearse(people)
        if "trips" in names:
            trips(recordings)
        if routes := [name for name in HTTP if name in names]:
            # Updates last: they make the histories of the others longer.
            http(sorted(routes, key="update".__eq__), people, dsn, arguments.seconds)
        if "pgbench" in names:
            good = against_pgbench(people, recordings, dsn, arguments.seconds, home)
        if SECRETS in names:
            brief = not arguments.names
            seconds = arguments.seconds / 2 if brief else arguments.seconds
            good = sealed.fetches(people[0], dsn, seconds=seconds, brief=brief) and good
        good = fast(names, people[0], dsn, home, arguments) and good
        if arguments.profile:
            profiling.profile_update(people, say)
    return good


def main() -> int:
    signal.signal(signal.SIGTERM, end)  # so that servers and directories go, too
    arguments = parse()
    if arguments.names == [SCALE]:
        good = scale.run(arguments.services, show_plans=arguments.plans)
    elif arguments.names == [ROTATION]:
        good = sealed.rotation(arguments.secrets, seconds=arguments.seconds)
    else:
        good = measure_named(arguments)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
