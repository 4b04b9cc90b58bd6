"""`python -m bench flags`: evaluations over HTTP, each figure beside the hot read of a config."""

import json
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from bench import generator, hot, wire, writers
from bench.generator import Target
from bench.hot import Setting, cost, rates
from bench.lines import Table, between
from bench.sealed import Client
from bench.store import Person

FLAGS, ENVIRONMENT = 350, "production"
PEOPLE = 1000
API, OFREP = "/api/v1/feature-flags", "/ofrep/v1/evaluate/flags"
PROMISED = {"evaluate": 0.5, "bulk": 300, "unchanged": 0.6}
CHANGES = 10  # of a flag, a second


def definition(number: int) -> dict[str, Any]:
    """Return a flag: target users, a rule of two conditions, and half of the rest."""
    two = [
        {"attribute": "country", "op": "equals", "value": "DE"},
        {"attribute": "age", "op": "gte", "value": 18},
    ]
    target = {"attribute": "targetingKey", "op": "in", "values": [f"t-{n}" for n in range(10)]}
    half = [{"variant": "on", "weight": 50}, {"variant": "off", "weight": 50}]
    return {
        "name": f"flag-{number:03}",
        "environment": ENVIRONMENT,
        "is_enabled": True,
        "rules": [
            {"id": "target_users", "when": target, "serve": {"variant": "on"}},
            {"id": "adults", "when": {"all": two}, "serve": {"variant": "on"}},
            {"id": "rollout", "serve": {"split": half}},
        ],
    }


def people() -> Iterator[dict[str, Any]]:
    """Yield contexts, no two the same, who get as far as the split."""
    for number in range(PEOPLE):
        yield {"targetingKey": f"user-{number}", "country": "DE", "age": 17}


def against_reads(table: Table, setting: Setting, ours: Target, what: str, promised: float) -> None:
    """Measure something beside the hot read of a config of 2 KB."""
    plain, figure = setting.compare(setting.target, ours)
    table.at_least(
        what,
        *rates(figure, plain),
        ratio=figure.per_second / plain.per_second,
        promised=promised,
    )
    cost(table, figure, plain)


def bulk(table: Table, setting: Setting, ours: Target, size: int) -> None:
    """Measure how many bulk evaluations there are a second."""
    plain, figure = setting.compare(setting.target, ours)
    table.line(
        f"OFREP bulk of {FLAGS} flags, {size:,} B",
        *rates(figure, plain),
        promised=f">= {PROMISED['bulk']}/s",
        kept=figure.per_second >= PROMISED["bulk"],
    )
    cost(table, figure, plain)


def while_changed(table: Table, setting: Setting, ours: Target, flag_id: int) -> None:
    """Measure evaluations while a flag of those changes, beside the same without."""
    turns = iter(range(1_000_000))

    def change(client: Client) -> None:
        body = {"description": f"turn {next(turns)}"}
        status, said = client.send("PUT", f"{API}/{flag_id}", body)
        if status != HTTPStatus.OK:
            raise RuntimeError(f"a change: {status} {said[:300]!r}")

    def busy(seconds: float) -> generator.Run:
        port, token = setting.server.port, setting.person.token
        with writers.Paced(port, token, change, rate=CHANGES) as paced:
            run = generator.run(ours, seconds, beside=True)
        if paced.failures or not paced.took:
            raise RuntimeError(f"no changes: {paced.failures}")
        return run

    yardstick, figure = between(
        lambda seconds: generator.run(ours, seconds),
        busy,
        seconds=setting.seconds,
        rounds=setting.rounds,
    )
    plain, run = generator.total(yardstick), generator.total(figure)
    table.line(
        f"evaluate, {CHANGES} changes/s of one of {FLAGS} flags; idle",
        *rates(run, plain),
        ratio=run.per_second / plain.per_second,
    )
    table.below("  p99 (the worst of the runs)", run.p99, "ms", plain.p99)


def run(person: Person, dsn: str, home: Path, *, seconds: float, brief: bool) -> bool:
    """Print the figures of flags; say whether all promises are kept."""
    table = Table(f"Flags over HTTP: {generator.CONNECTIONS} connections by {generator.name()}")
    with hot.setting_of(person, dsn, home, seconds=seconds, brief=brief) as setting:
        made = [setting.owner.post(API, definition(number)) for number in range(FLAGS)]
        headers = {"X-API-Key": setting.key, "Content-Type": "application/json"}
        contexts = [*people()]
        bodies = [
            json.dumps({"flag_name": "flag-007", "environment": ENVIRONMENT, "context": one})
            for one in contexts
        ]
        evaluate = Target(setting.server, [f"{API}/evaluate"], headers, bodies=bodies)
        promised = PROMISED["evaluate"]
        against_reads(table, setting, evaluate, "evaluate beside the hot read", promised)
        asking = [json.dumps({"context": one}) for one in contexts]
        single = replace(
            evaluate, paths=[f"{OFREP}/flag-007?environment={ENVIRONMENT}"], bodies=asking
        )
        against_reads(table, setting, single, "OFREP single beside the hot read", promised)
        many = replace(single, paths=[f"{OFREP}?environment={ENVIRONMENT}"])
        with wire.Wire(setting.server.port) as one:
            got = one.exchange(many.requests[0])
        bulk(table, setting, many, len(got.body))
        known = replace(
            many,
            headers={**headers, "If-None-Match": got.header("etag")},
            bodies=asking[:1],
            status=304,
        )
        against_reads(table, setting, known, "its 304 beside the hot read", PROMISED["unchanged"])
        while_changed(table, setting, evaluate, made[7]["id"])
    return table.good
