"""Flags, compiled to closures: an evaluation interprets nothing and raises nothing."""

from collections.abc import Mapping
from typing import Any

from .conditions import Condition
from .contexts import Context
from .definitions import BOOLEAN, known_variant, off_variant_of, type_of, variants_of
from .errors import Code, Path, RuleError
from .limits import MAX_COMPARISONS, MAX_DEPTH, MAX_PREREQUISITES, MAX_VARIANTS
from .reading import a_list, a_switch, a_text, an_object, listed
from .results import Reason, Result
from .ruling import Rule, Ruling, Serve
from .segments import compile_segments, ordered

Needed = list[tuple[Serve, frozenset[str]]]


class CompiledFlag:
    """A flag that is ready: `evaluate(context)` returns a Result, whatever the context holds."""

    __slots__ = (
        *("chain", "comparisons", "evaluate", "kind", "off_variant", "revision", "variants"),
        "weight",
    )

    def __init__(
        self,
        definition: Mapping[str, Any],
        evaluate: Serve,
        chain: int,
        weight: int,
        comparisons: int,
    ) -> None:
        self.revision: int | None = definition.get("revision")
        self.kind = type_of(definition)
        self.variants = variants_of(definition)
        self.off_variant = off_variant_of(definition)
        self.evaluate = evaluate
        self.chain, self.weight, self.comparisons = chain, weight, comparisons

    def is_on(self, result: Result) -> bool:
        """Tell whether a result means "enabled": true, or anything but the off variant."""
        if self.kind == BOOLEAN:
            return result.value is True
        return result.variant != self.off_variant


def compile_all(
    flags: Mapping[str, Mapping[str, Any]], segments: Mapping[str, Any]
) -> dict[str, CompiledFlag]:
    """Compile all flags of an environment with the segments of the workspace, by name.

    Raise RuleError, its path beginning with `flags` or `segments` and the name.
    """
    compiled, errors = compile_each(flags, segments)
    if errors:
        raise errors[0]
    return compiled


def compile_each(
    flags: Mapping[str, Mapping[str, Any]], segments: Mapping[str, Any]
) -> tuple[dict[str, CompiledFlag], list[RuleError]]:
    """Compile the flags that can be; return them, and what is wrong with the others.

    For those who did not write them: an old client must not lose all flags by a new operator in
    one. Raise RuleError for a circle, which no server sends.
    """
    conditions, errors = compile_segments(segments)
    graph = {name: prerequisites_of(definition) for name, definition in flags.items()}
    compiled: dict[str, CompiledFlag] = {}
    for name in ordered(graph, "flags", Code.PREREQUISITE_CYCLE):
        try:
            compiled[name] = compile_flag(flags[name], conditions, compiled)
        except RuleError as error:
            errors.append(error.under("flags", name))
    return compiled, errors


def prerequisites_of(definition: Any) -> set[str]:
    """Return the names of the flags that a flag needs itself."""
    found = definition.get("prerequisites") if isinstance(definition, Mapping) else None
    needed = found if isinstance(found, list) else []
    names = (entry.get("flag") for entry in needed if isinstance(entry, Mapping))
    return {name for name in names if isinstance(name, str)}


def compile_flag(
    definition: Any, segments: Mapping[str, Condition], flags: Mapping[str, CompiledFlag]
) -> CompiledFlag:
    """Compile a flag with the compiled segments and flags that it may name; raise RuleError."""
    definition = an_object(definition, (), Code.INVALID_FLAG)
    ruling = Ruling(definition)
    needed, chain, weight, comparisons = _prerequisites(definition, flags)
    evaluate = _deciding(tuple(ruling.rules(segments)), ruling.fallback())
    comparisons += ruling.comparisons
    if comparisons > MAX_COMPARISONS:
        message = f"at most {MAX_COMPARISONS:,} comparisons, with those of the flags it needs"
        raise RuleError(Code.TOO_LARGE, ("prerequisites",), message)
    if needed:
        evaluate = _guarded(needed, evaluate, ruling.off(Reason.PREREQUISITE_FAILED))
    if not a_switch(definition.get("is_enabled", True), ("is_enabled",), Code.INVALID_FLAG):
        evaluate = _always(ruling.off(Reason.GLOBALLY_DISABLED))
    return CompiledFlag(definition, evaluate, chain, weight, comparisons)


def _prerequisites(
    definition: Mapping[str, Any], flags: Mapping[str, CompiledFlag]
) -> tuple[Needed, int, int, int]:
    """Return what evaluates prerequisites, their chain's length, their number and comparisons."""
    path: Path = ("prerequisites",)
    needed: Needed = []
    chain, weight, comparisons = 1, 1, 0
    for number, entry in enumerate(listed(definition, "prerequisites", MAX_PREREQUISITES)):
        flag, wanted = _prerequisite(entry, flags, (*path, number))
        needed.append((flag.evaluate, wanted))
        chain, weight = max(chain, flag.chain + 1), weight + flag.weight
        comparisons += flag.comparisons
    if chain > MAX_DEPTH:
        message = f"prerequisites form chains of at most {MAX_DEPTH} flags"
        raise RuleError(Code.TOO_DEEP, path, message)
    if weight > MAX_PREREQUISITES:
        message = f"at most {MAX_PREREQUISITES:,} flags are evaluated for one"
        raise RuleError(Code.TOO_LARGE, path, message)
    return needed, chain, weight, comparisons


def _prerequisite(
    entry: Any, flags: Mapping[str, CompiledFlag], path: Path
) -> tuple[CompiledFlag, frozenset[str]]:
    entry = an_object(entry, path, Code.INVALID_FLAG, {"flag", "variant", "variants"})
    flag = flags.get(a_text(entry.get("flag"), (*path, "flag"), Code.INVALID_FLAG))
    if flag is None:
        raise RuleError(Code.UNKNOWN_PREREQUISITE, (*path, "flag"), "there is no such flag")
    if ("variant" in entry) == ("variants" in entry):
        raise RuleError(Code.INVALID_FLAG, path, "needs variant or variants")
    wanted = entry["variants"] if "variants" in entry else [entry["variant"]]
    names = a_list(wanted, (*path, "variants"), Code.INVALID_FLAG, MAX_VARIANTS)
    return flag, frozenset(known_variant(name, flag.variants, path) for name in names)


def _deciding(rules: tuple[Rule, ...], fallback: Result) -> Serve:
    """Return what finds the first rule that matches."""

    def decide(context: Context) -> Result:
        for when, serve in rules:
            if when is None or when(context):
                return serve(context)
        return fallback

    return decide if rules else _always(fallback)


def _always(result: Result) -> Serve:
    return lambda _: result


def _guarded(needed: Needed, evaluate: Serve, failed: Result) -> Serve:
    """Return what looks at the prerequisites first; one with an error has failed."""

    def guarded(context: Context) -> Result:
        for other, wanted in needed:
            result = other(context)
            if result.variant not in wanted or result.error is not None:
                return failed
        return evaluate(context)

    return guarded
