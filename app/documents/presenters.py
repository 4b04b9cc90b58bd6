"""Rows and outcomes as the wire has them, the document's text embedded as it was written."""

from typing import Any

from app.changes.plan import document_etag
from app.changes.service import Applied
from app.configs.levels import GLOBAL, Level
from app.core.answers import raw
from app.core.db import AnyRow
from app.effective.service import Effective


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


def outcome(applied: Applied, level: Level) -> dict[str, Any]:
    """Return the members of `ConfigRead` for a document that a commit wrote."""
    access, one = applied.access, applied.pending[level]
    return {
        "id": one.stored.id,
        "name": level.name,
        "service": level.name,
        "environment": level.environment,
        "workspace": access.slug,
        "config": raw(one.edited.content),
        "version": applied.version(level),
        "revision": applied.revision,
        "user_id": access.owner_id or one.stored.created_by,
        "updated_at": applied.at,
        "updated_by": access.caller.username,
    }


def effective(merged: Effective, text: str) -> dict[str, Any]:
    """Return the members of `EffectiveRead` for a merged config and its text as it is shown."""
    own = merged.stored
    return {
        "service": merged.level.name,
        "environment": merged.level.environment,
        "version": merged.version,
        "revision": merged.revision,
        "config": raw(text),
        "document_version": own.version if own else None,
        "document_etag": document_etag(own.id, own.version) if own else None,
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
