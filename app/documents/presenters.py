"""Rows and outcomes as the wire has them, the document's text embedded as it was written."""

from typing import Any

from app.changes.service import Applied
from app.configs.levels import GLOBAL
from app.core.answers import raw
from app.core.db import AnyRow
from app.workspaces.deps import Access


def config(row: AnyRow) -> dict[str, Any]:
    """Return the members of `ConfigRead` for a row of `select_documents`."""
    service = row.service or GLOBAL
    return {
        "id": row.id,
        "name": service,
        "service": service,
        "environment": row.environment,
        "workspace": row.workspace,
        "config": raw(row.content),
        "version": row.version,
        "revision": row.revision,
        "user_id": row.owner_id or row.created_by,
        "updated_at": row.updated_at,
        "updated_by": row.updated_by,
    }


def outcome(access: Access, applied: Applied) -> dict[str, Any]:
    """Return the members of `ConfigRead` for a commit that changed one document."""
    one = applied.outcomes[0]
    return {
        "id": one.id,
        "name": one.level.name,
        "service": one.level.name,
        "environment": one.level.environment,
        "workspace": access.slug,
        "config": raw(one.content),
        "version": one.version,
        "revision": applied.revision,
        "user_id": access.owner_id or one.created_by,
        "updated_at": applied.at,
        "updated_by": access.caller.username,
    }


def version(row: AnyRow) -> dict[str, Any]:
    """Return the members of `VersionRead` for a row of `select_versions`."""
    return {
        "id": row.id,
        "version": row.version,
        "revision": row.revision,
        "config": raw(row.content),
        "action": row.action,
        "message": row.message,
        "created_at": row.at,
        "created_by": row.actor_name,
        "checksum": row.checksum,
    }
