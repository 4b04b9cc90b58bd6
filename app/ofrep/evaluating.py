"""Evaluations in the protocol's words, for the hot path and the framework's routes alike."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from app.feature_flags.evaluating import chosen
from app.feature_flags.rulesets import RuledFlag, Ruleset, raw_value
from app.formats import json
from app.ofrep.errors import (
    FLAG_NOT_FOUND,
    GENERAL,
    INVALID_CONTEXT,
    MISSING_UNIT,
    PARSE_ERROR,
    TARGETING_KEY_MISSING,
    OfrepError,
)
from app.rules.contexts import context_of
from app.rules.results import OFREP_REASONS, Result
from app.usage.recorder import usage
from app.workspaces.deps import Access
from app.workspaces.scopes import ANY

Context = Mapping[str, Any]
TAG_LENGTH = 16


def read_context(body: bytes) -> Context:
    """Return the context of a request's body; raise OfrepError."""
    try:
        said = json.read(body or b"{}")
    except json.JsonError as error:
        raise OfrepError(PARSE_ERROR, f"The body cannot be read: {error.args[0]}.") from None
    if not isinstance(said, dict):
        raise OfrepError(PARSE_ERROR, "The body must be an object with the member context.")
    context = said.get("context")
    if context is not None and not isinstance(context, dict):
        raise OfrepError(INVALID_CONTEXT, "context must be an object.")
    return context_of(None, context)


def environment_of(access: Access, named: str | None) -> str:
    """Return the environment that is named, or the only one of an API key; raise OfrepError."""
    if named is not None:
        return named
    names = access.scopes.environments
    if len(names) == 1 and ANY not in names[0]:
        return names[0]
    raise OfrepError(
        GENERAL,
        "Which environment? Use an API key that is for one environment only, or say ?environment=.",
    )


def one(ruleset: Ruleset, key: str, context: Context, access: Access) -> bytes:
    """Return the answer for one flag; raise OfrepError."""
    covers = access.scopes.covers_flag(key, ruleset.environment, to_write=False)
    flag = ruleset.flags.get(key) if covers else None
    if flag is None:
        if covers:
            usage.unknown(access.workspace_id, ruleset.environment, key)
        details = f"There is no flag '{key}' in {ruleset.environment}."
        raise OfrepError(FLAG_NOT_FOUND, details, status=404)
    result = flag.compiled.evaluate(context)
    usage.count(access.workspace_id, ruleset.environment, flag.name, result.variant, result.rule_id)
    if result.error is not None:
        raise OfrepError(TARGETING_KEY_MISSING, MISSING_UNIT)
    return _piece(flag, result)


def many(ruleset: Ruleset, context: Context, access: Access, stream: str) -> bytes:
    """Return the answer for all flags, with the place where their changes are told."""
    counts: dict[tuple[str, str, str | None], int] = {}
    pieces: list[bytes] = []
    for flag in chosen(ruleset, None, access):
        result = flag.compiled.evaluate(context)
        counts[flag.name, result.variant, result.rule_id] = 1
        pieces.append(_piece(flag, result))
    usage.count_many(access.workspace_id, ruleset.environment, counts)
    streams = orjson.dumps([{"type": "sse", "endpoint": {"requestUri": stream}}])
    return b'{"flags":[%b],"eventStreams":%b}' % (b",".join(pieces), streams)


def tag(ruleset: Ruleset, body: bytes, access: Access, stream: str) -> str:
    """Return the tag of `many`: of what decides, who asks, and where changes are told."""
    digest = hashlib.sha256(body)
    digest.update("\n".join((ruleset.tag, stream, *access.scopes.flags)).encode())
    return f'"o{digest.hexdigest()[:TAG_LENGTH]}"'


def _piece(flag: RuledFlag, result: Result) -> bytes:
    """Return one flag's part of an answer, which is the same for all who get that."""
    place = (result.variant, result.reason, result.rule_id)
    piece = flag.pieces.get(place)
    if piece is None:
        piece = flag.pieces[place] = orjson.dumps(_members(flag, result))
    return piece


def _members(flag: RuledFlag, result: Result) -> dict[str, Any]:
    if result.error is not None:
        refusal = OfrepError(TARGETING_KEY_MISSING, MISSING_UNIT)
        return refusal.members(flag.name)
    metadata = {"revision": result.revision, "reason": result.reason.value}
    if result.rule_id is not None:
        metadata["rule_id"] = result.rule_id
    return {
        "key": flag.name,
        "reason": OFREP_REASONS[result.reason],
        "variant": result.variant,
        "value": _value(flag, result),
        "metadata": metadata,
    }


def _value(flag: RuledFlag, result: Result) -> orjson.Fragment:
    """Return the value; where variants of a number are fractions, all are written as such.

    Clients of typed languages ask for one kind of number, and refuse the other.
    """
    values = flag.compiled.variants.values()
    if type(result.value) is int and any(isinstance(value, float) for value in values):
        return raw_value(float(result.value))
    return flag.texts[result.variant]
