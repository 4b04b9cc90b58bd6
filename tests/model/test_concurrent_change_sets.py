"""Concurrent change sets through two servers, explained by one order: that of their revisions."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import httpx
import pytest

from tests.client import Person, register
from tests.model.merging import GLOBAL, GONE, text
from tests.model.model import Level, Place, Refused, Wish, Workspace
from tests.processes import KEYS, Server, Stage

WRITERS = 20
SETS = 10
SERVICES = (GLOBAL, "billing", "shop")
ENVIRONMENTS = (None, "production", "staging")
LEVELS = list(product(SERVICES, ENVIRONMENTS))
PLACES = list(product(LEVELS, ("a", "b", "c")))
SAMPLED = 12


@dataclass
class Sent:
    """A change set, the newest revision that its sender had seen, and what came back."""

    wishes: list[Wish]
    seen: int
    status: int = 0
    answer: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def servers(database: str) -> Iterator[tuple[Server, Server]]:
    stage = Stage()
    try:
        settings = {"DATABASE_URL": database, **KEYS}
        started = [stage.start_server(**settings) for _ in range(2)]
        yield started[0].ready(), started[1].ready()
    finally:
        stage.close()


def wire(level: Level, **members: Any) -> dict[str, Any]:
    """Name a level's environment, if it has one, beside other members."""
    return members | ({"environment": level[1]} if level[1] else {})


def body(wishes: list[Wish]) -> dict[str, Any]:
    changes = []
    for wish in wishes:
        level, name = wish.place
        one = wire(level, key=name, op="delete")
        if level[0] != GLOBAL:
            one["service"] = level[0]
        if wish.value is not GONE:
            one |= {"op": "set", "value": wish.value}
        if wish.expected is not None:
            one["expected_version"] = wish.expected
        changes.append(one)
    return {"changes": changes}


class Writer:
    """Sends change sets one after the other; knows what its own answers said."""

    def __init__(self, server: Server, token: str, number: int) -> None:
        self.server, self.token, self.number = server, token, number
        self.dice = random.Random(number)
        self.versions: dict[Place, int] = {}
        self.seen = 0

    def wish(self, place: Place, turn: int) -> Wish:
        """Set a value that nobody else sets, or delete; sometimes with what was seen last."""
        expected = self.versions.get(place, 0) if self.dice.random() < 0.3 else None
        if place in self.versions and self.dice.random() < 0.25:
            return Wish(place, GONE, expected=expected)
        value = {f"x{self.number}": turn} if self.dice.random() < 0.5 else [self.number, turn]
        return Wish(place, value, expected=expected)

    def write(self) -> list[Sent]:
        with self.server.client(headers={"Authorization": f"Bearer {self.token}"}) as client:
            return [self.send(client, turn) for turn in range(SETS)]

    def send(self, client: httpx.Client, turn: int) -> Sent:
        places = self.dice.sample(PLACES, self.dice.randint(2, 5))
        sent = Sent([self.wish(place, turn) for place in places], self.seen)
        answer = client.post("/api/v1/changes", json=body(sent.wishes))
        sent.status, sent.answer = answer.status_code, answer.json()
        if sent.status == 200:
            self.seen = sent.answer["revision"]
            for place, key in zip(places, sent.answer["changes"], strict=True):
                self.versions[place] = key["version"]
                if key["value"] is None:
                    del self.versions[place]
        return sent


def replay(sets: list[Sent]) -> tuple[Workspace, dict[Place, int]]:
    """Do the acknowledged sets one after the other; compare each answer with the model."""
    model = Workspace()
    ids: dict[Place, int] = {}
    for revision, sent in enumerate(sets, start=1):
        model.change_keys(sent.wishes)
        assert (model.head, sent.answer["revision"]) == (revision, revision)
        assert sent.seen < revision
        for wish, found in zip(sent.wishes, sent.answer["changes"], strict=True):
            key = model.now.key(wish.place)
            assert text(found["value"]) == text(key.value if key.exists else None)
            assert found["version"] == len(model.now.keys[wish.place])
            assert found["revision"] == revision
            assert found["id"] == ids.setdefault(wish.place, found["id"])
    return model, ids


def explained(sent: Sent, model: Workspace) -> bool:
    """Say whether there was a state, not older than what was seen, that refuses a set so."""
    for state in model.states[sent.seen :]:
        then = Workspace()
        then.states = [state]
        try:
            then.change_keys(sent.wishes)
        except Refused as refused:
            if refused.args[0] == sent.status:
                return True
    return False


def check_now(person: Person, model: Workspace) -> None:
    """Compare the documents and keys that are there with the last state."""
    now = model.now
    listed = person.get("/config/list", limit=500)
    assert listed.headers["x-configsync-revision"].endswith(f"-{model.head}")
    documents = {(one["service"], one["environment"]): one for one in listed.json()["configs"]}
    assert set(documents) == set(now.documents)
    for level, one in documents.items():
        assert text(one["config"]) == text(now.document(level))
        assert one["version"] == len(now.documents[level])
    stored = person.get("/api/v1/configs", page_size=500).json()["configs"]
    found = {((one["app_id"] or GLOBAL, one["environment"]), one["key"]): one for one in stored}
    assert set(found) == {place for place, all_ in now.keys.items() if all_[-1].exists}
    for place, one in found.items():
        assert text(one["value"]) == text(now.key(place).value)
        assert one["version"] == len(now.keys[place])


def check_histories(person: Person, model: Workspace, ids: dict[Place, int]) -> None:
    """Compare every version of every key, with its revision, and those of the documents."""
    for place, versions in model.now.keys.items():
        answer = person.get(f"/api/v1/config/{ids[place]}/history", limit=500).json()
        history = answer["history"][::-1]
        assert answer["next_cursor"] is None
        wanted = [text(one.value if one.exists else None) for one in versions]
        assert [text(one["new_value"]) for one in history] == wanted
        assert [text(one["old_value"]) for one in history] == ["null", *wanted][:-1]
        assert [one["version"] for one in history] == list(range(1, len(versions) + 1))
        assert [one["revision"] for one in history] == model.revisions(
            lambda state, place=place: len(state.keys.get(place, []))
        )
    for level, versions in model.now.documents.items():
        query = wire(level, service=level[0], limit=500)
        answer = person.get("/config/versions", **query).json()
        history = answer["versions"][::-1]
        assert [text(one["config"]) for one in history] == list(map(text, versions))
        assert [one["revision"] for one in history] == model.revisions(
            lambda state, level=level: len(state.documents.get(level, []))
        )


def check_past(person: Person, model: Workspace, at: int) -> None:
    """Compare all documents and effective configs as of a revision."""
    state = model.states[at]
    for level in LEVELS:
        query = wire(level, at=at)
        stored = person.get("/config/get", **query, service=level[0])
        effective = person.get(f"/config/{level[0]}", **query)
        for what, answer, wanted in (
            ("stored", stored, state.document(level)),
            ("effective", effective, state.effective(level)),
        ):
            assert answer.status_code == (404 if wanted is None else 200), (what, level, at)
            if wanted is not None:
                assert text(answer.json()["config"]) == text(wanted), (what, level, at)


def test_one_order_explains_everything(servers: tuple[Server, Server]):
    with servers[0].client() as client, servers[1].client() as other:
        ada = register(client, "ada")
        writers = [Writer(servers[number % 2], ada.token, number) for number in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            sets = [sent for sent_all in pool.map(Writer.write, writers) for sent in sent_all]
        statuses = Counter(sent.status for sent in sets)
        assert len(sets) == WRITERS * SETS
        assert set(statuses) <= {200, 404, 409, 412}, statuses
        acknowledged = sorted(
            (sent for sent in sets if sent.status == 200), key=lambda sent: sent.answer["revision"]
        )
        model, ids = replay(acknowledged)
        assert all(explained(sent, model) for sent in sets if sent.status in {404, 412})
        people = (ada, Person(other, ada.token, ada.id, ada.username))
        for person in people:
            check_now(person, model)
        check_histories(people[1], model, ids)
        dice = random.Random(0)
        for at in sorted(dice.sample(range(model.head + 1), min(SAMPLED, model.head))):
            check_past(people[at % 2], model, at)
