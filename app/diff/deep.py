"""DeepDiff's view of two documents. Quadratic and worse: only for a worker process."""

import hashlib
import json
import math
from typing import Any

from deepdiff import DeepDiff

# A negative zero needs a type of its own, or DeepDiff takes it for zero; readers see "float".
_NegativeZero = type("float", (float,), {})


class _Text(str):
    """A string in a hash, where DeepDiff takes `"NONE"` for null and `"int:1"` for 1."""

    __slots__ = ()


class _TellStringsApart:
    """Mark strings while DeepDiff hashes them; compare nothing itself."""

    def match(self, _level: Any) -> bool:
        return False

    def give_up_diffing(self, _level: Any, _diff: Any) -> bool:
        return False

    def normalize_value_for_hashing(self, _parent: Any, value: Any) -> Any:
        return _Text(value) if type(value) is str else value


def deep_diff(old_text: str, new_text: str) -> str:
    """Return DeepDiff's JSON for two JSON texts, `{}` if equal up to the order of arrays.

    Types differ as in `structural.same`; repeated elements count. Values are there as they
    were parsed. Time grows with the square of an array's changed elements, and worse. Raise
    ValueError for what is not JSON or no double can hold.
    """
    diff = DeepDiff(
        _parse(old_text),
        _parse(new_text),
        ignore_order=True,
        report_repetition=True,  # otherwise [1, 1] equals [1]
        ignore_private_variables=False,  # otherwise members named __x are skipped
        ignore_numeric_type_changes=False,
        verbose_level=2,
        cache_size=5000,  # otherwise time is exponential in the depth of nested arrays
        hasher=_digest,
        custom_operators=[_TellStringsApart()],
    )
    # orjson, which it prefers, knows neither long integers nor lone surrogates
    return str(diff.to_json(force_use_builtin_json=True, allow_nan=False))


def _parse(text: str) -> Any:
    return json.loads(text, parse_float=_float, parse_int=_int, parse_constant=_float)


def _int(text: str) -> int | float:
    return _float(text) if text == "-0" else int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return _NegativeZero(value) if repr(value) == "-0.0" else value


def _digest(content: str | bytes) -> str:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(raw).hexdigest()
