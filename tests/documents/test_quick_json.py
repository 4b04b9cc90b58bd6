"""The quick reader takes and refuses what the thorough one does."""

import json as plain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats import json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just('":'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")])


def outcome(parse, raw: bytes):
    try:
        return repr(plainly(parse(raw)))
    except json.JsonError:
        return "refused"


def plainly(value):
    """Return a value without the memory of how its numbers were written."""
    if isinstance(value, dict):
        return {key: plainly(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plainly(inner) for inner in value]
    return float(value) if isinstance(value, float) else value


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(VALUES, SEPARATORS, st.booleans())
def test_what_can_be_written(value, separators, ascii_only):
    raw = plain.dumps(value, separators=separators, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    assert outcome(json.read, raw) == outcome(json.loads, raw)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet='{}[]":,\\ua1-0.eE \n\x00é', max_size=30))
def test_what_nobody_writes(text):
    raw = text.encode()
    assert outcome(json.read, raw) == outcome(json.loads, raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"b":{"c":1,"c":":"}}',
        b'{"a":1,"a" :2,"b":":"}',
        b'{"x":"\\":","a":1,"a":2}',
        b"[" * 64 + b"]" * 64,
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"123456789012345678901234567890",
        b"-9223372036854775809",
        b"18446744073709551615",
        b"1e400",
        b"-0",
        b"[1.50, 1E2, -0.0]",
        b"[NaN]",
        b'"\\ud800"',
        b'"\\u0000"',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"",
    ],
)
def test_what_is_unusual(raw: bytes):
    assert outcome(json.read, raw) == outcome(json.loads, raw)
