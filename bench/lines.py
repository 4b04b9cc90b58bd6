"""Lines of figures beside their yardsticks, and what processes cost: cores, seconds, memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

TICKS = os.sysconf("SC_CLK_TCK")
WIDTHS = (64, 14, 14, 8, 11)
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = (CORES[0], CORES[1]) if len(CORES) > 1 else (None, None)

Measured = TypeVar("Measured")
Value = TypeVar("Value")


def say(text: str) -> None:
    print(text, flush=True)


@dataclass(slots=True)
class Table:
    """Prints lines as they come, and knows whether all promises hold."""

    title: str
    good: bool = True
    missed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        say(f"\n{self.title}")
        say(_row("", "figure", "yardstick", "ratio", "promised"))

    def line(
        self,
        what: str,
        figure: str,
        beside: str = "",
        *,
        ratio: float | None = None,
        promised: str = "",
        kept: bool | None = None,
    ) -> None:
        """Print a line; `kept` None: nothing is promised."""
        shown = "" if ratio is None else f"{ratio:.3f}" if ratio < 10 else f"{ratio:.1f}"
        verdict = {None: "", True: "  kept", False: "  NOT KEPT"}[kept]
        say(_row(what, figure, beside, shown, promised) + verdict)
        if kept is False:
            self.good = False
            self.missed.append(what)

    def at_least(
        self, what: str, figure: str, beside: str, *, ratio: float, promised: float
    ) -> None:
        """Print a line whose ratio must not be lower."""
        self.line(
            what, figure, beside, ratio=ratio, promised=f">= {promised:g}", kept=ratio >= promised
        )

    def below(
        self,
        what: str,
        figure: float,
        unit: str,
        beside: float | None = None,
        *,
        promised: float | None = None,
    ) -> None:
        """Print a line whose figure must be lower."""
        self.line(
            what,
            f"{figure:.1f} {unit}",
            "" if beside is None else f"{beside:.1f} {unit}",
            ratio=figure / beside if beside else None,
            promised="" if promised is None else f"< {promised:g} {unit}",
            kept=None if promised is None else figure < promised,
        )

    def note(self, text: str) -> None:
        say(f"    {text}")


def _row(*cells: str) -> str:
    first, *others = cells
    shown = [f"{cell:>{width}}" for cell, width in zip(others, WIDTHS[1:], strict=True)]
    return f"  {first:<{WIDTHS[0]}}{''.join(shown)}".rstrip()


def between(
    yardstick: Callable[[float], Measured],
    figure: Callable[[float], Measured],
    *,
    seconds: float,
    rounds: int,
) -> tuple[list[Measured], list[Measured]]:
    """Measure for so many seconds in all, each round between two halves of its yardstick."""
    plain, ours = [], []
    for _ in range(rounds):
        plain.append(yardstick(seconds / rounds / 2))
        ours.append(figure(seconds / rounds))
        plain.append(yardstick(seconds / rounds / 2))
    return plain, ours


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this thread, and processes and threads that it starts, on a core (None: anywhere)."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def placed(core: int | None, manager: AbstractContextManager[Value]) -> Iterator[Value]:
    """Start a server on a core, and let this thread go where it was."""
    with ExitStack() as stack:
        with pinned(core):
            value = stack.enter_context(manager)
        yield value


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_seconds(pid: int) -> float:
    """Return the seconds that a server and its processes have used of the cores."""
    total = 0
    for one in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_kib(pid: int) -> int:
    """Return the memory that a process has in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has gone")


def percentile(values: list[float], percent: float) -> float:
    """Return a percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
