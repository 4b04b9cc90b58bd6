"""The rules of a workspace in plain Python: one whole state for every revision.

It shares nothing with the application. A level is (service, environment), a place is (level, name
of a key). Names of keys have no dots, or are literal ones that no document spells nested.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.model.merging import GLOBAL, GONE, clone, dig, kind, merge_patch, overlay, text

KEEP: Any = object()

Level = tuple[str, str | None]
Place = tuple[Level, str]


class Refused(Exception):
    """The rules forbid it; `args[0]` is the status."""


@dataclass(frozen=True)
class Key:
    """One version of a key; a deleted one keeps its type and description."""

    value: Any = GONE
    value_type: str = ""
    description: str = ""
    active: bool = True

    @property
    def exists(self) -> bool:
        return self.value is not GONE

    def same(self, other: "Key") -> bool:
        return text(self.value) == text(other.value) and replace(self, value=0) == replace(
            other, value=0
        )


@dataclass(frozen=True)
class Wish:
    """What a change of one key says; what it leaves out stays."""

    place: Place
    value: Any = KEEP
    value_type: str | None = None
    description: str | None = None
    active: bool | None = None
    expected: int | None = None
    anew: bool = False  # a version even if nothing differs


@dataclass
class State:
    """Every version so far of environments (there or not), documents and keys."""

    environments: dict[str, list[bool]]
    documents: dict[Level, list[dict[str, Any] | None]] = field(default_factory=dict)
    keys: dict[Place, list[Key]] = field(default_factory=dict)

    def copy(self) -> "State":
        return State(*({name: list(all_) for name, all_ in part.items()} for part in self.parts()))

    def parts(self) -> Sequence[dict[Any, list[Any]]]:
        return self.environments, self.documents, self.keys

    def size(self) -> int:
        return sum(len(versions) for part in self.parts() for versions in part.values())

    def document(self, level: Level) -> dict[str, Any] | None:
        return (self.documents.get(level) or [None])[-1]

    def key(self, place: Place) -> Key:
        return (self.keys.get(place) or [Key()])[-1]

    def has(self, environment: str | None) -> bool:
        return environment is None or self.environments.get(environment, [False])[-1]

    def at(self, level: Level) -> dict[str, Key]:
        """Return the keys of a level by name, deleted ones too."""
        return {name: all_[-1] for (where, name), all_ in self.keys.items() if where == level}

    def settle(
        self,
        level: Level,
        document: dict[str, Any] | None,
        *,
        parked: Mapping[str, Any] | None = None,
        said: Mapping[str, Wish] | None = None,
        anew: bool = False,
    ) -> None:
        """Let a level have a document and inactive keys; what differs gets a version."""
        known, said = self.at(level), said or {}
        if parked is None:
            parked = {name: key.value for name, key in known.items() if not key.active}
        if anew or text(document) != text(self.document(level)):
            self.documents.setdefault(level, []).append(clone(document))
        values = {**parked, **(document or {})}
        for name in {**known, **values}:
            old, wish = known.get(name, Key()), said.get(name, Wish((level, name)))
            value = clone(values[name]) if name in values else GONE
            wide = old.exists and old.value_type == "json"
            kept = old.value_type if value is GONE or wide else kind(value)
            new = Key(
                value,
                wish.value_type or kept,
                old.description if wish.description is None else wish.description,
                name in (document or {}) or value is GONE,
            )
            if wish.anew or not new.same(old):
                self.keys.setdefault((level, name), []).append(new)

    def reaching(self, level: Level) -> list[Level]:
        """Return the levels that a service sees, widest first."""
        service, environment = level
        return list(dict.fromkeys((s, e) for s in (GLOBAL, service) for e in (None, environment)))

    def effective(self, level: Level) -> dict[str, Any] | None:
        documents = [self.document(wider) for wider in self.reaching(level)]
        there = [document for document in documents if document is not None]
        merged: dict[str, Any] = {}
        for document in there:
            overlay(merged, clone(document))
        return merged if there else None

    def item(self, level: Level, address: str) -> tuple[Any, Place] | None:
        """Return an effective value and the key that it comes from."""
        value = dig(self.effective(level) or {}, address)
        for wider in reversed(self.reaching(level)):
            document = self.document(wider) or {}
            if value is not GONE and dig(document, address) is not GONE:
                return value, (
                    wider,
                    address if address in document else address.split(".", maxsplit=1)[0],
                )
        return None


class Workspace:
    """What may be done to a workspace; whatever changes something adds one state."""

    def __init__(self) -> None:
        names = ("development", "staging", "production")
        self.states = [State({name: [True] for name in names})]

    @property
    def head(self) -> int:
        return len(self.states) - 1

    @property
    def now(self) -> State:
        return self.states[-1]

    def copy(self) -> "Workspace":
        other = Workspace()
        other.states = list(self.states)
        return other

    def revisions(self, count: Callable[[State], int]) -> list[int]:
        """Return the revisions in which a count rose."""
        counts = [count(state) for state in self.states]
        return [n for n in range(1, len(counts)) if counts[n] > counts[n - 1]]

    @contextmanager
    def _change(self) -> Iterator[State]:
        state = self.now.copy()
        yield state
        if state.size() > self.now.size():
            self.states.append(state)

    def _check(self, expected: int | None, versions: Sequence[Any], *, exists: bool) -> None:
        if expected is not None and expected != (len(versions) if exists else 0):
            raise Refused(412)

    def _stored(self, level: Level, expected: int | None) -> list[dict[str, Any] | None]:
        """Return the versions of a document that was there at least once."""
        versions = self.now.documents.get(level)
        if not versions or not self.now.has(level[1]):
            raise Refused(404)
        self._check(expected, versions, exists=versions[-1] is not None)
        return versions

    def write(self, level: Level, document: dict[str, Any], expected: int | None = None) -> None:
        if not self.now.has(level[1]):
            raise Refused(422)
        exists = self.now.document(level) is not None
        self._check(expected, self.now.documents.get(level, []), exists=exists)
        with self._change() as state:
            state.settle(level, document)

    def patch(self, level: Level, patch: dict[str, Any], expected: int | None = None) -> None:
        document = self._stored(level, expected)[-1]
        if document is None:
            raise Refused(404)
        with self._change() as state:
            state.settle(level, merge_patch(document, patch))

    def delete(self, level: Level, expected: int | None = None) -> None:
        if self._stored(level, expected)[-1] is None:
            raise Refused(404)
        with self._change() as state:
            state.settle(level, None, parked={})

    def restore_document(self, level: Level) -> None:
        versions = self._stored(level, None)
        if versions[-1] is not None:
            raise Refused(409)
        with self._change() as state:
            state.settle(level, next(one for one in reversed(versions) if one is not None))

    def roll_back(self, level: Level, version: int, expected: int | None = None) -> None:
        versions = self._stored(level, expected)
        if version > len(versions):
            raise Refused(404)
        if versions[version - 1] is None:
            raise Refused(409)
        with self._change() as state:
            state.settle(level, versions[version - 1], anew=True)

    def change_keys(self, wishes: Sequence[Wish]) -> None:
        """Change keys of any levels: all of them, or none."""
        by_level: dict[Level, dict[str, Wish]] = {}
        for wish in wishes:
            level, name = wish.place
            if name in by_level.setdefault(level, {}):
                raise Refused(422)
            by_level[level][name] = wish
        if not all(self.now.has(environment) for _, environment in by_level):
            raise Refused(422)
        with self._change() as state:
            for level, said in by_level.items():
                self._change_level(state, level, said)

    def _change_level(self, state: State, level: Level, said: Mapping[str, Wish]) -> None:
        stored, keys = state.document(level), state.at(level)
        document = dict(stored or {})
        parked = {name: key.value for name, key in keys.items() if not key.active}
        for name, wish in said.items():
            key = keys.get(name, Key())
            self._check(wish.expected, state.keys.get(wish.place, []), exists=key.exists)
            value = key.value if wish.value is KEEP else wish.value
            if not key.exists and value is GONE:
                raise Refused(404)
            if wish.value_type not in {None, "json", kind(value)}:
                raise Refused(422)
            parked.pop(name, None)
            if value is GONE:
                document.pop(name, None)
            elif key.active if wish.active is None else wish.active:
                document[name] = value
            else:
                document.pop(name, None)
                parked[name] = value
        there = stored is not None or document
        state.settle(level, document if there else None, parked=parked, said=said)

    def create_key(self, wish: Wish) -> None:
        if self.now.has(wish.place[0][1]) and self.now.key(wish.place).exists:
            raise Refused(409)
        self.change_keys([wish])

    def update_key(self, wish: Wish) -> None:
        if not self.now.key(wish.place).exists:
            raise Refused(404)
        self.change_keys([wish])

    def roll_back_key(self, place: Place, version: int) -> None:
        versions = self.now.keys.get(place, [])
        if version > len(versions):
            raise Refused(404)
        old = versions[version - 1]
        if not old.exists:
            raise Refused(409)
        said = Wish(place, old.value, old.value_type, active=old.active, anew=True)
        self.change_keys([said])

    def create_environment(self, name: str) -> None:
        if self.now.has(name):
            raise Refused(409)
        with self._change() as state:
            state.environments.setdefault(name, []).append(True)

    def delete_environment(self, name: str) -> None:
        if not self.now.has(name):
            raise Refused(404)
        for level, versions in self.now.documents.items():
            if level[1] == name and versions[-1] is not None:
                raise Refused(409)
        if any(level[1] == name and key[-1].exists for (level, _), key in self.now.keys.items()):
            raise Refused(409)
        with self._change() as state:
            state.environments[name].append(False)

    def restore(self, at: int) -> None:
        """Put everything back to a revision."""
        if at > self.head:
            raise Refused(422)
        then = self.states[at]
        with self._change() as state:
            for name, versions in state.environments.items():
                if versions[-1] != then.has(name):
                    versions.append(then.has(name))
            for level in list(state.documents):
                keys = {name: key for name, key in then.at(level).items() if key.exists}
                state.settle(
                    level,
                    then.document(level),
                    parked={name: key.value for name, key in keys.items() if not key.active},
                    said={
                        name: Wish((level, name), KEEP, key.value_type, key.description)
                        for name, key in keys.items()
                    },
                )
