"""What clients need to evaluate flags themselves, and no more (docs/adr/0016)."""

import hashlib
from typing import Any

import orjson

from app.core.answers import raw
from app.feature_flags.rulesets import Definition, RuledFlag, Ruleset, needed
from app.formats import json
from app.rules.disclosure import disclose_flag, disclose_segment
from app.workspaces.deps import Access

MEMBERS = (
    *("type", "is_enabled", "variants", "off_variant", "default_variant", "prerequisites"),
    *("bucket_by", "hash_version", "salt", "rules", "revision"),
)
SEGMENT_MEMBERS = ("included", "excluded", "when")
VERSION_LENGTH = 16


def snapshot(ruleset: Ruleset, access: Access) -> tuple[bytes, str]:
    """Return the JSON of the flags that a key covers, with what they need, and its tag.

    People are in it as hashes, descriptions and owners are not.
    """
    environment = ruleset.environment
    flags, others, segments = needed(
        ruleset, lambda name: access.scopes.covers_flag(name, environment, to_write=False)
    )
    revisions = [ruleset.flags[name].definition["revision"] for name in (*flags, *others)]
    revisions += [ruleset.segments[name].revision for name in segments]
    members: dict[str, Any] = {
        "environment": environment,
        "revision": max(revisions, default=0),
        "flags": {name: _flag(ruleset.flags[name]) for name in flags},
        "prerequisites": {name: _flag(ruleset.flags[name]) for name in others},
        "segments": {name: _segment(name, ruleset.segments[name].definition) for name in segments},
    }
    version = hashlib.sha256(orjson.dumps(members)).hexdigest()[:VERSION_LENGTH]
    return orjson.dumps({"version": version, **members}), f'"f{version}"'


def _flag(flag: RuledFlag) -> orjson.Fragment | None:
    told = {name: flag.definition[name] for name in MEMBERS if name in flag.definition}
    told["rules"] = [
        {name: value for name, value in rule.items() if name != "description"}
        for rule in told.get("rules") or []
    ]
    return raw(json.dumps(disclose_flag(told, told["salt"])))


def _segment(name: str, definition: Definition) -> orjson.Fragment | None:
    told = {member: definition[member] for member in SEGMENT_MEMBERS if member in definition}
    return raw(json.dumps(disclose_segment(told, name)))
