"""`python -m tools.openapi [--check]`: write docs/openapi.json, or compare with it."""

import json
import sys
from pathlib import Path

from app.core.settings import Settings, get_settings
from app.main import create_app

SNAPSHOT = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def document() -> str:
    """Return the OpenAPI document under default settings."""
    get_settings.cache_clear()
    Settings.model_config["env_file"] = None
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Return 1 when the snapshot is out of date."""
    if "--check" not in sys.argv:
        SNAPSHOT.write_text(document())
        return 0
    if SNAPSHOT.exists() and SNAPSHOT.read_text() == document():
        return 0
    print("docs/openapi.json is out of date: run `python -m tools.openapi`")  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
