"""OpenFeature's behaviour suite (behaviour/README.md), with our provider and a real server."""

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from configsync import SyncConfigClient
from configsync.openfeature import ConfigSyncProvider
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationOptions
from openfeature.hook import Hook
from pytest_bdd import given, parsers, scenarios, then, when

from tests.processes import free_port, until
from tests.sdk import behaviour_flags
from tests.sdk.desk import KEY, Desk
from tests.sdk.impostor import Impostor

PLACE = "behaviour"
ENVIRONMENT = "openfeature"
scenarios(*(f"{PLACE}/{name}.feature" for name in ("evaluation", "hooks", "metadata")))
scenarios(f"{PLACE}/evaluation_v2.feature")

VALUES = {
    "boolean": lambda text: text == "true",
    "string": str,
    "integer": int,
    "float": float,
    "object": json.loads,
}


def parsed(kind: str, text: str) -> Any:
    return VALUES[kind.lower()](text.replace('\\"', '"'))


@pytest.fixture(scope="session")
def options(server) -> dict[str, Any]:
    """Give what a client needs that has the flags of the suite."""
    with Desk(server.url, "behaviour") as desk:
        desk.post("/environments", {"name": ENVIRONMENT})
        desk.write(ENVIRONMENT, n=1)
        for name, members in behaviour_flags.flags().items():
            desk.flag(name, environment=ENVIRONMENT, **members)
        return {**desk.options, "environment": ENVIRONMENT}


@pytest.fixture
def state():
    """Give what steps tell each other; nothing of the SDK's global state stays."""
    yield SimpleNamespace(context={}, hooks=[], options=None)
    api.clear_providers()
    api.clear_hooks()
    api.set_evaluation_context(EvaluationContext())


class Recorder(Hook):
    """Notes its calls."""

    def __init__(self, name: str, calls: list[Any]) -> None:
        self.name, self.calls = name, calls

    def before(self, *_, **__):
        self.calls.append((self.name, "before", None))

    def after(self, *_, details, **__):
        self.calls.append((self.name, "after", details))

    def error(self, *_, **__):
        self.calls.append((self.name, "error", None))

    def finally_after(self, *_, details, **__):
        self.calls.append((self.name, "finally", details))


# Providers:


@given("a stable provider")
def stable(state, options, stack):
    client = SyncConfigClient(**options)
    stack.callback(client.close)  # the SDK forgets it when another one cannot begin
    api.set_provider_and_wait(ConfigSyncProvider(client))
    state.client = api.get_client()


@given("a not ready provider")
def not_ready(state, wrong, stack):
    begun, released = threading.Event(), threading.Event()

    def hang(handler) -> None:
        begun.set()
        released.wait(60)

    url = wrong(hang)
    stack.callback(released.set)
    client = SyncConfigClient(base_url=url, app_id="app", environment="e")
    api.set_provider(ConfigSyncProvider(client))
    assert begun.wait(60)
    state.client = api.get_client()


@given("a error provider")
def failing(state, options):
    away = options | {"base_url": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(OpenFeatureError):
        api.set_provider_and_wait(ConfigSyncProvider(SyncConfigClient(**away)))
    state.client = api.get_client()


@given("a fatal provider")
def fatal(state, options):
    unknown = options | {"api_key": KEY + "x"}
    with pytest.raises(OpenFeatureError):
        api.set_provider_and_wait(ConfigSyncProvider(SyncConfigClient(**unknown)))
    state.client = api.get_client()


@given("a stale provider")
def stale(state, wrong):
    server = Impostor(n=1)
    server.flags = {}
    client = SyncConfigClient(base_url=wrong(server), app_id="app", environment="e")
    api.set_provider_and_wait(ConfigSyncProvider(client))
    state.client = api.get_client()
    heard = threading.Event()
    state.client.add_handler(ProviderEvent.PROVIDER_STALE, lambda _: heard.set())
    server.refuses = (500, "broken")
    with pytest.raises(Exception, match="a broken"):
        client.refresh()
    assert heard.wait(60)


@then(parsers.parse('the provider status should be "{status}"'))
def has_status(state, status):
    until(lambda: state.client.get_provider_status().value == status, f"the provider is {status}")


# The newer wording:

GIVEN = parsers.re(
    r'an? (?P<kind>\w+)-flag with key "(?P<key>[^"]+)" and a (?:default|fallback) value '
    r'"(?P<text>.*)"$'
)


@given(GIVEN)
def a_flag(state, kind, key, text):
    state.kind, state.key, state.default = kind.lower(), key, parsed(kind, text)


@given(
    parsers.re(
        r'a context containing a key "(?P<key>\w+)", with type "(?P<kind>\w+)" '
        r'and with value "(?P<text>.*)"$'
    )
)
def a_context(state, kind, key, text):
    state.context[key] = parsed(kind, text)


@given(parsers.parse('a context containing a key "{key}" with null value'))
def a_null(state, key):
    state.context[key] = None


def evaluate(state, kind: str, key: str, default: Any) -> None:
    ask = getattr(state.client, f"get_{kind}_details")
    context = EvaluationContext(attributes=state.context)
    state.found = ask(key, default, context, state.options)


@when("the flag was evaluated with details")
@when("the flag was evaluated with details using the evaluation options")
def evaluated(state):
    evaluate(state, state.kind, state.key, state.default)


@when("the flag was evaluated with details asynchronously")
def evaluated_asynchronously(state):
    ask = getattr(state.client, f"get_{state.kind}_details_async")
    state.found = asyncio.run(ask(state.key, state.default))


@then("the evaluation should complete without blocking")
def completed(state):
    assert state.found.flag_key == state.key


@then(parsers.re(r'the resolved details value should be "(?P<text>.*)"$'))
def has_value(state, text):
    expected = parsed(state.kind, text)
    assert (state.found.value, type(state.found.value)) == (expected, type(expected))


@then(parsers.parse('the reason should be "{reason}"'))
def has_reason(state, reason):
    assert state.found.reason == reason


@then(parsers.parse('the error-code should be "{code}"'))
def has_code(state, code):
    assert state.found.error_code == ErrorCode[code]


@then(parsers.re(r'the variant should be "(?P<variant>[^"]*)"$'))
def has_variant(state, variant):
    assert state.found.variant == variant


@then(parsers.parse('the flag key should be "{key}"'))
def has_key(state, key):
    assert state.found.flag_key == key


@then("the resolved metadata should contain")
def has_metadata(state, datatable):
    for key, kind, text in datatable[1:]:
        assert state.found.flag_metadata[key] == parsed(kind, text)


@then("the resolved metadata is empty")
def has_no_metadata(state):
    assert not state.found.flag_metadata


# Hooks:


@given("a client with added hook")
def with_hook(state):
    state.client.add_hooks([Recorder("client", state.hooks)])


@then(parsers.parse('the "{stage}" hook should have been executed'))
def hook_ran(state, stage):
    assert stage in [call[1] for call in state.hooks]


@then(parsers.parse('the "{stages}" hooks should be called with evaluation details'))
def hooks_saw(state, stages, datatable):
    for stage in stages.split(", "):
        [details] = [call[2] for call in state.hooks if call[1] == stage]
        for kind, name, text in datatable[1:]:
            found = getattr(details, name)
            found = found.value if isinstance(found, ErrorCode) else found
            assert found == (None if text == "null" else parsed(kind, text)), name


@given("evaluation options containing specific hooks")
def option_hooks(state):
    hooks: list[Hook] = [Recorder("first", state.hooks), Recorder("second", state.hooks)]
    state.options = FlagEvaluationOptions(hooks=hooks)


@then("the specified hooks should execute during evaluation")
def option_hooks_ran(state):
    assert {call[1] for call in state.hooks} == {"before", "after", "finally"}


@then("the hook order should be maintained")
def in_order(state):
    assert [call[0] for call in state.hooks if call[1] == "before"] == ["first", "second"]
    assert [call[0] for call in state.hooks if call[1] == "after"] == ["second", "first"]


@given("an evaluation context with modifiable data")
def modifiable(state):
    state.context["list"] = [1, {"a": [2]}]


@then("the original evaluation context should remain unmodified")
def unmodified(state):
    assert state.context == {"list": [1, {"a": [2]}]}


@then("the evaluation details should be immutable")
def details_are_ours(state):
    """What is done to them changes no other answer."""
    state.found.flag_metadata["revision"] = "changed"
    evaluate(state, state.kind, state.key, state.default)
    assert state.found.flag_metadata["revision"] != "changed"


# The older wording:

KIND = r"(?P<kind>boolean|string|integer|float|object)"
TEXT = r'"?(?P<text>[^"]*?)"?'


@when(
    parsers.re(
        rf'an? {KIND} flag with key "(?P<key>[^"]+)" is evaluated with (?:details and )?'
        rf"default value {TEXT}$"
    )
)
def older(state, kind, key, text):
    state.kind = kind
    evaluate(state, kind, key, parsed(kind, text))


@when(
    parsers.re(
        r'an object flag with key "(?P<key>[^"]+)" is evaluated with (?:details and )?a null '
        r"default value$"
    )
)
def older_object(state, key):
    state.kind = "object"
    evaluate(state, "object", key, None)


@then(parsers.re(rf"the resolved {KIND} value should be {TEXT}$"))
def older_value(state, kind, text):
    assert state.found.value == parsed(kind, text)


@then(
    parsers.re(
        rf"the resolved {KIND} details value should be {TEXT}, the variant should be "
        r'"(?P<variant>[^"]+)", and the reason should be "(?P<reason>[^"]+)"$'
    )
)
def older_details(state, kind, text, variant, reason):
    assert state.found.value == parsed(kind, text)
    assert (state.found.variant, state.found.reason) == (variant, reason)


FIELDS = r'"(?P<a>\w+)", "(?P<b>\w+)", and "(?P<c>\w+)", with values "(?P<x>\w+)", "(?P<y>[^"]+)" '


@then(
    parsers.re(
        rf"the resolved object (?:details )?value should be contain fields {FIELDS}"
        r"and (?P<z>\d+), respectively$"
    )
)
def older_fields(state, a, b, c, x, y, z):
    value = state.found.value
    assert (value[a], value[b], value[c]) == (x == "true", y, int(z))


@then(
    parsers.re(
        r'the variant should be "(?P<variant>[^"]+)", and the reason should be '
        r'"(?P<reason>[^"]+)"$'
    )
)
def older_variant(state, variant, reason):
    assert (state.found.variant, state.found.reason) == (variant, reason)


@when(
    parsers.parse(
        'context contains keys "fn", "ln", "age", "customer" with values "{fn}", "{ln}", '
        '{age:d}, "{customer}"'
    )
)
def older_context(state, fn, ln, age, customer):
    state.context = {"fn": fn, "ln": ln, "age": age, "customer": customer == "true"}


@when(parsers.parse('a flag with key "{key}" is evaluated with default value "{default}"'))
def older_text(state, key, default):
    state.key, state.default = key, default
    evaluate(state, "string", key, default)


@then(parsers.parse('the resolved string response should be "{text}"'))
def older_response(state, text):
    assert state.found.value == text


@then(parsers.parse('the resolved flag value is "{text}" when the context is empty'))
def older_without_context(state, text):
    state.context = {}
    evaluate(state, "string", state.key, state.default)
    assert state.found.value == text


@when(
    parsers.parse(
        'a non-existent string flag with key "{key}" is evaluated with details and a '
        'default value "{default}"'
    )
)
def older_missing(state, key, default):
    state.default = default
    evaluate(state, "string", key, default)


@when(
    parsers.parse(
        'a string flag with key "{key}" is evaluated as an integer, with details and a '
        "default value {default:d}"
    )
)
def older_mismatch(state, key, default):
    state.default = default
    evaluate(state, "integer", key, default)


@then(parsers.re(r"the default (?:string|integer) value should be returned$"))
def older_default(state):
    assert state.found.value == state.default


@then(
    parsers.re(
        r"the reason should indicate an error and the error code should indicate a "
        r'(?:missing flag|type mismatch) with "(?P<code>\w+)"$'
    )
)
def older_code(state, code):
    assert (state.found.reason, state.found.error_code) == ("ERROR", ErrorCode[code])
