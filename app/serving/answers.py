"""Answers of hot routes, made by the same presenters as those of the framework's routes."""

from types import SimpleNamespace
from typing import Any

import orjson
from sqlalchemy.orm import Session

from app.changes.plan import document_etag
from app.core import db
from app.documents import presenters as documents
from app.effective.merge import MISSING, look_up
from app.formats import json
from app.keys import crud as keys_crud
from app.keys import presenters as keys
from app.keys.service import chosen
from app.secrets import markers
from app.serving.calls import Call, Form
from app.serving.snapshots import Answer, Document, Snapshot


def render(snapshot: Snapshot, call: Call, *, slug: str, owner_id: int | None) -> Answer | None:
    """Return the answer that everybody gets who may read, secrets masked; None: there is none.

    Items need `holder_of` too: see `render_item`.
    """
    if call.form is Form.STORED:
        return _stored(snapshot.document, slug, owner_id)
    effective = snapshot.effective
    if call.form is Form.EFFECTIVE:
        return _answer(documents.effective(effective, effective.masked), effective.etag)
    if call.names is None:
        text = effective.masked
    else:
        text = json.dumps(markers.mask(chosen(effective, call.names)))
    return _answer(keys.fetched(effective, text), effective.etag)


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


def render_item(snapshot: Snapshot, key: str, *, at: int) -> Answer | None:
    """Return the answer for one key as of a revision, which costs a query; None: there is none."""
    effective = snapshot.effective
    source = effective.source(key)
    value = look_up(effective.config, key) if source else MISSING
    if source is None or value is MISSING:
        return None
    part, name = source

    def holder(session: Session) -> Any:
        return keys_crud.get_holder(session, config_id=part.id, name=name, at=at)

    row = db.read(holder)
    if row is None:
        return None
    members = keys.effective_item(
        row,
        name=key,
        value=markers.mask(value),
        is_secret=markers.is_secret(value),
        level=effective.level,
    )
    return _answer(members, f'"e{effective.tag(value, row.id, row.version)}"')
