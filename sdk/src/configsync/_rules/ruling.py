"""The rules of one flag, compiled: when each matches, and what it serves."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import mmh3

from .conditions import Condition, compile_condition
from .contexts import UNIT, Context, getter, unit_of
from .definitions import (
    TARGET_USERS,
    default_variant_of,
    known_variant,
    off_variant_of,
    variants_of,
)
from .errors import Code, Path, RuleError
from .hashing import BETWEEN, BUCKETS, HASH_VERSIONS
from .limits import MAX_CONDITIONS, MAX_RULES, MAX_TEXT
from .reading import a_text, an_object, listed
from .results import TARGETING_KEY_MISSING, Reason, Result
from .shares import read_split

Serve = Callable[[Context], Result]
Rule = tuple[Callable[[Context], bool] | None, Serve]

MEMBERS = frozenset({"id", "description", "when", "serve"})


class Ruling:
    """What all rules of a flag need to know of it."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.variants = variants_of(definition)
        self.off_variant = off_variant_of(definition)
        self.revision: int | None = definition.get("revision")
        self.definition = definition
        self.comparisons = 0
        self.listed = listed(definition, "rules", MAX_RULES)
        for number, rule in enumerate(self.listed):
            an_object(rule, ("rules", number), Code.INVALID_RULE, MEMBERS)
        salt, by = definition.get("salt"), definition.get("bucket_by")
        self.salt = None if salt is None else a_text(salt, ("salt",), Code.INVALID_FLAG)
        self.bucket_by = a_text(
            UNIT if by is None else by, ("bucket_by",), Code.INVALID_FLAG, MAX_TEXT
        )
        version = definition.get("hash_version", 1)
        if type(version) is not int or version not in HASH_VERSIONS:
            raise RuleError(Code.INVALID_FLAG, ("hash_version",), "there is no such version")

    def result(self, variant: str, reason: Reason, rule_id: str | None = None) -> Result:
        """Return the result for everybody whom one thing decides."""
        return Result(variant, self.variants[variant], reason, rule_id, None, self.revision, None)

    def off(self, reason: Reason) -> Result:
        """Return the result that serves the off variant."""
        return self.result(self.off_variant, reason)

    def fallback(self) -> Result:
        """Return the result for those whom no rule matches."""
        reason = Reason.DEFAULT if self.listed else Reason.GLOBALLY_ENABLED
        return self.result(default_variant_of(self.definition, self.listed), reason)

    def rules(self, segments: Mapping[str, Condition]) -> list[Rule]:
        """Compile the rules, in their order; raise RuleError."""
        compiled: list[Rule] = []
        seen: set[str] = set()
        count = 0
        for number, rule in enumerate(self.listed):
            path: Path = ("rules", number)
            rule_id = a_text(rule.get("id"), (*path, "id"), Code.INVALID_RULE)
            if rule_id in seen:
                raise RuleError(Code.INVALID_RULE, (*path, "id"), "is there twice")
            seen.add(rule_id)
            when = rule.get("when")
            found = None if when is None else compile_condition(when, segments, (*path, "when"))
            count += found.comparisons if found else 0
            serve = self._serve(rule.get("serve"), rule_id, (*path, "serve"))
            compiled.append((found.test if found else None, serve))
        if count > MAX_CONDITIONS:
            message = f"at most {MAX_CONDITIONS:,} comparisons, with those of segments"
            raise RuleError(Code.TOO_LARGE, ("rules",), message)
        self.comparisons = count
        return compiled

    def _serve(self, serve: Any, rule_id: str, path: Path) -> Serve:
        serve = an_object(serve, path, Code.INVALID_RULE, {"variant", "split"})
        if len(serve) != 1:
            raise RuleError(Code.INVALID_RULE, path, "needs variant or split")
        if "split" in serve:
            return self._split(serve["split"], rule_id, (*path, "split"))
        variant = known_variant(serve["variant"], self.variants, (*path, "variant"))
        reason = Reason.USER_TARGETED if rule_id == TARGET_USERS else Reason.RULE_MATCH
        result = self.result(variant, reason, rule_id)
        return lambda _: result

    def _split(self, split: Any, rule_id: str, path: Path) -> Serve:
        entries = read_split(split, path)
        for number, (variant, _) in enumerate(entries):
            known_variant(variant, self.variants, (*path, number, "variant"))
        if self.salt is None:
            raise RuleError(Code.INVALID_FLAG, ("salt",), "a split needs a salt")
        served = sorted(
            (min(pair), self.result(variant, Reason.ROLLOUT_PERCENTAGE, rule_id))
            for variant, ranges in entries
            for pair in ranges
        )
        starts = [start for start, _ in served]
        results = [result for _, result in served]
        keyless = results[0]  # where all get the same, nobody must be bucketed
        if any(result.variant != keyless.variant for result in results):
            off = self.result(self.off_variant, Reason.TARGETING_KEY_MISSING, rule_id)
            keyless = off._replace(error=TARGETING_KEY_MISSING)
        return _bucketing(
            f"{self.salt}{BETWEEN}".encode(), self.bucket_by, starts, results, keyless
        )


def _bucketing(
    prefix: bytes, bucket_by: str, starts: list[int], results: list[Result], keyless: Result
) -> Serve:
    """Return what finds the range that a unit is in."""
    get = getter(bucket_by)
    # Bound to locals: this is the path that is measured (bench/rules.py).
    digest, new = mmh3.mmh3_32_uintdigest, tuple.__new__
    parts = [(result.variant, result.value) for result in results]
    _, _, reason, rule_id, _, revision, _ = results[0]

    def serve(context: Context) -> Result:
        unit = get(context)
        if type(unit) is not str:
            unit = unit_of(unit)
            if unit is None:
                return keyless
        try:
            bucket = (digest(prefix + unit.encode()) * BUCKETS) >> 32
        except UnicodeEncodeError:  # half a character
            return keyless
        variant, value = parts[bisect_right(starts, bucket) - 1]
        return new(Result, (variant, value, reason, rule_id, bucket, revision, None))

    return serve
