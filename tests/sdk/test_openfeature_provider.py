"""What the provider tells an OpenFeature client beyond OpenFeature's own suite."""

import asyncio
import queue
import threading
from datetime import UTC, datetime

import pytest
from configsync import ConfigClient, StaticClient, SyncConfigClient
from configsync.openfeature import ConfigSyncProvider
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.provider import ProviderStatus

from tests.processes import free_port, until
from tests.sdk.impostor import Impostor
from tests.sdk.test_client import eventually

HALF = [{"variant": "on", "weight": 50}, {"variant": "off", "weight": 50}]
DOMAIN = "provider-tests"


@pytest.fixture
def provided():
    """Register a provider; give the SDK's client."""

    def register(client):
        api.set_provider_and_wait(ConfigSyncProvider(client), DOMAIN)
        return api.get_client(DOMAIN)

    yield register
    api.clear_providers()


def heard(client, event):
    """Return what comes of an event from now on."""
    events: queue.Queue = queue.Queue()
    client.add_handler(event, events.put)
    return events


def test_flags_are_followed_and_changes_told(desk, provided):
    desk.write(n=1)
    name = desk.name("checkout")
    when = {"attribute": "since", "op": "before", "value": "2026-01-01"}
    rules = [
        {"id": "old", "when": when, "serve": {"variant": "on"}},
        {"id": "half", "serve": {"split": HALF}},
    ]
    flag = desk.flag(name, rules=rules)
    ours = SyncConfigClient(**desk.options)
    client = provided(ours)
    context = EvaluationContext("eve", {"since": datetime(2025, 1, 1, tzinfo=UTC)})
    found = client.get_boolean_details(name, False, context)
    assert (found.value, found.variant, found.reason) == (True, "on", "TARGETING_MATCH")
    assert found.flag_metadata == {"revision": flag["revision"], "rule_id": "old"}
    split = client.get_boolean_details(name, False, EvaluationContext("eve"))
    assert split.reason == "SPLIT"
    assert split.flag_metadata.keys() == {"revision", "rule_id", "bucket"}
    keyless = client.get_boolean_details(name, True)
    assert (keyless.value, keyless.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    changes = heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    until(lambda: ours.status.push == "stream", "it follows changes")
    desk.change(flag, is_enabled=False)
    assert changes.get(timeout=60).flags_changed == [name]
    off = client.get_boolean_details(name, True, context)
    assert (off.value, off.reason) == (False, "DISABLED")
    api.clear_providers()
    until(lambda: ours.status.push == "off", "what the provider opened, it closes")


def test_stale_and_ready_again(wrong, provided, stack):
    server = Impostor(n=1)
    server.flags = {"a": {}}
    ours = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    stack.callback(ours.close)
    ours.initialize()
    client = provided(ours)
    stale, ready = (
        heard(client, event)
        for event in (ProviderEvent.PROVIDER_STALE, ProviderEvent.PROVIDER_READY)
    )
    assert ready.get(timeout=60).provider_name == "ConfigSync"
    server.refuses = (500, "broken")
    with pytest.raises(Exception, match="a broken"):
        ours.refresh()
    assert "a broken" in stale.get(timeout=60).message
    assert client.get_provider_status() is ProviderStatus.STALE
    assert client.get_boolean_value("a", False) is True
    server.refuses = None
    ours.refresh()
    ready.get(timeout=60)
    assert client.get_provider_status() is ProviderStatus.READY


def test_a_server_without_flags_is_an_error(wrong, stack, provided):
    ours = SyncConfigClient(base_url=wrong(Impostor(n=1)), app_id="app", environment="e")
    stack.callback(ours.close)
    ours.initialize()
    with pytest.raises(ProviderNotReadyError):
        provided(ours)
    client = api.get_client(DOMAIN)
    assert client.get_provider_status() is ProviderStatus.ERROR
    found = client.get_boolean_details("a", True)
    assert (found.value, found.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)


def test_a_client_with_a_loop(desk, provided):
    desk.write(n=1)
    name = desk.name("limits")
    flag = desk.flag(
        name, type="object", variants={"a": {"n": [1, {"m": 2}]}, "b": [1]}, default_variant="a"
    )

    async def main() -> None:
        ours = ConfigClient(**desk.options)
        with pytest.raises(ProviderNotReadyError):
            provided(ours)
        async with ours:
            await ours.start_auto_refresh()
            client = provided(ours)
            found = await client.get_object_details_async(name, {})
            assert found.value == {"n": [1, {"m": 2}]}
            assert type(found.value["n"]) is list
            changes = heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
            await eventually(lambda: ours.status.push == "stream")
            await asyncio.to_thread(desk.change, flag, default_variant="b")
            await eventually(lambda: not changes.empty())
            assert await client.get_object_value_async(name, {}) == [1]
            wrong = await client.get_string_details_async(name, "x")
            assert (wrong.value, wrong.error_code) == ("x", ErrorCode.TYPE_MISMATCH)

    asyncio.run(main())


def test_flags_that_are_given_and_contexts_that_go_too_deep(provided):
    client = provided(StaticClient(flags={"a": 5}))
    assert client.get_integer_value("a", 0) == 5
    assert client.get_float_value("a", 0.0) == 5.0
    deep: dict = {}
    for _ in range(10_000):
        deep = {"b": deep}
    found = client.get_integer_details("a", 1, EvaluationContext(attributes=deep))
    assert (found.value, found.error_code) == (1, ErrorCode.INVALID_CONTEXT)


def test_a_client_that_could_not_begin_leaves_no_thread_behind():
    before = threading.active_count()
    away = f"http://127.0.0.1:{free_port()}/api/v1"
    client = SyncConfigClient(base_url=away, app_id="app", environment="production", timeout=1)
    provider = ConfigSyncProvider(client)
    with pytest.raises(ProviderNotReadyError):
        provider.initialize(EvaluationContext())
    until(lambda: threading.active_count() <= before, "its thread has ended")
