"""Comparing two documents, the heavy part in a worker process under limits."""

from typing import Any

import orjson
import structlog

from app.core.answers import raw
from app.core.errors import Busy
from app.core.workpool import WorkPool, WorkRefused
from app.diff.deep import deep_diff
from app.diff.readable import readable
from app.diff.structural import patch_text, summary
from app.formats import json
from app.secrets.markers import comparable_text

log = structlog.get_logger()

IN_THREAD_BYTES = 64 * 1024
NOTHING = "{}"


def compare(pool: WorkPool, old_text: str, new_text: str) -> dict[str, Any]:
    """Return `diff`, `patch`, `text`, `summary` and `diff_truncated` for two documents.

    Equal secrets are equal, whatever their handles. `diff` is null when DeepDiff takes longer than
    its limit or too many comparisons are in work.
    """
    old_text, new_text = comparable_text(old_text), comparable_text(new_text)
    small = len(old_text) + len(new_text) <= IN_THREAD_BYTES
    work = described if small else _Aside(pool)
    patch, text = work(old_text, new_text)
    deep = _deep(pool, old_text, new_text)
    return {
        "diff": raw(deep),
        "patch": raw(patch),
        "text": text,
        "summary": summary(orjson.loads(patch)),
        "diff_truncated": deep is None,
    }


def described(old_text: str, new_text: str) -> tuple[str, str]:
    """Return the RFC 6902 patch between two documents, and the same for people to read."""
    return patch_text(old_text, new_text), readable(json.loads(old_text), json.loads(new_text))


class _Aside:
    """`described`, in the work process."""

    def __init__(self, pool: WorkPool) -> None:
        self._pool = pool

    def __call__(self, old_text: str, new_text: str) -> tuple[str, str]:
        try:
            return self._pool.run(described, old_text, new_text)
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
