"""WORKERS=2: whichever process answers, /metrics is about both."""

import os
import signal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.process.test_workers import serving
from tests.processes import KEYS, Server, Stage, until

ROUTE = {"method": "GET", "route": "/health", "status": "200"}


@pytest.fixture
def temporary(stage: Stage) -> Path:
    place = stage.place / "tmp"
    place.mkdir()
    return place


@pytest.fixture
def pair(stage: Stage, database: str, temporary: Path) -> Server:
    server = stage.server(DATABASE_URL=database, WORKERS="2", TMPDIR=str(temporary), **KEYS)
    until(lambda: len(serving(server)) == 2, "both processes live")
    return server


def read(server: Server, name: str, **labels: str) -> float:
    """Read one series over a connection of its own, so that either process may answer."""
    with server.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return sum(
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == f"configsync_{name}" and sample.labels == labels
    )


def test_the_figures_of_both_processes_are_summed(pair, temporary):
    for _ in range(40):
        with pair.client() as client:
            assert client.get("/health").status_code == 200
    until(lambda: read(pair, "http_requests_total", **ROUTE) == 40, "all requests are counted")
    durations = {"method": "GET", "route": "/health"}
    for _ in range(8):  # whichever answers
        assert read(pair, "http_requests_total", **ROUTE) == 40
        assert read(pair, "http_request_duration_seconds_count", **durations) == 40
    until(lambda: read(pair, "db_pool_connections", state="size") == 32, "two pools of 16")
    counted_by = list(temporary.glob("configsync-metrics-*/counter_*.db"))
    assert len(counted_by) == 2, "one file a process"

    victim = serving(pair)[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(set(serving(pair)) - {victim}) == 2, "another process takes its place")
    until(lambda: read(pair, "db_pool_connections", state="size") == 32, "the dead one's pool goes")
    assert read(pair, "http_requests_total", **ROUTE) == 40, "what it counted stays"

    os.kill(pair.pid, signal.SIGTERM)
    assert pair.wait() == 0
    assert list(temporary.glob("configsync-metrics-*")) == []


def test_one_process_needs_no_directory(stage, database, temporary):
    server = stage.server(DATABASE_URL=database, WORKERS="1", TMPDIR=str(temporary), **KEYS)
    assert read(server, "db_pool_connections", state="size") >= 0
    assert list(temporary.glob("configsync-metrics-*")) == []
