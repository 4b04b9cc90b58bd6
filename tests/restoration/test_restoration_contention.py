"""Going back while others write."""

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Event
from typing import Any

from tests.client import Person

WRITERS = 4
SERVICES = [f"s{number}" for number in range(5)]
PLACES = list(product([*SERVICES, "_global"], [None, "production"]))


def state(person: Person, at: int) -> dict[tuple, Any]:
    """Return every document as of a revision, as it is written; None where there is none."""
    found = {}
    for service, environment in PLACES:
        where = {"environment": environment} if environment else {}
        answer = person.get("/config/get", service=service, at=at, **where)
        assert answer.status_code in {200, 404}, answer.text
        known = answer.status_code == 200
        found[service, environment] = list(answer.json()["config"].items()) if known else None
    return found


def write(person: Person, seed: int, stop: Event) -> set[int]:
    """Write, delete and change keys until told to stop; return the statuses."""
    dice = random.Random(seed)
    statuses = set()
    while not stop.is_set():
        service, environment = dice.choice(PLACES)
        where = {"environment": environment} if environment else {}
        config = {"by": seed, dice.choice("abc"): dice.random()}
        match dice.randrange(4):
            case 0:
                query = {"service": service, **where}
                answer = person.request("DELETE", "/config/delete", params=query)
            case 1:
                other = dice.choice(SERVICES)
                changes = [
                    {"service": name, **where, "key": "k", "op": "set", "value": dice.random()}
                    for name in {service, other}
                ]
                answer = person.post("/api/v1/changes", {"changes": changes})
            case _:
                answer = person.update(service, config, **where)
        statuses.add(answer.status_code)
    return statuses


def restore(person: Person, at: int) -> Any:
    while True:
        answer = person.post("/api/v1/workspaces/ada/restore", {"at": at})
        if answer.status_code != 503:
            return answer


def test_restoring_among_writers_gives_the_state_of_then(ada: Person):
    for service, environment in PLACES:
        where = {"environment": environment} if environment else {}
        ada.update(service, {"first": service, "k": 0}, **where)
    at = len(PLACES)
    then = state(ada, at)
    stop = Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, ada, seed, stop) for seed in range(WRITERS)]
        try:
            answers = [restore(ada, at) for _ in range(5)]
        finally:
            stop.set()
        statuses = set().union(*(one.result() for one in writing))
    assert statuses <= {200, 404, 503}, statuses
    assert [answer.status_code for answer in answers] == [200] * 5
    revisions = [answer.json()["revision"] for answer in answers]
    for revision in filter(None, revisions):
        assert state(ada, revision) == then
    assert any(revisions)


def test_the_history_has_no_gap_afterwards(ada: Person):
    ada.update("s0", {"first": 1})
    stop = Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, ada, seed, stop) for seed in range(WRITERS)]
        try:
            for _ in range(3):
                assert restore(ada, 1).status_code == 200
        finally:
            stop.set()
        for one in writing:
            one.result()
    for service, environment in PLACES:
        where = {"environment": environment} if environment else {}
        history = ada.get("/config/versions", name=service, limit=500, **where).json()["versions"]
        if len(history) < 500:
            assert [one["version"] for one in history] == list(range(len(history), 0, -1))
        revisions = [one["revision"] for one in history]
        assert revisions == sorted(set(revisions), reverse=True)
