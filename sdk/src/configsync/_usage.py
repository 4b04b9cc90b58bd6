"""How often each flag was evaluated, counted without a lock, until the server has been told."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

MOST_ENTRIES, MOST_AT_ONCE = 1_000, 1_000_000_000
"""Of one report, which a server takes up to 1 MiB; what is beyond goes with the next."""
MOST_UNKNOWN = 1_000
_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,255}")

Served = tuple[str, str | None]


class Tally:
    """A number that only grows. `hit` is one step in C, so that threads lose none."""

    __slots__ = ("_looks", "hit", "reported")

    def __init__(self) -> None:
        self.hit: Callable[[], int] = count().__next__
        self._looks = 0
        self.reported = 0

    def total(self) -> int:
        """Return how often it was hit; looking is a hit, too, which is taken off."""
        total = self.hit() - self._looks
        self._looks += 1
        return total


@dataclass(frozen=True, slots=True)
class Report:
    """What the server has not been told yet."""

    counts: list[dict[str, Any]]
    unknown: list[dict[str, Any]]
    marks: list[tuple[Tally, int]]

    @property
    def is_full(self) -> bool:
        """Tell whether there may be more to tell."""
        return len(self.marks) >= MOST_ENTRIES

    def settle(self) -> None:
        """Note that the server has been told."""
        for tally, count_ in self.marks:
            tally.reported += count_


class Usage:
    """The tallies of a client, by flag, variant and rule, and by name of what does not exist."""

    def __init__(self) -> None:
        self._flags: dict[str, dict[Served, Tally]] = {}
        self._unknown: dict[str, Tally] = {}

    def of(self, name: str) -> dict[Served, Tally]:
        """Return the tallies of a flag, which outlive its definitions."""
        return self._flags.setdefault(name, {})

    def missed(self, name: str) -> None:
        """Count a flag that does not exist, unless there are too many of those."""
        tally = self._unknown.get(name)
        if tally is None:
            if len(self._unknown) >= MOST_UNKNOWN or not _NAME.fullmatch(name):
                return
            tally = self._unknown.setdefault(name, Tally())
        tally.hit()

    def forget(self) -> None:
        """Begin with nothing, in a forked child."""
        for tallies in self._flags.values():
            tallies.clear()
        self._unknown.clear()

    def report(self) -> Report | None:
        """Return what was counted since the last report that arrived; None: nothing was."""
        report = Report([], [], [])
        for name, tallies in list(self._flags.items()):
            for (variant, rule_id), new in _grown(tallies, report.marks):
                served = {"flag": name, "variant": variant, "rule_id": rule_id, "count": new}
                report.counts.append(served)
        for name, new in _grown(self._unknown, report.marks):
            report.unknown.append({"flag": name, "count": new})
        return report if report.marks else None


def _grown(tallies: dict[Any, Tally], marks: list[tuple[Tally, int]]) -> list[tuple[Any, int]]:
    """Return what has grown, and drop what has not: rules come and go while a program runs."""
    grown = []
    for key, tally in list(tallies.items()):
        new = min(tally.total() - tally.reported, MOST_AT_ONCE)
        if not new:
            del tallies[key]
        elif len(marks) < MOST_ENTRIES:
            marks.append((tally, new))
            grown.append((key, new))
    return grown
