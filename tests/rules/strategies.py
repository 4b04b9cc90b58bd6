"""Random conditions and contexts that meet often enough to matter."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tests.rules import table

SCALARS = st.sampled_from(
    [
        "ada",
        "ADA",
        "bob",
        "DE",
        "7",
        "",
        "1.2.0",
        "2026-01-01",
        "10.0.0.1",
        7,
        7.0,
        0,
        1,
        -1.5,
        True,
        False,
    ]
)
NAMES = st.sampled_from(["targetingKey", "user_id", "country", "a", "a.b", "a.b.c"])
UNITS = st.none() | SCALARS | st.text() | st.integers() | st.lists(SCALARS, max_size=2)
VALUES = st.recursive(
    st.none() | SCALARS | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)
CONTEXTS = st.dictionaries(NAMES, VALUES, max_size=4)
EXAMPLES = table.examples()
STEADY = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@st.composite
def comparisons(draw: Any) -> dict[str, Any]:
    """Return one comparison with an operand that fits, often with people."""
    more: dict[str, Any] = {"negate": draw(st.booleans())}
    if draw(st.booleans()):
        values = draw(st.lists(SCALARS, max_size=4))
        found = draw(
            st.sampled_from(
                [{"op": "in", "values": values}, {"op": "equals", "value": draw(SCALARS)}]
            )
        )
        return {"attribute": draw(NAMES), **found, **more, "ignore_case": draw(st.booleans())}
    return draw(st.sampled_from(EXAMPLES)).condition(draw(NAMES), **more)


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Return conditions, nested, over attributes and the segment `s`."""
    return st.recursive(
        comparisons() | st.just({"segment": "s"}),
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda parts: {"all": parts})
            | st.lists(inner, max_size=3).map(lambda parts: {"any": parts})
            | inner.map(lambda part: {"not": part})
        ),
        max_leaves=6,
    )
