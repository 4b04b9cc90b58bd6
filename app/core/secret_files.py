"""Keys that are made once and kept in DATA_DIR, one file each, mode 0600."""

import os
import secrets
from pathlib import Path

NAMES = ("secret_key", "encryption_key", "database_password")


def read_secret(data_dir: Path, name: str) -> str | None:
    """Return the kept key, or None."""
    try:
        return (data_dir / name).read_text().strip() or None
    except FileNotFoundError:
        return None


def make_secrets(data_dir: Path) -> list[str]:
    """Make the keys that are missing; return their names."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    return [name for name in NAMES if _make(data_dir / name)]


def _make(file: Path) -> bool:
    """Write a new key unless there is one; whoever links first wins."""
    if file.exists():
        return False
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(secrets.token_urlsafe(48) + "\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
