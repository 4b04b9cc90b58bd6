"""What the library evaluates is what the server says, whatever the flag and the context."""

import json
from contextlib import suppress
from typing import Any

import pytest
from configsync import SyncConfigClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.processes import Server
from tests.rules.strategies import CONTEXTS, conditions
from tests.sdk.desk import ENVIRONMENT, Desk

SHARES = st.integers(0, 100_000)
BY = st.sampled_from(["targetingKey", "country", "a", "a.b.c"])
ROUNDS, FLAGS, PEOPLE = 8, 25, 6
SEGMENT = {"included": ["ada"], "excluded": ["bob"]}


def is_json(context: Any) -> bool:
    """Tell whether a request can carry a context."""
    with suppress(ValueError):
        return "\\u0000" not in json.dumps(context, allow_nan=False)
    return False


@st.composite
def flags(draw: Any) -> dict[str, Any]:
    share = draw(SHARES)
    weights = {"on": share / 1_000, "off": (100_000 - share) / 1_000}
    split = [{"variant": variant, "weight": weight} for variant, weight in weights.items()]
    rules = [
        {"id": "first", "when": draw(conditions()), "serve": {"variant": "on"}},
        {"id": "second", "when": draw(conditions()), "serve": {"split": split}},
    ]
    return {"rules": rules, "bucket_by": draw(BY), "is_enabled": draw(st.integers(0, 9)) > 0}


CASES = st.tuples(
    st.lists(flags(), min_size=FLAGS, max_size=FLAGS),
    st.lists(
        st.tuples(
            st.none() | st.text("abc", min_size=1) | st.integers(0, 9), CONTEXTS.filter(is_json)
        ),
        min_size=PEOPLE,
        max_size=PEOPLE,
    ),
)


@pytest.fixture(scope="module")
def asker(server: Server):
    with Desk(server.url, "equal") as desk:
        desk.write(n=1)
        desk.post("/api/v1/segments", {"name": "s", **SEGMENT})
        with SyncConfigClient(**desk.options) as client:
            yield desk, client


@settings(
    max_examples=ROUNDS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # each example writes; a failing one is told as it is
    suppress_health_check=[*HealthCheck],
)
@given(CASES)
def test_both_say_the_same(asker, case):
    desk, client = asker
    made, people = case
    changes = [
        {"flag": f"equal.{number}", "environment": ENVIRONMENT, "op": "set", **flag}
        for number, flag in enumerate(made)
    ]
    names = [change["flag"] for change in changes]
    for change in changes:
        change["accept_rebucketing"] = True
    desk.post("/api/v1/changes", {"changes": changes})
    client.refresh()
    for user_id, context in people:
        asking = {"environment": ENVIRONMENT, "user_id": user_id, "context": context}
        answer = desk.post("/api/v1/feature-flags/evaluate/batch", asking | {"flags": names})
        for name in names:
            said = answer["evaluations"][name]
            found = client.flag_details(name, user_id, context, default=None)
            assert (found.error is None) == (said["reason"] != "targeting_key_missing")
            assert found.value == (said["value"] if found.error is None else None)
            for member in ("variant", "reason", "rule_id", "bucket", "revision"):
                assert getattr(found, member) == said[member], (member, name, user_id, context)
