"""Keys as the wire has them, their values embedded as they were written."""

from collections.abc import Collection, Iterable
from itertools import accumulate
from typing import Any

from app.changes.service import KeyState
from app.configs.levels import GLOBAL, Level
from app.core.answers import raw
from app.core.db import AnyRow
from app.core.settings import get_settings
from app.effective.service import Effective
from app.formats import json
from app.models import Action, Key
from app.secrets.markers import is_secret_text

CHANGE_TYPES = {
    Action.CREATE: "created",
    Action.DELETE: "deleted",
    Action.ROLLBACK: "rollback",
}


def key(row: AnyRow) -> dict[str, Any]:
    """Return the members of `KeyRead` for a row of `select_keys`."""
    stored: Key = row.Key
    return _key(stored, name=stored.name, service=row.service, environment=row.environment)


def state(one: KeyState, *, readable: bool) -> dict[str, Any]:
    """Return the members of `KeyRead` for a key after a commit."""
    members = _key(one, name=one.name, service=one.level.service, environment=one.level.environment)
    return members if readable else members | {"value": None}


def _key(
    one: Key | KeyState, *, name: str, service: str | None, environment: str | None
) -> dict[str, Any]:
    return {
        "id": one.id,
        "key": name,
        "value": raw(one.value),
        "value_type": one.value_type,
        "description": one.description,
        "is_encrypted": is_secret_text(one.value),
        "is_active": one.is_active and one.value is not None,
        "app_id": service,
        "environment": environment,
        "version": one.version,
        "revision": one.revision,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "created_by": one.created_by,
        "updated_by": one.updated_by,
    }


def item(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members of `ItemRead` for those of `KeyRead`."""
    names = ("id", "key", "value", "environment", "description", "is_encrypted", "version")
    return {name: members[name] for name in (*names, "created_at", "updated_at")} | {
        "service_name": members["app_id"] or GLOBAL
    }


def effective_item(
    row: AnyRow, *, name: str, value: Any, is_secret: bool, level: Level
) -> dict[str, Any]:
    """Return the members of `ItemRead` for an effective value and the row of its key."""
    return {
        "id": row.id,
        "key": name,
        "value": raw(json.dumps(value)),
        "environment": level.environment,
        "service_name": level.name,
        "description": row.description,
        "is_encrypted": is_secret,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def fetched(effective: Effective, text: str, *, names: Collection[str] | None) -> dict[str, Any]:
    """Return the members of `FetchRead` for an effective config and the text of what is shown."""
    secrets = effective.secrets
    if secrets and names is not None:
        secrets = [one for one in secrets if not set(_addresses(one)).isdisjoint(names)]
    return {
        "configs": raw(text),
        "secrets": secrets,
        "version": effective.version,
        "revision": effective.revision,
        "cache_ttl": get_settings().client_cache_ttl,
    }


def _addresses(address: str) -> Iterable[str]:
    """Return an address and those above it."""
    return accumulate(address.split("."), lambda above, step: f"{above}.{step}")


def version(row: AnyRow) -> dict[str, Any]:
    """Return the members of `KeyVersionRead`."""
    one = row.KeyVersion
    rolled_back = one.action == Action.ROLLBACK
    return {
        "id": one.id,
        "config_id": one.key_id,
        "version": one.version,
        "revision": one.revision,
        "value": raw(one.value),
        "value_type": one.value_type,
        "change_type": CHANGE_TYPES.get(one.action, "updated"),
        "change_description": row.message,
        "changed_by": row.actor_name,
        "changed_at": row.at,
        "is_rollback": rolled_back,
        "rollback_from_version": one.version - 1 if rolled_back else None,
    }


def change(row: AnyRow) -> dict[str, Any]:
    """Return the members of `ItemChange`."""
    one = row.KeyVersion
    return {
        "id": one.id,
        "configuration_id": one.key_id,
        "old_value": raw(row.old_value),
        "new_value": raw(one.value),
        "changed_by": row.actor_name,
        "changed_at": row.at,
        "version": one.version,
        "revision": one.revision,
    }
