"""GET /metrics: who may read it, that it is right, and that it names nobody."""

import random
import re
import socket
import string
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.core import db, metrics
from app.core.settings import get_settings
from app.main import create_server
from app.metrics import crud, deps
from app.outbox import drain, leases
from app.outbox.recorder import recorder
from tests.client import assert_problem, program
from tests.conftest import execute
from tests.processes import until

ROOT = Path(__file__).resolve().parents[2]
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    """Return the value of every series."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Series, name: str, **labels: str) -> float:
    """Return the value of one series, 0 where there is none."""
    return found.get((f"configsync_{name}", frozenset(labels.items())), 0.0)


@pytest.fixture
def local(client: TestClient) -> TestClient:
    """Return a client on this machine, of the same application."""
    return TestClient(client.app, client=("127.0.0.1", 1))


@pytest.fixture
def scrape(local: TestClient) -> Callable[[], Series]:
    """Return what reads all series."""

    def read() -> Series:
        answer = local.get("/metrics")
        assert answer.status_code == 200, answer.text
        return series(answer.text)

    return read


# Who may


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_key(client, address):
    answer = TestClient(client.app, client=(address, 1)).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "configsync_audit_pending" in answer.text


def test_this_machine_needs_no_good_credentials(local):
    assert local.get("/metrics", headers={"Authorization": "Bearer nonsense"}).status_code == 200


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host", "Via"]
)
def test_what_a_proxy_passes_on_is_not_this_machine(local, header):
    assert_problem(local.get("/metrics", headers={header: "127.0.0.1"}), 401, "login_required")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "testclient"])
def test_nobody_from_elsewhere_is_let_in(client, address):
    answer = TestClient(client.app, client=(address, 1)).get("/metrics")
    assert_problem(answer, 401, "login_required")


def test_a_key_needs_the_permission(ada):
    assert program(ada, actions=["metrics"]).get("/metrics").status_code == 200
    others = ["read", "read_secrets", "write", "publish", "admin"]
    problem = assert_problem(program(ada, actions=others).get("/metrics"), 403, "not_allowed")
    assert problem["detail"] == "As API key of workspace 'ada' you may not read the metrics."


def test_a_revoked_key_is_refused(ada):
    key = program(ada, actions=["metrics"])
    assert key.get("/metrics").status_code == 200
    assert ada.request("DELETE", f"/api/v1/api-keys/{key.id}").status_code == 204
    assert_problem(key.get("/metrics"), 401, "invalid_api_key")


def test_people_need_a_role_that_includes_it(ada, bob):
    assert ada.get("/metrics").status_code == 200
    assert ada.post("/api/v1/workspaces", {"slug": "team"}).status_code == 201
    path = "/api/v1/workspaces/team/members/bob"
    assert ada.request("PUT", path, json={"role": "viewer"}).is_success
    assert_problem(bob.get("/metrics", workspace="team"), 403, "not_allowed")
    assert_problem(bob.get("/metrics", workspace="nowhere"), 404, "workspace_not_found")


def test_a_refusal_is_audited_with_the_one_it_met(ada):
    key = program(ada, actions=["read"])
    assert_problem(key.get("/metrics"), 403, "not_allowed")
    recorder.flush()
    [log] = ada.get("/api/v1/audit", action="refused").json()["logs"]
    assert (log["metadata"]["path"], log["metadata"]["actor"]) == ("/metrics", "key:a key")


def test_other_methods_and_parameters_are_refused(local):
    assert_problem(local.post("/metrics"), 405, "method_not_allowed")
    assert_problem(local.get("/metrics", params={"name": "x"}), 422, "unknown_parameter")


class TestOpenReads:
    """Whom anonymous reads let in, they do not let see the metrics."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"REQUIRE_API_KEY": "false", "ALLOW_ANONYMOUS_ACCESS": "true"}

    @pytest.mark.usefixtures("admin")
    def test_nobody_is_still_refused(self, client):
        assert_problem(client.get("/metrics"), 401, "login_required")


# What it says


def templates(client: TestClient) -> set[str]:
    """Return the templates of all documented routes."""
    return {*client.get("/openapi.json").json()["paths"]}


def labels_of(found: Series, label: str) -> set[str]:
    """Return all values of a label."""
    return {text for _name, labels in found for key, text in labels if key == label}


def test_routes_are_templates_and_nobody_is_named(client, ada, scrape):
    secretive = ["ada", "payroll", "staging-7", "quarterly", "hidden-value"]
    assert ada.post("/environments", {"name": "staging-7"}).status_code == 201
    assert ada.update("payroll", {"quarterly": "hidden-value"}).status_code == 200
    program(ada, actions=["metrics"]).get("/metrics")
    before = scrape()
    assert ada.get("/config/payroll").status_code == 200
    assert ada.get("/config/payroll/").status_code == 200
    assert ada.get("/config/nothing").status_code == 404
    assert ada.get("/config/payroll/history").status_code == 200
    assert ada.get("/api/v1/config/quarterly", service_name="payroll").status_code == 200
    assert ada.request("DELETE", "/config/payroll/history").status_code == 405
    for body in ({"app_id": "payroll"}, {"app_id": "payroll", "wait": 0}, {"app_id": "nothing"}):
        ada.post("/api/v1/configs/fetch", body)
    after = scrape()

    def new(route: str, method: str = "GET", status: str = "200") -> float:
        labels = {"method": method, "route": route, "status": status}
        name = "http_requests_total"
        return value(after, name, **labels) - value(before, name, **labels)

    assert new("/config/{service_name}") == 2
    assert new("/config/{service_name}", status="404") == 1
    assert new("/config/{service_name}/history") == 1
    assert new("/config/{service_name}/history", "DELETE", "405") == 1
    assert new("/api/v1/config/{key}") == 1
    assert value(after, "fetches_total") - value(before, "fetches_total") == 2
    fresh = labels_of(after, "route") - labels_of(before, "route")
    assert fresh <= templates(client) | {"other"}
    text = str(sorted(after, key=str))
    assert [name for name in secretive if re.search(rf"\b{name}\b", text)] == []


def test_unknown_paths_and_methods_make_no_series(client, scrape):
    def strange() -> str:
        return "".join(random.SystemRandom().choices(string.ascii_lowercase, k=12))

    client.get("/nowhere")
    client.request("BREW", "/nowhere")
    scrape()  # is itself counted, after its answer
    before = scrape()
    for _ in range(50):
        assert client.get(f"/{strange()}/{strange()}").status_code == 404
        assert client.request(strange().upper(), f"/{strange()}").status_code == 404
    after = scrape()
    assert set(after) == set(before)
    for method in ("GET", "OTHER"):
        labels = {"method": method, "route": "other", "status": "404"}
        name = "http_requests_total"
        assert value(after, name, **labels) - value(before, name, **labels) == 50


def test_answers_of_the_middleware_are_counted(client, scrape):
    before = scrape()
    assert client.get("/%ff").status_code == 422
    large = {"Content-Length": str(2 * 1024 * 1024)}
    assert client.post("/config/update", headers=large, content=b"").status_code == 413
    after = scrape()
    for method, status in (("GET", "422"), ("POST", "413")):
        labels = {"method": method, "route": "other", "status": status}
        name = "http_requests_total"
        assert value(after, name, **labels) - value(before, name, **labels) == 1


def test_the_documentation_lists_every_metric_and_no_other(local):
    families = {
        f"{one.name}_total" if one.type == "counter" else one.name
        for one in text_string_to_metric_families(local.get("/metrics").text)
    }
    page = (ROOT / "docs" / "operation.md").read_text()
    assert set(re.findall(r"^\| `(configsync_\w+)", page, re.MULTILINE)) == families


def test_what_is_not_in_the_audit_log_is_counted(ada, scrape):
    until(lambda: value(scrape(), "audit_pending") == 0, "the log is written")
    assert value(scrape(), "outbox_lag_seconds") == 0
    with db.transaction() as session:
        assert leases.claim(
            session, name=drain.LEASE, holder="test:1", seconds=600, before="server"
        )
    for number in range(3):
        assert ada.update("billing", {"n": number}).status_code == 200
    found = scrape()
    assert value(found, "audit_pending") >= 3
    assert value(found, "outbox_lag_seconds") > 0
    assert value(scrape(), "outbox_lag_seconds") > value(found, "outbox_lag_seconds")


def test_pending_events_are_counted_up_to_a_bound(ada):
    with db.open_session() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO event_pending (event_id, at) "
            f"SELECT -n, now() FROM generate_series(1, {crud.COUNTED + 1}) AS n"
        )
        assert crud.count_pending(session) == crud.COUNTED


def test_the_pool_is_looked_at(ada, scrape):
    size = get_settings().db_pool_size
    idle = value(scrape(), "db_pool_connections", state="idle")
    assert 1 <= idle <= size
    with db.open_session() as session:
        session.connection()
        found = scrape()
    assert value(found, "db_pool_connections", state="in_use") >= 1
    assert value(found, "db_pool_connections", state="size") == size


# Exactness


def test_bulk_observations_are_what_single_ones_are():
    durations = [0.0, 0.0005, 0.00050001, 0.001, 0.3, 0.5, 9.99, 10.0, 10.1, 1000.0]
    texts = []
    for in_bulk in (False, True):
        registry = CollectorRegistry()
        histogram = Histogram("h", "h", ("a",), buckets=metrics.BOUNDS, registry=registry)
        if in_bulk:
            buckets = [0] * (len(metrics.BOUNDS) + 1)
            for one in durations:
                buckets[bisect_left(metrics.BOUNDS, one)] += 1
            metrics.observe_in_bulk(histogram.labels("x"), buckets, sum(durations))
        else:
            for one in durations:
                histogram.labels("x").observe(one)
        texts.append(generate_latest(registry).decode())
    assert texts[0] == texts[1]


def exposed() -> Series:
    """Return what this process knows."""
    return series(metrics.exposition().decode())


def test_hot_counts_move_exactly_what_was_added():
    route = "/test/hot"
    ok, bad = metrics.hot("GET", route, 200), metrics.hot("GET", route, 503)
    assert metrics.hot("GET", route, 200) is ok
    assert metrics.hot("BREW", route, 200) is metrics.hot("HACK", route, 200)
    assert route not in labels_of(exposed(), "route"), "series of what never happened"
    for round_ in range(1, 4):
        for _ in range(1000):
            ok.count += 1
            ok.seconds += 0.002
            ok.buckets[bisect_left(metrics.BOUNDS, 0.002)] += 1
        bad.add(20.0)
        metrics.flush()
        metrics.flush()
        found = exposed()
        labels = {"method": "GET", "route": route}
        assert value(found, "http_requests_total", status="200", **labels) == 1000 * round_
        assert value(found, "http_requests_total", status="503", **labels) == round_
        name = "http_request_duration_seconds"
        assert value(found, f"{name}_bucket", le="0.001", **labels) == 0
        assert value(found, f"{name}_bucket", le="0.0025", **labels) == 1000 * round_
        assert value(found, f"{name}_bucket", le="10.0", **labels) == 1000 * round_
        assert value(found, f"{name}_bucket", le="+Inf", **labels) == 1001 * round_
        assert value(found, f"{name}_count", **labels) == 1001 * round_
        assert value(found, f"{name}_sum", **labels) == pytest.approx(22.0 * round_)


def test_tallies_and_gauges():
    before = exposed()
    metrics.snapshot_reads["hit"].count += 5
    metrics.snapshot_reads["load"].add()
    metrics.frames_sent["sse"].count += 2
    metrics.feed_commits.count += 4
    metrics.listener_cut_off("slow")
    metrics.listener_came("websocket")
    metrics.listener_came("websocket")
    metrics.listener_left("websocket")
    metrics.set_listeners("long_poll", 7)
    metrics.on_flush(lambda: metrics.set_snapshots(3, 4096))
    metrics.feed_confirmed()
    after = exposed()
    metrics.forget_callbacks()

    def new(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert new("snapshot_reads_total", outcome="hit") == 5
    assert new("snapshot_reads_total", outcome="load") == 1
    assert new("frames_sent_total", transport="sse") == 2
    assert new("feed_commits_total") == 4
    assert new("listeners_cut_off_total", reason="slow") == 1
    assert new("listeners", transport="websocket") == 1
    assert value(after, "listeners", transport="long_poll") == 7
    assert value(after, "snapshots") == 3
    assert value(after, "snapshot_bytes") == 4096
    assert 0 <= value(after, "feed_lag_seconds") < 60
    metrics.set_listeners("long_poll", 0)
    metrics.listener_left("websocket")
    metrics.set_snapshots(0, 0)


# While the database is away


@pytest.fixture
def closing(database: str, settings) -> Callable[[], None]:
    """Return what makes the database refuse everybody."""
    name = database.rpartition("/")[2].partition("?")[0]

    def close() -> None:
        execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    return close


def check_without_outbox(answer: httpx.Response) -> None:
    """Check that an answer has what the process knows, and no more."""
    assert answer.status_code == 200, answer.text
    assert "configsync_http_requests_total" in answer.text
    assert "configsync_outbox_lag_seconds" not in answer.text
    assert "configsync_audit_pending" not in answer.text


def test_this_machine_is_answered_while_the_database_is_away(local, closing):
    assert local.get("/metrics").status_code == 200
    closing()
    for _ in range(3):
        check_without_outbox(local.get("/metrics"))


def test_a_key_that_was_let_in_is_while_the_database_is_away(client, ada, closing):
    good, late = program(ada, actions=["metrics"]), program(ada, actions=["metrics"])
    bad = program(ada, actions=["read"])
    assert good.get("/metrics").status_code == 200
    assert bad.get("/metrics").status_code == 403
    closing()
    check_without_outbox(good.get("/metrics"))
    for stranger in (late, bad, ada):
        assert_problem(stranger.get("/metrics"), 503, "database_unavailable")
    elsewhere = TestClient(client.app, client=("192.0.2.1", 1))
    answer = elsewhere.get("/metrics", headers={"X-API-Key": good.token})
    assert_problem(answer, 503, "database_unavailable")


def test_keys_are_remembered_for_a_while_only(ada, closing, monkeypatch):
    monkeypatch.setattr(deps, "REMEMBERED_SECONDS", 0.0)
    key = program(ada, actions=["metrics"])
    assert key.get("/metrics").status_code == 200
    closing()
    assert_problem(key.get("/metrics"), 503, "database_unavailable")


def test_only_so_many_keys_are_remembered(ada, monkeypatch):
    monkeypatch.setattr(deps, "MAX_REMEMBERED", 2)
    for _ in range(4):
        assert program(ada, actions=["metrics"]).get("/metrics").status_code == 200
    assert len(deps._let_in) <= 2


class TestNoDatabaseAtAll:
    """A server that never saw its database."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        return {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}

    @pytest.mark.usefixtures("settings")
    def test_metrics_are_there(self):
        with TestClient(create_server(), client=("127.0.0.1", 1)) as client:
            check_without_outbox(client.get("/metrics"))


class TestAFrozenDatabase:
    """A database that takes connections and says nothing."""

    @pytest.fixture
    def variables(self) -> Iterator[dict[str, str]]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield {"DATABASE_URL": f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x"}

    @pytest.mark.usefixtures("settings")
    def test_metrics_do_not_wait_for_it(self):
        with TestClient(create_server(), client=("127.0.0.1", 1)) as client:
            check_without_outbox(client.get("/metrics"))
