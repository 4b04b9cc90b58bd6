"""Crowds of listeners for tests and drills: histories that they record, and what they must be.

A watcher writes down every frame, and every loss of its connection; it comes back with the
cursor that it has, to whichever server answers. `violations` holds what it wrote down against
the revisions in the database.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.processes import rows
from tests.streams import STREAM, Lost, Stream

LAST = "the-last"  # the key of the change that ends a history


@dataclass
class History:
    """What a watcher has seen: cursors where it began anew, and frames in their order."""

    services: frozenset[str]
    environments: frozenset[str]
    scope: frozenset[str] = frozenset()
    """The services that its key reaches; empty: all."""
    starts: list[int] = field(default_factory=list)
    frames: list[tuple[int, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def reaches(self, change: dict[str, Any]) -> bool:
        """Say whether a change is for this watcher."""
        service, environment = change["service"], change["environment"]
        return (
            (service == "_global" or not self.services or service in self.services)
            and (service == "_global" or not self.scope or service in self.scope)
            and (environment is None or not self.environments or environment in self.environments)
        )


class Watcher(threading.Thread):
    """Listens until the last change, whatever breaks."""

    def __init__(self, urls: Sequence[str], token: str, history: History, seed: int) -> None:
        super().__init__(daemon=True)
        self.urls = urls
        self.token = token
        self.history = history
        self.dice = random.Random(seed)
        self.stop = threading.Event()
        self.done = False
        self.cursor: str | None = None

    def run(self) -> None:
        """Listen, come back, listen."""
        while not (self.stop.is_set() or self.done):
            try:
                self._listen()
            except (Lost, OSError) as error:
                self.history.seen[f"lost: {error}"] += 1
            self.stop.wait(self.dice.uniform(0.05, 0.3))

    def _listen(self) -> None:
        history = self.history
        query = {"services": ",".join(history.services)} if history.services else {}
        if history.environments:
            query["environments"] = ",".join(history.environments)
        url = self.dice.choice(self.urls)
        with Stream(url, self.token, since=self.cursor, seconds=4, **query) as stream:
            stream.read_head()
            if stream.status != 200:
                problem = stream.problem()
                history.seen[f"{stream.status} {problem['code']}"] += 1
                if problem["code"] == "cursor_gone":
                    self.cursor = f"{problem['epoch']}-{problem['head']}"
                    history.starts.append(len(history.frames))
                return
            history.seen["opened"] += 1
            while not (self.stop.is_set() or self.done):
                if self.dice.random() < 0.002:
                    history.seen["cut by the client"] += 1
                    return
                found = stream.frame()
                if found is None:
                    return
                self._note(found)

    def _note(self, found: Any) -> None:
        if found.event == "hello":
            if self.cursor is not None and found.id != self.cursor:
                self.history.wrong.append(f"hello at {found.id}, asked for {self.cursor}")
            if self.cursor is None:
                self.history.starts.append(len(self.history.frames))
                self.history.frames.append((found.revision, None))
        elif found.event == "end":
            self.history.seen[f"end: {found.data['reason']}"] += 1
            return
        else:
            self.history.frames.append((found.revision, found.data["changes"]))
            self.done = any(one.get("key") == LAST for one in found.data["changes"])
        self.cursor = found.id


def true_changes(dsn: str, slug: str) -> dict[int, list[dict[str, Any]]]:
    """Return what each revision of a workspace changed, as the database has it."""
    found: dict[int, list[dict[str, Any]]] = {}
    for revision, action, kind, number, service, environment, version in rows(
        dsn,
        "SELECT r.n, e.action, e.resource_type, e.resource_id, e.service, e.environment, e.version "
        "FROM revisions r JOIN workspaces w ON w.id = r.workspace_id LEFT JOIN events e "
        "ON e.workspace_id = r.workspace_id AND e.revision = r.n "
        "WHERE w.slug = %s AND r.n > 0 ORDER BY r.n, e.id",
        slug,
    ):
        found.setdefault(revision, []).append(
            {
                "action": action,
                "resource_type": kind,
                "resource_id": number,
                "service": service or "_global",
                "environment": environment,
                "version": version,
            }
        )
    return found


def violations(history: History, truth: dict[int, list[dict[str, Any]]]) -> list[str]:
    """Hold a history against what was committed: ordered, unique, complete, atomic."""
    wrong = [*history.wrong]
    revisions = [revision for revision, _ in history.frames]
    if revisions != sorted(set(revisions)):
        wrong.append(f"not ascending: {revisions}")
    if len(history.starts) != 1:
        wrong.append(f"began {len(history.starts)} times")
    if not revisions:
        return [*wrong, "nothing was seen"]
    wanted = {
        revision: changes
        for revision, all_changes in truth.items()
        if revision > revisions[0]
        and (changes := [one for one in all_changes if history.reaches(one)])
    }
    got = {revision: changes for revision, changes in history.frames if changes is not None}
    wrong += [f"missed: {revision}" for revision in wanted.keys() - got.keys()]
    wrong += [f"not for it: {revision}" for revision in got.keys() - wanted.keys()]
    for revision in wanted.keys() & got.keys():
        if _bare(got[revision]) != _bare(wanted[revision]):
            wrong.append(f"not whole: {revision}: {got[revision]} {wanted[revision]}")
    return wrong


def _bare(changes: Sequence[dict[str, Any]]) -> list[list[Any]]:
    names = ("action", "resource_type", "resource_id", "service", "environment", "version")
    return [[change.get(name) for name in names] for change in changes]


# Many at once


@dataclass
class Storm:
    """Listeners who all come at once."""

    frames: list[list[int]] = field(default_factory=list)
    slowest: float = 0.0
    refused: int = 0


async def _one(url: str, token: str, since: str, last: int, storm: Storm) -> None:
    place = urlsplit(url)
    began = time.monotonic()
    got: list[int] = []
    storm.frames.append(got)
    asked = f"GET {STREAM} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
    while not got or got[-1] != last:
        cursor = f"{since.rpartition('-')[0]}-{got[-1]}" if got else since
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(f"{asked}Last-Event-ID: {cursor}\r\n\r\n".encode())
            status = await reader.readline()
            if b" 200 " not in status:
                storm.refused += 1
                await asyncio.sleep(random.uniform(0.2, 1.0))
            else:
                await _read(reader, got, last)
                storm.slowest = max(storm.slowest, time.monotonic() - began)
            writer.close()


async def _read(reader: asyncio.StreamReader, got: list[int], last: int) -> None:
    while line := await reader.readline():
        if line.startswith(b"data: ") and b'"changes"' in line:
            got.append(int(line.split(b'"revision":')[1].split(b",")[0]))
            if got[-1] == last:
                return


def storm(urls: Sequence[str], token: str, *, since: str, last: int, number: int) -> Storm:
    """Let so many listeners come at once; return when all have had the last revision."""
    found = Storm()

    async def all_of_them() -> None:
        async with asyncio.timeout(120):
            await asyncio.gather(
                *(
                    _one(urls[place % len(urls)], token, since, last, found)
                    for place in range(number)
                )
            )

    asyncio.run(all_of_them())
    return found
