"""The body of a PATCH, whose meaning its Content-Type says."""

from typing import Annotated, Any

from fastapi import Depends, Request

from app.core.routing import InvalidJson, NotJson
from app.documents import service
from app.documents.errors import InvalidPatch
from app.documents.service import Transformation
from app.formats import json

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

PATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MERGE_PATCH: {
                "schema": {"type": "object"},
                "example": {"database": {"timeout": 60, "old": None}},
            },
            JSON_PATCH: {
                "schema": {"type": "array", "items": {"type": "object"}},
                "example": [{"op": "replace", "path": "/database/timeout", "value": 60}],
            },
        },
    }
}


async def read_patch(request: Request) -> Transformation:
    """Return what a PATCH does to a document; raise NotJson, InvalidJson, InvalidPatch."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in {MERGE_PATCH, JSON_PATCH, "application/json"}:
        raise NotJson(f"Send Content-Type: {MERGE_PATCH} or {JSON_PATCH}.")
    try:
        body = json.loads(await request.body())
    except json.JsonError as error:
        raise InvalidJson(f"The body is refused: {error}.") from None
    if content_type == JSON_PATCH:
        if not isinstance(body, list):
            raise InvalidPatch("A JSON Patch is an array of operations.")
        return service.json_patch(body)
    if not isinstance(body, dict):
        raise InvalidPatch(f"A merge patch is an object; for operations send {JSON_PATCH}.")
    return service.merge_into(body)


PatchBody = Annotated[Transformation, Depends(read_patch)]
