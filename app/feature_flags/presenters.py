"""Flags and segments as the wire has them."""

from typing import Any

from app.core.answers import raw
from app.core.db import AnyRow
from app.feature_flags.rulesets import RuledFlag, raw_value
from app.formats import json
from app.rules.definitions import off_variant_of, variants_of
from app.rules.results import REASONS, Result
from app.rules.view import view_of


def flag(row: AnyRow) -> dict[str, Any]:
    """Return the members of `FlagRead` for a row of `select_flags`."""
    definition = json.loads(row.content)
    view = view_of(definition)
    return {
        "id": row.id,
        "name": row.name,
        "description": definition.get("description", ""),
        "environment": row.environment,
        "type": row.type,
        "is_enabled": definition.get("is_enabled", True),
        "rollout_percentage": raw_value(view.rollout_percentage),
        "target_users": view.target_users,
        "is_simple": view.is_representable,
        "variants": raw_value(variants_of(definition)),
        "variant_schema": raw_value(definition.get("variant_schema")),
        "off_variant": off_variant_of(definition),
        "default_variant": definition.get("default_variant"),
        "rules": raw_value(definition.get("rules", [])),
        "prerequisites": definition.get("prerequisites", []),
        "bucket_by": definition.get("bucket_by", "targetingKey"),
        "hash_version": definition.get("hash_version", 1),
        "salt": row.salt,
        "tags": definition.get("tags", []),
        "owner": definition.get("owner"),
        "expires_at": definition.get("expires_at"),
        "version": row.version,
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def version(row: AnyRow) -> dict[str, Any]:
    """Return the members of `FlagVersionRead` for a row of the history."""
    return {
        "version": row.version,
        "revision": row.revision,
        "action": row.action,
        "message": row.message,
        "definition": raw(row.content),
        "created_at": row.at,
        "created_by": row.actor_name,
    }


def segment(row: AnyRow) -> dict[str, Any]:
    """Return the members of `SegmentRead`."""
    return {
        "name": row.name,
        **{name: raw_value(value) for name, value in json.loads(row.content).items()},
        "version": row.version,
        "revision": row.revision,
    }


def evaluation(flag: RuledFlag, environment: str, result: Result) -> dict[str, Any]:
    """Return the members of `EvaluationRead`."""
    return {
        "enabled": flag.compiled.is_on(result),
        "reason": REASONS[result.reason],
        "flag_name": flag.name,
        "environment": environment,
        "variant": result.variant,
        "value": flag.texts[result.variant],
        "rule_id": result.rule_id,
        "bucket": result.bucket,
        "revision": result.revision,
    }
