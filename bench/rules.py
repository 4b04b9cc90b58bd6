"""`python -m bench.rules`: evaluations of one flag a second, beside three libraries that do it too.

The flag: ten target users, one rule of two conditions, 50 % of the rest. The people measured are
in none of the lists and pass the first condition only, so each evaluation goes the whole way. One
thread; CPU seconds of this process, so that other programs matter less; every library is measured
in each round, and its best round counts.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from typing import Any

from flag_engine.engine import get_evaluation_result
from growthbook import GrowthBook
from UnleashClient import UnleashClient  # type: ignore[attr-defined]
from UnleashClient.cache import FileCache

from app.rules.contexts import context_of
from app.rules.flags import compile_all
from bench.lines import Table, say

NAME = "new_checkout"
TARGETS = [f"target-{number}" for number in range(10)]
PEOPLE = 1_000
ROUNDS = 12
SECONDS = 0.1  # of a measurement
PROMISED, TIMES = 500_000, 4

Person = dict[str, Any]
Ask = Callable[[], object]
Prepare = Callable[[Person], Ask]  # what asks for one person, all but the evaluation done


def person(number: int, country: str = "DE", age: int = 17, name: str = "user") -> Person:
    return {"id": f"{name}-{number}", "country": country, "age": age}


def ours() -> Prepare:
    two = [
        {"attribute": "country", "op": "equals", "value": "DE"},
        {"attribute": "age", "op": "gte", "value": 18},
    ]
    target = {"attribute": "targetingKey", "op": "in", "values": TARGETS}
    half = [{"variant": "on", "weight": 50}, {"variant": "off", "weight": 50}]
    rules = [
        {"id": "target_users", "when": target, "serve": {"variant": "on"}},
        {"id": "adults", "when": {"all": two}, "serve": {"variant": "on"}},
        {"id": "rollout", "serve": {"split": half}},
    ]
    flag = {"name": NAME, "is_enabled": True, "salt": "5a17", "rules": rules}
    evaluate = compile_all({NAME: flag}, {})[NAME].evaluate

    def prepare(who: Person) -> Ask:
        context = context_of(who["id"], who)
        return partial(evaluate, context)

    return prepare


def growthbook() -> Prepare:
    two = {"country": "DE", "age": {"$gte": 18}}
    rules = [
        {"id": "target", "condition": {"id": {"$in": TARGETS}}, "force": True},
        {"id": "adults", "condition": two, "force": True},
        {"id": "half", "force": True, "coverage": 0.5, "hashVersion": 2, "seed": "5a17"},
    ]
    features = {NAME: {"defaultValue": False, "rules": rules}}

    def prepare(who: Person) -> Ask:
        book = GrowthBook(attributes=who, features=features)
        return partial(book.eval_feature, NAME)

    return prepare


def flagsmith() -> Prepare:
    halves = [
        {"value": True, "weight": 50, "priority": 1},
        {"value": False, "weight": 50, "priority": 2},
    ]
    target = {"property": "id", "operator": "IN", "value": TARGETS}
    two = [
        {"property": "country", "operator": "EQUAL", "value": "DE"},
        {"property": "age", "operator": "GREATER_THAN_INCLUSIVE", "value": "18"},
    ]
    common = {"key": "1", "name": NAME, "enabled": True, "value": True}
    segments = {
        name: {
            "key": name,
            "name": name,
            "rules": [{"type": "ALL", "conditions": conditions}],
            "overrides": [{**common, "priority": number}],
        }
        for number, (name, conditions) in enumerate({"target": [target], "adults": two}.items())
    }
    shared = {
        "environment": {"key": "e", "name": "e"},
        "segments": segments,
        "features": {NAME: {**common, "variants": halves}},
    }

    def prepare(who: Person) -> Ask:
        identity = {"identifier": who["id"], "key": who["id"], "traits": who}
        context: Any = {**shared, "identity": identity}
        return partial(get_evaluation_result, context)

    return prepare


@contextmanager
def unleash() -> Iterator[Prepare]:
    target = {"contextName": "userId", "operator": "IN", "values": TARGETS}
    two = [
        {"contextName": "country", "operator": "IN", "values": ["DE"]},
        {"contextName": "age", "operator": "NUM_GTE", "value": "18"},
    ]
    half = {"rollout": "50", "stickiness": "userId", "groupId": NAME}
    strategies = [
        {"name": "default", "constraints": [target]},
        {"name": "default", "constraints": two},
        {"name": "flexibleRollout", "parameters": half},
    ]
    feature = {"name": NAME, "enabled": True, "strategies": strategies}
    with tempfile.TemporaryDirectory() as home:
        cache = FileCache("bench", directory=home)
        cache.bootstrap_from_dict(json.loads(json.dumps({"version": 2, "features": [feature]})))
        client = UnleashClient(
            "http://127.0.0.1:9",
            "bench",
            cache=cache,
            disable_metrics=True,
            disable_registration=True,
        )
        client.initialize_client(fetch_toggles=False)

        def prepare(who: Person) -> Ask:
            told = {"userId": who["id"], "country": who["country"], "age": str(who["age"])}
            return partial(client.is_enabled, NAME, told)

        try:
            yield prepare
        finally:
            client.destroy()


def is_on(answer: Any) -> bool:
    if isinstance(answer, dict):
        return answer["flags"][NAME]["value"] is True
    return answer if isinstance(answer, bool) else answer.value is True


def check(name: str, prepare: Prepare) -> None:
    """See that a library was told the same flag."""
    targets = [prepare({**person(0), "id": target}) for target in TARGETS]
    adults = [prepare(person(number, age=18)) for number in range(50)]
    others = [prepare(person(number)) for number in range(PEOPLE)]
    share = sum(is_on(ask()) for ask in others) / PEOPLE
    if not all(is_on(ask()) for ask in targets + adults) or not 0.4 < share < 0.6:
        raise RuntimeError(f"{name} evaluates another flag: {share:.0%} are on")


def measure(asks: list[Ask]) -> float:
    """Return evaluations in one CPU second."""
    began, times = time.process_time(), 0
    while (spent := time.process_time() - began) < SECONDS:
        for ask in asks:
            ask()
        times += 1
    return times * len(asks) / spent


def run() -> bool:
    """Measure all four; say whether the promises hold."""
    with ExitStack() as stack:
        libraries = {
            "app/rules": ours(),
            "growthbook": growthbook(),
            "flagsmith-flag-engine": flagsmith(),
            "UnleashClient": stack.enter_context(unleash()),
        }
        asks = {}
        for name, prepare in libraries.items():
            check(name, prepare)
            asks[name] = [prepare(person(number)) for number in range(PEOPLE)]
        best = dict.fromkeys(libraries, 0.0)
        for _, name in product(range(ROUNDS), libraries):
            best[name] = max(best[name], measure(asks[name]))
    return shown(best)


def shown(best: dict[str, float]) -> bool:
    """Print what was measured; say whether the promises hold."""
    table = Table("Evaluations of one flag a second, one thread")
    own = best.pop("app/rules")
    table.at_least(
        "full result, at least so many a second",
        f"{own:,.0f}",
        f"{PROMISED:,}",
        ratio=own / PROMISED,
        promised=1,
    )
    fastest = max(best, key=lambda name: best[name])
    for name, figure in best.items():
        if name == fastest:
            table.at_least(
                f"beside the fastest: {name}",
                f"{own:,.0f}",
                f"{figure:,.0f}",
                ratio=own / figure,
                promised=TIMES,
            )
        else:
            table.line(f"beside {name}", f"{own:,.0f}", f"{figure:,.0f}", ratio=own / figure)
    return table.good


if __name__ == "__main__":
    is_good = run()
    say("All promises kept." if is_good else "NOT ALL PROMISES KEPT.")
    raise SystemExit(0 if is_good else 1)
