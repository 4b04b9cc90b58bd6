"""Programs that ask for flags through the stock providers for servers, in Python and in Node."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from tests.external.board import Outcome

SCRIPTS = Path(__file__).parent / "js"
DOMAIN = "external"

Ask = Callable[[dict[str, Any]], Outcome]


@contextmanager
def python(url: str, key: str) -> Iterator[Ask]:
    """Ask with the stock provider for Python."""
    provider = OFREPProvider(url, headers_factory=lambda: {"X-API-Key": key}, timeout=30)
    provider.session.trust_env = False
    api.set_provider_and_wait(provider, DOMAIN)
    client = api.get_client(DOMAIN)

    def ask(call: dict[str, Any]) -> Outcome:
        context = dict(call.get("context", {}))
        method = getattr(client, f"get_{call['type']}_details")
        found = method(
            call["flag"],
            call["default"],
            EvaluationContext(context.pop("targetingKey", None), context),
        )
        return Outcome(found.value, found.variant, found.reason, found.error_code)

    try:
        yield ask
    finally:
        api.clear_providers()
        provider.session.close()


def node(url: str, key: str, *calls: dict[str, Any]) -> list[Outcome]:
    """Ask with the stock provider for JavaScript on servers, one call after the other."""
    options = {"baseUrl": url, "headers": [["Authorization", f"Bearer {key}"]]}
    ran = subprocess.run(
        ["node", "server.mjs"],
        cwd=SCRIPTS,
        input=json.dumps({"options": options, "calls": calls}),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return [outcome(json.loads(line)) for line in ran.stdout.splitlines()]


def outcome(details: dict[str, Any]) -> Outcome:
    """Return what a JavaScript client found."""
    return Outcome(
        details["value"], details.get("variant"), details["reason"], details.get("errorCode")
    )
