"""Comparing two documents, the heavy part in a worker process under limits."""

from typing import Any

import orjson
import structlog

from app.core.answers import raw
from app.core.db import AnyRow
from app.core.errors import Busy
from app.core.workpool import WorkPool, WorkRefused
from app.diff.deep import deep_diff
from app.diff.structural import patch_text, summary

log = structlog.get_logger()

IN_THREAD_BYTES = 64 * 1024
NOTHING = "{}"


def compare(pool: WorkPool, old: AnyRow, new: AnyRow) -> dict[str, Any]:
    """Return `diff`, `patch`, `summary` and `diff_truncated` of `DiffRead`.

    A deleted version counts as an empty document. `diff` is null when DeepDiff takes longer
    than its limit or too many comparisons are in work.
    """
    old_text, new_text = old.content or NOTHING, new.content or NOTHING
    small = len(old_text) + len(new_text) <= IN_THREAD_BYTES
    patch = patch_text(old_text, new_text) if small else _aside(pool, old_text, new_text)
    deep = _deep(pool, old_text, new_text)
    operations = orjson.loads(patch)
    return {
        "diff": raw(deep),
        "patch": raw(patch),
        "summary": summary(operations),
        "diff_truncated": deep is None,
    }


def _aside(pool: WorkPool, old_text: str, new_text: str) -> str:
    try:
        return pool.run(patch_text, old_text, new_text)
    except WorkRefused:
        raise Busy("Too many large documents are being compared. Try again.") from None


def _deep(pool: WorkPool, old_text: str, new_text: str) -> str | None:
    if old_text == new_text:
        return NOTHING
    try:
        return pool.run(deep_diff, old_text, new_text)
    except WorkRefused as refused:
        log.info("diff.truncated", reason=refused.reason)
        return None
