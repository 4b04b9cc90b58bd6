"""The file that a program starts from when there is nothing else."""

import json
import tomllib
from pathlib import Path
from typing import Any

from configsync._errors import ConfigSyncError


def read_fallback(file: Path) -> dict[str, Any]:
    """Return the document in a JSON or TOML file; raise ConfigSyncError, quoting nothing of it."""
    try:
        data = file.read_text(encoding="utf-8")
        document = tomllib.loads(data) if file.suffix == ".toml" else json.loads(data)
    except OSError as error:
        raise ConfigSyncError(
            f"the fallback file {file} cannot be read: {error.strerror}"
        ) from None
    except (ValueError, RecursionError):
        raise ConfigSyncError(f"the fallback file {file} is damaged") from None
    if not isinstance(document, dict):
        raise ConfigSyncError(f"the fallback file {file} has no object in it")
    return document
