"""Load by wrk where there is one, else by the generator of our own; and what it cost the server."""

import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench import load, wire
from bench.lines import GENERATOR_CORE, cpu_seconds, pinned
from bench.store import Server

CONNECTIONS = 32
PATIENCE = 10  # seconds; who waits longer has failed
QUIET_SECONDS, LOOK, IDLE = 90.0, 0.5, 0.2  # IDLE: share of a core
SCRIPT = """
local requests, n = {}, 0
init = function(args)
  math.randomseed(os.time())
  for line in io.lines(args[1]) do
    n = n + 1
    local path, body = line:match("^(.-)\\t(.*)$")
    if path then
      requests[n] = wrk.format("POST", path, nil, body)
    else
      requests[n] = wrk.format("GET", line)
    end
  end
end
request = function() return requests[math.random(n)] end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("FIGURES %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a server: paths at random, all with these headers and answers.

    With `bodies` they are posted to, each at random, too.
    """

    server: Server
    paths: Sequence[str]
    headers: wire.Headers
    status: int = 200
    spread: bool = field(default=False)
    """Let the generator run on any core."""
    bodies: Sequence[str] = ()

    @property
    def lines(self) -> list[str]:
        """Return the requests as wrk's script reads them."""
        if not self.bodies:
            return [*self.paths]
        return [f"{path}\t{body}" for path in self.paths for body in self.bodies]

    @property
    def requests(self) -> list[bytes]:
        """Return the requests as they are sent."""
        if not self.bodies:
            return [wire.get(path, self.headers) for path in self.paths]
        return [
            wire.post(path, self.headers, body.encode())
            for path in self.paths
            for body in self.bodies
        ]


@dataclass(frozen=True, slots=True)
class Run:
    """What came back. Milliseconds; seconds of the server's and the generator's CPU.

    `settled`: the server had nothing left to do before and after, or that was not asked for.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    longest: float
    server_cpu: float
    generator_cpu: float
    settled: bool = True

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def server_us(self) -> float:
        """Microseconds of the server's CPU a request."""
        return self.server_cpu / self.requests * 1e6

    @property
    def generator_us(self) -> float:
        """Microseconds of the generator's CPU a request."""
        return self.generator_cpu / self.requests * 1e6


def total(runs: Sequence[Run]) -> Run:
    """Add runs up; the percentiles are those of the worst one."""
    return Run(
        sum(run.requests for run in runs),
        sum(run.seconds for run in runs),
        max(run.p50 for run in runs),
        max(run.p99 for run in runs),
        max(run.longest for run in runs),
        sum(run.server_cpu for run in runs),
        sum(run.generator_cpu for run in runs),
        all(run.settled for run in runs),
    )


@cache
def wrk() -> str | None:
    """Return where wrk is, if it is anywhere."""
    return shutil.which("wrk")


def name() -> str:
    """Say which generator is used."""
    return "wrk" if wrk() else "bench/load.py (no wrk here: it may be what limits fast servers)"


def quiet(server: Server) -> bool:
    """Wait until a server has done what a measurement left it to do, such as writing counts.

    Say whether it has.
    """
    end = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < end:
        before = cpu_seconds(server.pid)
        time.sleep(LOOK)
        if cpu_seconds(server.pid) - before <= IDLE * LOOK:
            return True
    return False


def run(
    target: Target, seconds: float, *, connections: int = CONNECTIONS, beside: bool = False
) -> Run:
    """Load a server for a while; every answer must be what is expected.

    The server is quiet before and after it, and what it does until then is counted, unless
    something is done `beside`.
    """
    settled = beside or quiet(target.server)
    with wire.Wire(target.server.port) as one:
        one.exchange(target.requests[0], target.status)
    before = cpu_seconds(target.server.pid)
    with pinned(None if target.spread else GENERATOR_CORE):
        if found := wrk():
            requests, took, p50, p99, longest, cpu = _wrk(found, target, seconds, connections)
        else:
            requests, took, p50, p99, longest, cpu = _own(target, seconds, connections)
    settled = settled and (beside or quiet(target.server))
    used = cpu_seconds(target.server.pid) - before
    return Run(requests, took, p50, p99, longest, used, cpu, settled)


Figures = tuple[int, float, float, float, float, float]


def _wrk(program: str, target: Target, seconds: float, connections: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="configsync-wrk-") as name:
        script, paths = Path(name, "random.lua"), Path(name, "paths")
        script.write_text(SCRIPT)
        paths.write_text("\n".join(target.lines) + "\n")
        command = [
            program,
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            f"--timeout={PATIENCE}s",
            *(part for pair in target.headers.items() for part in ("-H", ": ".join(pair))),
            *("-s", str(script), f"http://127.0.0.1:{target.server.port}", "--", str(paths)),
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = done.stdout.rpartition("FIGURES ")[2].split()
    requests, took, p50, p99, longest, errors = map(int, figures)
    if errors or not requests:
        raise RuntimeError(f"calls failed: {done.stdout[-2000:]}")
    return requests, took / 1e6, p50 / 1e3, p99 / 1e3, longest / 1e3, cpu


def _own(target: Target, seconds: float, connections: int) -> Figures:
    requests = target.requests
    chance = random.Random(0)
    sent = 0

    def make(number: int) -> bytes:
        nonlocal sent
        sent = number + 1
        return requests[chance.randrange(len(requests))]

    sockets = load.connect(target.server.port, connections)
    try:
        result = load.run(sockets, make, seconds=seconds)
    finally:
        load.close(sockets)
    if set(result.statuses) != {target.status}:
        raise RuntimeError(f"calls failed; answers by status: {result.statuses}")
    took = seconds * sent / len(result.latencies)  # the warm-up cost the server something, too
    last = result.percentile(100)
    return sent, took, result.percentile(50), result.percentile(99), last, result.busy * seconds
