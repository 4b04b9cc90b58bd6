"""Turn what the server tells of flags into flags that are ready. Needs the extra `flags`."""

from collections.abc import Callable, Mapping
from typing import Any

from configsync._document import freeze
from configsync._errors import ServerUnreachable
from configsync._flags import Context, Flag, LoadedFlags
from configsync._rules.errors import RuleError
from configsync._rules.flags import CompiledFlag, compile_each, prerequisites_of
from configsync._rules.results import Result
from configsync._rules.segments import segments_in
from configsync._usage import Usage

Definitions = Mapping[str, Any]


def load_flags(document: Mapping[str, Any], tag: str | None, usage: Usage) -> LoadedFlags:
    """Compile a snapshot of flags; raise ServerUnreachable if it is none."""
    flags, others, segments = (
        _objects(document, member) for member in ("flags", "prerequisites", "segments")
    )
    definitions = {**others, **flags}
    try:
        compiled, errors = compile_each(definitions, segments)
    except RuleError as error:
        raise ServerUnreachable(f"the flags cannot be used: {error.message}") from None
    broken = {
        str(error.path[1]): f"{error.message} ({error.code})"
        for error in errors
        if error.path[0] == "flags"
    }
    return LoadedFlags(
        {name: _ready(compiled[name], usage, name) for name in flags if name in compiled},
        usage,
        prints={name: _print(name, definitions, segments) for name in flags},
        broken={name: why for name, why in broken.items() if name in flags},
        document=document,
        tag=tag,
    )


def _objects(document: Mapping[str, Any], member: str) -> Definitions:
    found = document.get(member)
    if not isinstance(found, dict):
        raise ServerUnreachable("the answer is not that of a ConfigSync server")
    return found


def _ready(compiled: CompiledFlag, usage: Usage, name: str) -> Flag:
    is_plain = compiled.kind != "object"
    return Flag(compiled.evaluate if is_plain else _freezing(compiled), usage.of(name))


def _freezing(flag: CompiledFlag) -> Callable[[Context], Result]:
    frozen = {variant: freeze(value) for variant, value in flag.variants.items()}
    evaluate = flag.evaluate

    def serve(context: Context) -> Result:
        result = evaluate(context)
        return result._replace(value=frozen[result.variant])

    return serve


def _print(name: str, definitions: Definitions, segments: Definitions) -> dict[str, Any]:
    """Return a flag with all that it needs."""
    flags = _closed({name}, definitions, prerequisites_of)
    rules = [rule for flag in flags.values() for rule in _listed(flag)]
    conditions = [_member(rule, "when") for rule in rules]
    within = _closed(
        segments_in(conditions), segments, lambda segment: segments_in(_member(segment, "when"))
    )
    return {"flags": flags, "segments": within}


def _listed(flag: Any) -> list[Any]:
    rules = _member(flag, "rules")
    return rules if isinstance(rules, list) else []


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _closed(
    names: set[str], known: Definitions, needed: Callable[[Any], set[str]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    open_ = [*names]
    while open_:
        name = open_.pop()
        if name in known and name not in found:
            found[name] = known[name]
            open_ += needed(known[name])
    return found
