"""Who somebody is to a server: in the keyring where there is one, else in a file of mode 0600.

A credential belongs to the address that it was given for, and is sent nowhere else.
"""

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from configsync.cli.failures import Code, Failure
from configsync.cli.profiles import directory, read_json, write_json

FILE = "credentials.json"
KEYRING = "keyring"
SERVICE = "configsync"


def token_for(profile: str, url: str) -> str | None:
    """Return what to send to a server: the environment's key, or what was kept for it."""
    given = os.environ.get("CONFIGSYNC_API_KEY")
    if given:
        key = given.strip()
        if not (key.isascii() and key.isprintable()):
            raise Failure(
                "CONFIGSYNC_API_KEY is no API key: it has characters that none has.",
                Code.NOT_ALLOWED,
            )
        return key
    kept = load(profile)
    return str(kept["token"]) if kept and kept.get("url") == url else None


def load(profile: str) -> Mapping[str, Any] | None:
    """Return what is kept for a profile."""
    entry = _entries().get(profile)
    if entry is None or KEYRING not in entry:
        return entry
    text = _keyring().get_password(SERVICE, profile)
    return dict(json.loads(text)) if text else None


def save(profile: str, entry: Mapping[str, Any]) -> str:
    """Keep a credential; return where."""
    entries = _entries()
    ring = _usable_keyring()
    if ring is not None:
        ring.set_password(SERVICE, profile, json.dumps(dict(entry)))
        entries[profile] = {KEYRING: True}
    else:
        entries[profile] = dict(entry)
    write_json(FILE, entries)
    return "the keyring" if ring else str(directory() / FILE)


def forget(profile: str) -> None:
    """Remove what is kept for a profile."""
    entries = _entries()
    entry = entries.pop(profile, None)
    if entry is None:
        return
    if KEYRING in entry:
        with suppress(Exception):  # whatever a backend raises: it is not there any more
            _keyring().delete_password(SERVICE, profile)
    write_json(FILE, entries)


def _entries() -> dict[str, dict[str, Any]]:
    file = directory() / FILE
    with suppress(FileNotFoundError):
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise Failure(
                f"{file} can be read by others: chmod 600 it, and log in anew.", Code.NOT_ALLOWED
            )
    return read_json(file)


def _keyring() -> Any:
    import keyring  # noqa: PLC0415  (takes longer to import than everything else)

    return keyring


def _usable_keyring() -> Any:
    try:
        ring = _keyring()
        backend = ring.get_keyring()
        usable = backend.priority > 0 and "plaintext" not in type(backend).__name__.lower()
        if usable:
            ring.get_password(SERVICE, "is it open")
    except Exception:  # noqa: BLE001  (backends raise what they like; then there is the file)
        return None
    return ring if usable else None
