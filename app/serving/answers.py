"""Answers of hot routes, made by the same presenters as those of the framework's routes."""

from types import SimpleNamespace
from typing import Any

import orjson

from app.changes.plan import document_etag
from app.configs.errors import KeyNotFound
from app.core import db
from app.documents import presenters as documents
from app.formats import json
from app.keys import presenters as keys
from app.keys import service as keys_service
from app.secrets import markers
from app.serving.calls import Call, Form
from app.serving.snapshots import Answer, Document, Snapshot
from app.workspaces.deps import Access


def render(snapshot: Snapshot, call: Call, *, slug: str, owner_id: int | None) -> Answer | None:
    """Return the answer that everybody gets who may read, secrets masked; None: there is none.

    Of items see `render_item`.
    """
    if call.form is Form.STORED:
        return _stored(snapshot.document, slug, owner_id)
    effective = snapshot.effective
    if call.form is Form.EFFECTIVE:
        return _answer(documents.effective(effective, effective.masked), effective.etag)
    if call.names is None:
        text = effective.masked
    else:
        text = json.dumps(markers.mask(keys_service.chosen(effective, call.names)))
    return _answer(keys.fetched(effective, text, names=call.names), effective.etag)


def _answer(members: dict[str, Any], etag: str) -> Answer:
    return Answer(orjson.dumps(members, option=orjson.OPT_UTC_Z), etag)


def _stored(one: Document | None, slug: str, owner_id: int | None) -> Answer | None:
    if one is None or one.part.content is None:
        return None
    part = one.part
    row: Any = SimpleNamespace(
        id=part.id,
        service=part.level.service,
        environment=part.level.environment,
        workspace=slug,
        content=part.content,
        version=part.version,
        revision=part.revision,
        owner_id=owner_id,
        created_by=one.created_by,
        updated_at=one.updated_at,
        updated_by=one.updated_by,
    )
    return _answer(documents.config(row), document_etag(part.id, part.version))


def render_item(snapshot: Snapshot, key: str, *, access: Access, at: int) -> Answer | None:
    """Return the answer for one key as of a revision, which costs a query; None: there is none."""
    try:
        members, etag = db.read(
            lambda session: keys_service.effective_item(
                session, access=access, effective=snapshot.effective, name=key, at=at
            )
        )
    except KeyNotFound:
        return None
    return _answer(members, etag)
