"""`python -m tools.settings_doc [--check]`: write docs/settings.md, or compare with it."""

import sys
from pathlib import Path

from app.core.settings import Settings

FILE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

INTRODUCTION = """\
# Settings

Environment variables, or lines of a file `.env` in the directory where the server is started; the
environment wins. An empty value counts as not set. `python -m app --help` prints the same table,
and [`.env.example`](../.env.example) has it in the form of a file. In a list, values are separated
by commas.

`SECRET_KEY` and `ENCRYPTION_KEY` need 32 characters or more; known defaults are refused.
What `ENCRYPTION_KEY` and the settings of Vault mean is told in [secrets.md](secrets.md).

This page is made by `python -m tools.settings_doc`.
"""


def document() -> str:
    """Return the page."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {shown(field.default)} | {field.description} |")
    return f"{INTRODUCTION}\n" + "\n".join(rows) + "\n"


def shown(default: object) -> str:
    """Return a default as it would be written in the environment."""
    if default in (None, "", ()):
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def main() -> int:
    """Return 1 when the page is out of date."""
    if "--check" not in sys.argv:
        FILE.write_text(document(), encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == document():
        return 0
    print("docs/settings.md is out of date: run `python -m tools.settings_doc`")  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
