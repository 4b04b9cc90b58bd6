"""`python -m bench hot`: reads from memory, each figure beside its yardstick.

One server core unless said; the generator has the other one.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import bare_asgi, generator, inside, store, wire, writers
from bench.generator import Run, Target, total
from bench.lines import CORES, SERVER_CORE, Table, between, cpu_seconds, family, placed, say
from bench.sealed import READ, Client, settle
from bench.store import SERVICE, Person, Server

BESIDE = "beside"  # a service that is written to while SERVICE is read
SERVICES, FEWER = 10_000, 1_000
EACH = 300  # services of a change set
ROUNDS = 2
READERS = 4
CONNECTIONS = 16  # of those who read everything
UPDATES, DIFFS = 50, 5  # a second
ON_TIME = 0.95  # of them that must have been done, or the reads had it too easy
EVERY = 2.0  # seconds from one global change to the next
PROMISED = {
    "bare": 0.75,
    "framework": 8.0,
    "unchanged": 1.0,
    "many": 0.8,
    "busy": 0.5,
    "workers": 1.3,
}
BUSY_MS, GLOBAL_MS = 20.0, 100.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, for how long, and by whom it is read."""

    server: Server
    person: Person
    key: str
    dsn: str
    home: Path
    seconds: float
    rounds: int
    services: int

    @property
    def target(self) -> Target:
        return Target(self.server, [f"/config/{SERVICE}"], {"X-API-Key": self.key})

    @property
    def owner(self) -> Client:
        return Client(self.server.port, self.person.token)

    def compare(self, plain: Target, ours: Target) -> tuple[Run, Run]:
        """Measure ours between halves of the yardstick; return the yardstick first."""
        yardstick, figure = between(
            lambda seconds: generator.run(plain, seconds),
            lambda seconds: generator.run(ours, seconds),
            seconds=self.seconds,
            rounds=self.rounds,
        )
        beside, result = total(yardstick), total(figure)
        if not (beside.settled and result.settled):
            say("    the server did not come to rest: what follows is of a busy one")
        return beside, result


def rates(ours: Run, plain: Run) -> tuple[str, str]:
    return f"{ours.per_second:,.0f}/s", f"{plain.per_second:,.0f}/s"


def cost(table: Table, ours: Run, plain: Run) -> None:
    """Print what a request costs the server's cores; the ratio is the other way round."""
    table.line(
        "  server CPU a request",
        f"{ours.server_us:.1f} us",
        f"{plain.server_us:.1f} us",
        ratio=plain.server_us / ours.server_us,
    )


def against_bare(table: Table, setting: Setting) -> float:
    """Measure beside bare ASGI and beside FastAPI; return what a read costs, in microseconds."""
    ours = setting.target
    with wire.Wire(setting.server.port) as one:
        got = one.exchange(wire.get(ours.paths[0], ours.headers))
    answer = bare_asgi.keep(got, setting.key, setting.home / "answer.json")
    with (
        placed(SERVER_CORE, bare_asgi.serve("hot", BENCH_ANSWER=str(answer))) as bare,
        placed(SERVER_CORE, store.bare()) as framework,
    ):
        plain, figure = setting.compare(replace(ours, server=bare), ours)
        table.at_least(
            f"hot read, API key, {len(got.body):,} B, beside bare ASGI",
            *rates(figure, plain),
            ratio=figure.per_second / plain.per_second,
            promised=PROMISED["bare"],
        )
        cost(table, figure, plain)
        token = {"Authorization": f"Bearer {setting.person.token}"}
        slow, figure = setting.compare(Target(framework, ["/bare/jwt"], token), ours)
        table.at_least(
            "the same beside FastAPI def, Pydantic answer, JWT",
            *rates(figure, slow),
            ratio=figure.per_second / slow.per_second,
            promised=PROMISED["framework"],
        )
        cost(table, figure, slow)
    return figure.server_us


def unchanged(table: Table, setting: Setting) -> None:
    """Measure 304 beside 200."""
    ours = setting.target
    with wire.Wire(setting.server.port) as one:
        etag = one.exchange(wire.get(ours.paths[0], ours.headers)).header("etag")
    known = replace(ours, headers={**ours.headers, "If-None-Match": etag}, status=304)
    plain, figure = setting.compare(ours, known)
    table.at_least(
        "304 beside 200",
        *rates(figure, plain),
        ratio=figure.per_second / plain.per_second,
        promised=PROMISED["unchanged"],
    )
    cost(table, figure, plain)


def by_token(table: Table, setting: Setting) -> None:
    """Measure callers with JWTs, whom the database is asked about each time."""
    token = {"Authorization": f"Bearer {setting.person.token}"}
    plain, figure = setting.compare(setting.target, replace(setting.target, headers=token))
    table.line(
        "JWT callers beside API key callers",
        *rates(figure, plain),
        ratio=figure.per_second / plain.per_second,
    )
    cost(table, figure, plain)


def fleet(setting: Setting) -> list[str]:
    """Write many services of 2 KB each, through the server; read each of them once."""
    owner, document = setting.owner, store.document()
    names = [f"fleet-{number:05}" for number in range(setting.services)]
    for at in range(0, len(names), EACH):
        changes = [
            {"service": name, "key": "document", "op": "set", "value": document}
            for name in names[at : at + EACH]
        ]
        owner.post("/api/v1/changes", {"changes": changes})
    settle(setting.dsn)
    paths = [f"/config/{name}" for name in names]
    warm(setting.server, paths, {"X-API-Key": setting.key})
    return paths


def warm(server: Server, paths: Sequence[str], headers: wire.Headers) -> None:
    """Read each path once."""

    def read(some: Sequence[str]) -> None:
        with wire.Wire(server.port) as one:
            for path in some:
                one.exchange(wire.get(path, headers))

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(read, [paths[number::READERS] for number in range(READERS)]))


def many(table: Table, setting: Setting, paths: list[str]) -> None:
    """Measure many services at random beside one of them."""
    one = replace(setting.target, paths=paths[:1])
    plain, figure = setting.compare(one, replace(one, paths=paths))
    table.at_least(
        f"{len(paths):,} services at random beside one",
        *rates(figure, plain),
        ratio=figure.per_second / plain.per_second,
        promised=PROMISED["many"],
    )
    cost(table, figure, plain)


def while_written(table: Table, setting: Setting, service: str, what: str) -> None:
    """Measure reads while a service is updated and diffs are made, beside the idle server."""
    owner, token, port = setting.owner, setting.person.token, setting.server.port
    for _ in range(2):
        writers.update(service)(owner)
    compared = writers.diff(owner, service)
    done: list[writers.Paced] = []

    def busy(seconds: float) -> Run:
        updates = writers.Paced(
            port, token, writers.update(service), rate=UPDATES, threads=writers.THREADS
        )
        diffs = writers.Paced(port, token, compared, rate=DIFFS)
        with updates, diffs:
            run = generator.run(setting.target, seconds, beside=True)
        done.extend((updates, diffs))
        return run

    yardstick, figure = between(
        lambda seconds: generator.run(setting.target, seconds),
        busy,
        seconds=setting.seconds,
        rounds=setting.rounds,
    )
    plain, ours = total(yardstick), total(figure)
    in_time = all(
        sum(len(one.took) for one in some) >= rate * ON_TIME * sum(one.seconds for one in some)
        for some, rate in ((done[::2], UPDATES), (done[1::2], DIFFS))
    )
    ratio = ours.per_second / plain.per_second
    table.line(
        f"hot read, {UPDATES} updates/s of {what}, {DIFFS} diffs/s; idle",
        *rates(ours, plain),
        ratio=ratio,
        promised=f">= {PROMISED['busy']:g}",
        kept=in_time and ratio >= PROMISED["busy"],
    )
    table.below("  p99 (the worst of the runs)", ours.p99, "ms", plain.p99, promised=BUSY_MS)
    if not in_time:
        table.note("so many were not done: NOT KEPT, whatever the reads did")
    table.note(f"longest {ours.longest:.1f} ms; {paces(done[::2], done[1::2])}")


def paces(updates: list[writers.Paced], diffs: list[writers.Paced]) -> str:
    """Say what was done beside, for it may have been less than it should; raise what failed."""
    said = []
    for what, some in (("updates", updates), ("diffs", diffs)):
        for failure in (failure for one in some for failure in one.failures):
            raise RuntimeError(failure)
        took = sorted(seconds for one in some for seconds in one.took)
        rate = len(took) / sum(one.seconds for one in some)
        said.append(f"{rate:.1f} {what}/s, each {took[len(took) // 2] * 1000:.1f} ms (p50)")
    return "; ".join(said)


def everywhere(table: Table, setting: Setting, paths: list[str]) -> None:
    """Measure reads of everything while what reaches everything changes."""
    target = replace(setting.target, paths=paths)

    def changed(seconds: float) -> Run:
        beside = writers.Paced(
            setting.server.port, setting.person.token, writers.update_everywhere, rate=1 / EVERY
        )
        with beside:
            run = generator.run(target, seconds, connections=CONNECTIONS, beside=True)
        if beside.failures or not beside.took:
            raise RuntimeError(f"no global change: {beside.failures}")
        changes.append(len(beside.took))
        return run

    changes: list[int] = []
    yardstick, figure = between(
        lambda seconds: generator.run(target, seconds, connections=CONNECTIONS),
        changed,
        seconds=max(15.0, setting.seconds),
        rounds=1,
    )
    plain, ours = total(yardstick), total(figure)
    table.below(
        f"{len(paths):,} services, a global change every {EVERY:g} s: p99",
        ours.p99,
        "ms",
        plain.p99,
        promised=GLOBAL_MS,
    )
    table.below("  the longest read", ours.longest, "ms", plain.longest)
    table.note(
        f"{changes[0]} changes; {ours.per_second:,.0f}/s, without any {plain.per_second:,.0f}/s; "
        f"{CONNECTIONS} connections"
    )


def two_workers(table: Table, setting: Setting) -> None:
    """Measure two workers beside one, and bare ASGI the same way; the generator has no core."""
    answer = setting.home / "answer.json"

    def compare(one: Server, two: Server) -> tuple[Run, Run, str]:
        target = replace(setting.target, spread=True)
        before = [cpu_seconds(pid) for pid in family(two.pid)]
        plain, figure = setting.compare(replace(target, server=one), replace(target, server=two))
        after = [cpu_seconds(pid) for pid in family(two.pid)]
        used = sorted((b - a for a, b in zip(before[1:], after[1:], strict=True)), reverse=True)
        return plain, figure, "+".join(f"{seconds:.1f}" for seconds in used[:2])

    with store.configsync(1) as one, store.configsync(2) as two:
        plain, figure, used = compare(one, two)
    with (
        bare_asgi.serve("hot", BENCH_ANSWER=str(answer)) as one,
        bare_asgi.serve("hot", workers=2, BENCH_ANSWER=str(answer)) as two,
    ):
        bare_plain, bare, _ = compare(one, two)
    table.at_least(
        f"two workers beside one, {len(CORES)} cores for all",
        *rates(figure, plain),
        ratio=figure.per_second / plain.per_second,
        promised=PROMISED["workers"],
    )
    table.line(
        "  bare ASGI the same way",
        *rates(bare, bare_plain),
        ratio=bare.per_second / bare_plain.per_second,
    )
    each = figure.server_us + figure.generator_us
    most = len(CORES) * 1e6 / each
    table.note(
        f"a request: server {figure.server_us:.1f} us, generator {figure.generator_us:.1f} us on "
        f"the same cores: {most:,.0f}/s at most,"
    )
    table.note(
        f"{most / plain.per_second:.2f} x one worker, whatever the server does; workers' CPU "
        f"{used} s"
    )


@contextmanager
def setting_of(
    person: Person, dsn: str, home: Path, *, seconds: float, brief: bool
) -> Iterator[Setting]:
    """Start a server on a core of its own with something to read."""
    with placed(SERVER_CORE, store.configsync(1)) as server:
        owner = Client(server.port, person.token)
        for service in (SERVICE, BESIDE):
            writers.update(service)(owner)
        yield Setting(
            server,
            person,
            owner.new_key(READ),
            dsn,
            home,
            seconds / 4 if brief else seconds,
            1 if brief else ROUNDS,
            FEWER if brief else SERVICES,
        )


def run(person: Person, dsn: str, home: Path, *, seconds: float, brief: bool) -> bool:
    """Print the figures of hot reads; say whether all promises are kept."""
    where = "no core of their own" if SERVER_CORE is None else f"core {SERVER_CORE}"
    table = Table(
        f"Hot reads: server on {where}, {generator.CONNECTIONS} connections by {generator.name()}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with setting_of(person, dsn, home, seconds=seconds, brief=brief) as setting:
        read_us = against_bare(table, setting)
        unchanged(table, setting)
        by_token(table, setting)
        while_written(table, setting, BESIDE, "another service")
        while_written(table, setting, SERVICE, "the same one")
        paths = fleet(setting)
        many(table, setting, paths)
        if not brief:
            everywhere(table, setting, paths)
        two_workers(table, setting)
    inside.run(table, person, dsn, home, read_us=read_us, brief=brief)
    return table.good
