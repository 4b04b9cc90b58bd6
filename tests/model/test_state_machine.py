"""The whole application against a plain model of its rules: any calls, in any order."""

import os
from collections.abc import Callable
from itertools import count, product
from typing import Any

import httpx
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.client import Person, register
from tests.model.merging import GLOBAL, GONE, text
from tests.model.model import KEEP, Level, Place, Refused, State, Wish, Workspace

NOBODY = 2**52
SERVICES = (GLOBAL, "a")
ENVIRONMENTS = (None, "production", "qa")
LEVELS = list(product(SERVICES, ENVIRONMENTS))
NAMES = ("k", "l", "m", "p.q")
ADDRESSES = (*NAMES, "k.x")

scalars = st.sampled_from([None, True, False, 0, 1, -7, 1.0, 2.5, 1e300, "", "é\n", "true"])
unset = st.just({"$unset": True})


def objects(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(["x", "y"]), below, max_size=2)


inner = scalars | unset | st.lists(scalars | unset, max_size=2) | objects(scalars | unset)
values = scalars | unset | st.lists(inner, max_size=2) | objects(inner) | objects(inner)
names = st.sampled_from(NAMES)
documents = st.dictionaries(names, values, max_size=3)
levels = st.sampled_from(LEVELS)
places = st.tuples(levels, names)
expectations = st.sampled_from([None] * 5 + ["right"] * 3 + ["stale"])
seldom = st.sampled_from([False] * 5 + [True])
descriptions = st.sampled_from([None, None, "", "seconds"])
types = st.sampled_from([None, None, None, "json", "number"])
numbers = st.integers(0, 30)

TESTED = settings(
    max_examples=int(os.environ.get("CONFIGSYNC_TEST_EXAMPLES", "15")),
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def wire(level: Level, service: str = "service") -> dict[str, Any]:
    """Name a level in a query or body."""
    named = {service: level[0], "environment": level[1]}
    return {name: value for name, value in named.items() if value is not None}


def said(**members: Any) -> dict[str, Any]:
    """Leave out what a body does not say."""
    return {name: value for name, value in members.items() if value is not None}


class Machine(RuleBasedStateMachine):
    """Every rule does the same to the application and to the model."""

    keys = Bundle("keys")
    written = Bundle("written")

    def __init__(self, client: TestClient, number: int) -> None:
        super().__init__()
        self.person: Person = register(client, f"user{number}")
        self.model = Workspace()
        self.ids: dict[Place, int] = {}
        self.document_ids: dict[Level, int] = {}
        self.hashes: dict[str, str] = {}
        self.sound = False

    def ask(
        self, operate: Callable[[], None], good: int, method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """Do the same to both; return the answer if both accept."""
        self.sound = False  # until everything is compared again
        answer = self.person.request(method, path, **options)
        try:
            operate()
            status = good
        except Refused as refused:
            status = refused.args[0]
        assert answer.status_code == status, answer.text
        return answer if status == good else None

    def check_document(self, answer: httpx.Response | None, level: Level) -> None:
        if answer is not None:
            versions = self.model.now.documents[level]
            found = answer.json()
            assert list(found["config"].items()) == list(versions[-1].items())
            assert text(found["config"]) == text(versions[-1])
            assert found["version"] == len(versions)
            assert found["revision"] == self.revision(lambda s: s.documents.get(level, []))

    def check_key(self, found: dict[str, Any], place: Place) -> None:
        versions = self.model.now.keys[place]
        key = versions[-1]
        assert (found["app_id"] or GLOBAL, found["environment"], found["key"]) == (
            *place[0],
            place[1],
        )
        assert text(found["value"]) == text(key.value if key.exists else None)
        assert found["value_type"] == key.value_type
        assert found["description"] == key.description
        assert found["is_active"] == (key.exists and key.active)
        assert found["version"] == len(versions)
        assert found["revision"] == self.revision(lambda s: s.keys.get(place, []))
        assert found["id"] == self.ids.setdefault(place, found["id"])

    def revision(self, versions: Callable[[State], list[Any]]) -> int:
        """Return the revision that made the newest version of something."""
        return self.model.revisions(lambda state: len(versions(state)))[-1]

    def expected(self, wish: str | None, versions: list[Any], *, exists: bool) -> int | None:
        """Return a version that fits, or one that does not."""
        if wish is None:
            return None
        right = len(versions) if exists else 0
        return right if wish == "right" else right + 1

    def expected_document(self, wish: str | None, level: Level) -> int | None:
        versions = self.model.now.documents.get(level, [])
        return self.expected(wish, versions, exists=bool(versions) and versions[-1] is not None)

    def expected_key(self, wish: str | None, place: Place) -> int | None:
        exists = self.model.now.key(place).exists
        return self.expected(wish, self.model.now.keys.get(place, []), exists=exists)

    @initialize(target=keys, wide=documents, narrow=documents)
    def begin(self, wide: dict[str, Any], narrow: dict[str, Any]) -> Any:
        """Have something to begin with."""
        self.environment("qa", contrary=False)
        return multiple(*self.put((GLOBAL, None), wide), *self.put(("a", "qa"), narrow))

    @initialize(target=written)
    def begin_levels(self) -> Any:
        return multiple((GLOBAL, None), ("a", "qa"))

    @rule(target=keys, level=levels, document=documents, wish=expectations)
    def write(self, level: Level, document: dict[str, Any], wish: str | None) -> Any:
        return multiple(*self.put(level, document, self.expected_document(wish, level)))

    def put(
        self, level: Level, document: dict[str, Any], expected: int | None = None
    ) -> list[Place]:
        body = {"config": document} | wire(level, "name") | said(expected_version=expected)
        operate = lambda: self.model.write(level, document, expected)  # noqa: E731
        self.check_document(self.ask(operate, 200, "POST", "/config/update", json=body), level)
        return [(level, name) for name in document]

    @rule(target=written, level=levels)
    def name_level(self, level: Level) -> Level:
        """Let more levels be patched, deleted and rolled back."""
        return level

    @rule(level=written, patch=documents, wish=expectations)
    def patch(self, level: Level, patch: dict[str, Any], wish: str | None) -> None:
        expected = self.expected_document(wish, level)
        params = said(environment=level[1], expected_version=expected)
        answer = self.ask(
            lambda: self.model.patch(level, patch, expected),
            200,
            "PATCH",
            f"/config/{level[0]}",
            params=params,
            json=patch,
            headers={"Content-Type": "application/merge-patch+json"},
        )
        self.check_document(answer, level)

    @rule(level=written, wish=expectations, contrary=seldom)
    def delete_or_restore(self, level: Level, wish: str | None, contrary: bool) -> None:
        """Delete a document that is there, restore one that is not; now and then the contrary."""
        if (self.model.now.document(level) is None) == contrary:
            self.delete(level, wish)
        else:
            self.restore_document(level)

    def delete(self, level: Level, wish: str | None) -> None:
        expected = self.expected_document(wish, level) or None
        tag = f'"d{self.document_ids.get(level, NOBODY)}-{expected}"'
        self.ask(
            lambda: self.model.delete(level, expected),
            200,
            "DELETE",
            "/config/delete",
            params=wire(level),
            headers={"If-Match": tag} if expected else {},
        )

    def restore_document(self, level: Level) -> None:
        operate = lambda: self.model.restore_document(level)  # noqa: E731
        answer = self.ask(operate, 200, "POST", "/config/restore", params=wire(level))
        self.check_document(answer, level)

    @rule(level=written, number=numbers, wish=expectations)
    def roll_back(self, level: Level, number: int, wish: str | None) -> None:
        version = 1 + number % (len(self.model.now.documents.get(level, [])) + 1)
        expected = self.expected_document(wish, level)
        body = said(version=version, environment=level[1], expected_version=expected)
        answer = self.ask(
            lambda: self.model.roll_back(level, version, expected),
            200,
            "POST",
            f"/config/{level[0]}/rollback",
            json=body,
        )
        self.check_document(answer, level)

    @rule(target=keys, place=places, value=values, description=descriptions, value_type=types)
    def create_key(
        self, place: Place, value: Any, description: str | None, value_type: str | None
    ) -> Place:
        level, name = place
        body = {"key": name, "value": value, **wire(level, "app_id")}
        if level[0] == GLOBAL:
            del body["app_id"]
        wish = Wish(place, value, value_type, description or "")
        answer = self.ask(
            lambda: self.model.create_key(wish),
            201,
            "POST",
            "/api/v1/configs",
            json=body | said(description=description, value_type=value_type),
        )
        if answer is not None:
            self.check_key(answer.json(), place)
        return place

    @rule(
        place=keys,
        value=st.just(KEEP) | values,
        value_type=types,
        description=descriptions,
        active=st.sampled_from([None, True, False, False]),
        wish=expectations,
    )
    def update_key(
        self,
        place: Place,
        value: Any,
        value_type: str | None,
        description: str | None,
        active: bool | None,
        wish: str | None,
    ) -> None:
        expected = self.expected_key(wish, place)
        body = said(
            value_type=value_type,
            description=description,
            is_active=active,
            expected_version=expected,
        )
        if value is not KEEP:
            body["value"] = value
        wanted = Wish(place, value, value_type, description, active, expected)
        answer = self.ask(
            lambda: self.model.update_key(wanted),
            200,
            "PUT",
            f"/api/v1/configs/{self.ids.get(place, NOBODY)}",
            json=body,
        )
        if answer is not None:
            self.check_key(answer.json(), place)

    @rule(place=keys)
    def delete_key(self, place: Place) -> None:
        path = f"/api/v1/configs/{self.ids.get(place, NOBODY)}"
        self.ask(lambda: self.model.update_key(Wish(place, GONE)), 204, "DELETE", path)

    @rule(place=keys, number=numbers)
    def roll_back_key(self, place: Place, number: int) -> None:
        version = 1 + number % (len(self.model.now.keys.get(place, [])) + 1)
        answer = self.ask(
            lambda: self.model.roll_back_key(place, version),
            200,
            "POST",
            f"/api/v1/versions/rollback/{self.ids.get(place, NOBODY)}",
            json={"target_version": version},
        )
        if answer is not None:
            self.check_key(answer.json(), place)

    @rule(
        target=keys,
        changes=st.lists(
            st.tuples(
                places | keys,
                st.sampled_from(["set", "set", "unset", "delete"]),
                values,
                expectations,
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda change: change[0],
        ),
        twice=seldom,
    )
    def change_keys(self, changes: list[tuple[Place, str, Any, str | None]], twice: bool) -> Any:
        body, wishes = [], []
        for place, wanted, value, wish in [*changes, *changes[: int(twice)]]:
            absent = not self.model.now.key(place).exists
            op = "set" if wanted == "delete" and absent and wish is None else wanted
            expected = self.expected_key(wish, place)
            one = {"key": place[1], "op": op, **wire(place[0])}
            if place[0][0] == GLOBAL:
                del one["service"]
            if op == "set":
                one["value"] = value
            body.append(one | said(expected_version=expected))
            content = {"set": value, "unset": {"$unset": True}, "delete": GONE}[op]
            wishes.append(Wish(place, content, expected=expected))
        answer = self.ask(
            lambda: self.model.change_keys(wishes),
            200,
            "POST",
            "/api/v1/changes",
            json={"changes": body},
        )
        if answer is not None:
            assert answer.json()["revision"] == self.model.head
            for found, (place, *_) in zip(answer.json()["changes"], changes, strict=True):
                self.check_key(found, place)
        return multiple(*(place for place, *_ in changes))

    @rule(name=st.sampled_from(["qa", "production"]), contrary=seldom)
    def environment(self, name: str, contrary: bool) -> None:
        """Create what is not there, delete what is; now and then the contrary."""
        if self.model.now.has(name) == contrary:
            operate = lambda: self.model.create_environment(name)  # noqa: E731
            self.ask(operate, 201, "POST", "/environments", json={"name": name})
        else:
            operate = lambda: self.model.delete_environment(name)  # noqa: E731
            self.ask(operate, 204, "DELETE", f"/environments/{name}")

    @rule(number=numbers, dry_run=seldom)
    def restore_workspace(self, number: int, dry_run: bool) -> None:
        at = number % (self.model.head + 2)
        before = self.model.head
        model = self.model.copy() if dry_run else self.model
        answer = self.ask(
            lambda: model.restore(at),
            200,
            "POST",
            f"/api/v1/workspaces/{self.person.username}/restore",
            json={"at": at, "dry_run": dry_run},
        )
        if answer is not None:
            found = answer.json()
            changed = model.head > before
            assert found["revision"] == (model.head if changed and not dry_run else None)
            assert bool(found["changes"]) == changed

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        """Compare all that is stored now, and the newest revision."""
        self.sound = False
        now = self.model.now
        answer = self.person.get("/config/list", limit=500)
        assert answer.headers["x-configsync-revision"].endswith(f"-{self.model.head}")
        found = {(one["service"], one["environment"]): one for one in answer.json()["configs"]}
        live = {level for level, all_ in now.documents.items() if all_ and all_[-1] is not None}
        assert set(found) == live
        for level, one in found.items():
            assert text(one["config"]) == text(now.document(level))
            assert one["version"] == len(now.documents[level])
            assert one["id"] == self.document_ids.setdefault(level, one["id"])
        stored = self.person.get("/api/v1/configs", page_size=500).json()["configs"]
        by_place = {
            ((one["app_id"] or GLOBAL, one["environment"]), one["key"]): one for one in stored
        }
        assert set(by_place) == {place for place, all_ in now.keys.items() if all_[-1].exists}
        for place, one in by_place.items():
            self.check_key(one, place)
        self.sound = True

    def teardown(self) -> None:
        """Read all of the past, each moment by its revision and some by their time."""
        if not self.sound:
            return
        times = self.check_histories()
        for revision in range(self.model.head + 1):
            self.check_past(revision, revision)
            if revision % 5 == 3 and revision in times:
                newest = max(n for n, at in times.items() if at == times[revision])
                self.check_past(newest, times[revision])

    def check_histories(self) -> dict[int, str]:
        """Compare the histories of all documents and keys; return the times of revisions."""
        times: dict[int, str] = {}
        for level, versions in self.model.now.documents.items():
            found = self.person.get("/config/versions", **wire(level), limit=500).json()["versions"]
            assert [text(one["config"]) for one in reversed(found)] == list(map(text, versions))
            times |= {one["revision"]: one["created_at"] for one in found}
        for place, versions in self.model.now.keys.items():
            path = f"/api/v1/config/{self.ids[place]}/history"
            found = self.person.get(path, limit=500).json()["history"]
            values_ = [text(one.value if one.exists else None) for one in versions]
            assert [text(one["new_value"]) for one in reversed(found)] == values_
            assert [text(one["old_value"]) for one in reversed(found)] == ["null", *values_[:-1]]
            assert [one["version"] for one in found] == list(range(len(versions), 0, -1))
            times |= {one["revision"]: one["changed_at"] for one in found}
        return times

    def check_past(self, revision: int, at: int | str) -> None:
        """Compare all documents, half of the effective configs, a fifth of the keys in them."""
        state = self.model.states[revision]
        for number, level in enumerate(LEVELS):
            if level in self.model.now.documents:
                answer = self.person.get("/config/get", **wire(level), at=at)
                document = state.document(level)
                assert answer.status_code == (404 if document is None else 200), (level, at)
                if document is not None:
                    assert text(answer.json()["config"]) == text(document)
                    assert answer.json()["version"] == len(state.documents[level])
            if number % 2 == revision % 2:
                self.check_effective(revision, level, at)
        for number, (level, address) in enumerate(product(LEVELS, ADDRESSES)):
            if (number + number // 5) % 5 == revision % 5:
                self.check_item(revision, level, address, at)

    def check_effective(self, revision: int, level: Level, at: int | str) -> None:
        state = self.model.states[revision]
        answer = self.person.get(f"/config/{level[0]}", **said(environment=level[1]), at=at)
        there = state.has(level[1])
        config = state.effective(level) if there else None
        missing = 404 if there else 422
        assert answer.status_code == (missing if config is None else 200), (level, at)
        if config is not None:
            found = answer.json()
            own = state.document(level)
            assert text(found["config"]) == text(config), (level, at)
            version = None if own is None else len(state.documents[level])
            assert found["document_version"] == version
            assert self.hashes.setdefault(found["version"], text(config)) == text(config)
            assert self.hashes.setdefault(text(config), found["version"]) == found["version"]

    def check_item(self, revision: int, level: Level, address: str, at: int | str) -> None:
        state = self.model.states[revision]
        answer = self.person.get(f"/api/v1/config/{address}", **wire(level, "service_name"), at=at)
        there = state.has(level[1])
        item = state.item(level, address) if there else None
        missing = 404 if there else 422
        assert answer.status_code == (200 if item else missing), (level, address, at)
        if item:
            value, place = item
            found = answer.json()
            assert text(found["value"]) == text(value), (level, address, at)
            assert found["id"] == self.ids[place]
            assert found["version"] == len(state.keys[place])
            assert found["description"] == state.key(place).description


def test_the_application_follows_the_rules(client: TestClient):
    numbers_ = count()
    run_state_machine_as_test(lambda: Machine(client, next(numbers_)), settings=TESTED)
