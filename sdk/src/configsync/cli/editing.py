"""`edit`: a stored document in an editor. What was typed is never lost."""

import http
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configsync._errors import ApiError, ConfigSyncError, Conflict, Invalid
from configsync.cli import failures, keys, merging, output
from configsync.cli.api import path_of
from configsync.cli.context import Context, Environment, Here, Level, Message, Reveal, Service, here
from configsync.cli.failures import Code, Failure


@dataclass
class _Draft:
    """What is being edited: the file, and the version and content that it was made from."""

    level: Level
    file: Path
    version: int
    base: dict[str, Any]
    message: str | None


def edit(
    ctx: Context,
    service: Service = None,
    environment: Environment = None,
    message: Message = None,
    reveal: Reveal = False,
) -> None:
    """Edit the stored document of a level in $EDITOR; others' edits meanwhile are merged."""
    at = here(ctx)
    level = at.level(service, environment)
    document = keys.stored_document(at.api, level, reveal=reveal)
    base = (document or {}).get("config") or {}
    version = document["version"] if document else 0
    place = Path(tempfile.mkdtemp(prefix="configsync-"))
    draft = _Draft(level, place / f"{level}.json", version, base, message)
    text = output.dumps(base, indent=2) + "\n"
    try:
        draft.file.write_text(text, encoding="utf-8")
        saved = _edited(at, draft, reveal=reveal)
    except (ConfigSyncError, KeyboardInterrupt) as error:
        _keep(draft, text)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Failure(failures.line_of(error), failures.code_of(error)) from error
    except BaseException:
        _keep(draft, text)
        raise
    if saved:
        shutil.rmtree(place, ignore_errors=True)
    else:
        _keep(draft, text)
    output.say(f"{level} is saved as version {saved['version']}." if saved else "Nothing to save.")
    if at.as_json:
        output.write_json(saved or document)


def _keep(draft: _Draft, text: str) -> None:
    """Leave what may have been typed, and say where; else nothing stays."""
    place = draft.file.parent
    found = list(place.iterdir()) if place.is_dir() else []
    if all(one.is_file() and _holds(one, text) for one in found):
        shutil.rmtree(place, ignore_errors=True)
    else:
        kept = draft.file if found == [draft.file] and draft.file.is_file() else place
        output.say(f"configsync: what you typed is kept in {kept}")


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_bytes() == text.encode()
    except OSError:
        return False


def _edited(at: Here, draft: _Draft, *, reveal: bool) -> dict[str, Any] | None:
    """Open the editor until the document is saved; return it, None if nothing was changed."""
    is_open = False
    while True:
        try:
            is_open = is_open or _open(draft.file)
            config = _typed(draft.file)
            if merging.same(config, draft.base):
                return None
            return _save(at, draft, config)
        except Conflict as error:
            is_open = _merge(at, draft, error, reveal=reveal)
        except (Failure, Invalid) as error:
            _ask_for_another_try(error)
            is_open = False


def _open(file: Path) -> bool:
    """Let the user edit a file; return True."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode  # noqa: S603  (the user's editor)
    except (OSError, ValueError) as error:
        raise ConfigSyncError(f"Cannot start the editor {editor!r}. Set EDITOR.") from error
    if code != 0:
        raise ConfigSyncError(f"The editor ended with status {code}; nothing was saved.")
    return True


def _typed(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Failure(f"Cannot read {file}: {error.strerror}.") from error
    if merging.is_marked(text):
        raise Failure("There are conflict markers left: decide, and remove them.", Code.CONFLICT)
    try:
        config = keys.parsed(text)
    except ValueError as error:
        raise Failure(f"This is not JSON: {error}.") from error
    if not isinstance(config, dict):
        raise Failure("A document is a JSON object: {…}.")
    return config


def _ask_for_another_try(error: ConfigSyncError) -> None:
    """Return if the editor is to open again, else raise what was wrong."""
    if not sys.stdin.isatty():
        raise error
    output.say(f"configsync: {failures.line_of(error)}")
    if output.ask("Edit again? [y/n] ").lower() not in {"y", "yes"}:
        raise error


def _save(at: Here, draft: _Draft, config: dict[str, Any]) -> dict[str, Any]:
    body = {
        "environment": draft.level.environment,
        "config": config,
        "message": draft.message,
        "expected_version": draft.version,
    }
    path = path_of("config", draft.level.service)
    saved: dict[str, Any] = at.api.call("POST", path, body=body).body
    return saved


def _merge(at: Here, draft: _Draft, error: ApiError, *, reveal: bool) -> bool:
    """Merge what was typed with what others saved; return whether nothing is left to decide."""
    current = keys.stored_document(at.api, draft.level, reveal=reveal)
    if error.status != http.HTTPStatus.PRECONDITION_FAILED or current is None:
        raise error
    who = f"version {current['version']} by {current['updated_by']}"
    theirs = current["config"] or {}
    both = merging.merge(draft.base, _typed(draft.file), theirs)
    text = merging.text_of(both, ("yours", f"version {draft.version}", who))
    try:
        draft.file.write_text(text, encoding="utf-8")
    except OSError as why:
        raise Failure(f"Cannot write {draft.file}: {why.strerror}.") from why
    draft.version, draft.base = current["version"], theirs
    if merging.is_marked(text):
        output.say(f"configsync: {who} changed the same values. Decide between the markers.")
        return False
    output.say(f"configsync: merged with {who}.")
    return True
