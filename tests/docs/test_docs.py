"""The documentation against the code: settings, error codes, links, make targets."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import app.main  # noqa: F401  (defines every error)
from app.core.errors import AppError
from app.rules.errors import Code as RuleCode
from tools import settings_doc

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
OF_THE_FRAMEWORK = {"bad_request"}
"""Made in handlers.py from the name of the status."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def subclasses(kind: type[AppError]) -> Iterator[type[AppError]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("app."):
            yield one
            yield from subclasses(one)


def literal_codes(file: str) -> set[str]:
    """Return the codes that a file gives to `problem`, or has in its table."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "problem":
            code = node.args[1]
            found |= {str(code.value)} if isinstance(code, ast.Constant) else set()
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STATUS_CODES":
            found |= {code for code, _detail in ast.literal_eval(node.value).values()}
    return found


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_settings_page_is_what_the_code_says():
    assert settings_doc.FILE.read_text() == settings_doc.document()


def test_every_error_code_is_listed_and_no_other():
    codes = {AppError.code, *(one.code for one in subclasses(AppError)), *OF_THE_FRAMEWORK}
    codes |= {str(code) for code in RuleCode}
    literal = literal_codes("app/core/http.py") | literal_codes("app/core/handlers.py")
    assert {"internal_error", "invalid_encoding", "method_not_allowed"} <= literal
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(codes | literal)


def test_every_error_has_its_status():
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    listed = {code: int(status) for code, status in rows}
    for one in subclasses(AppError):
        assert listed[one.code] == one.status, one.code


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_resolves(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        found = file.exists() and file.is_relative_to(ROOT)
        if not found or (fragment and fragment not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_exists(page: Path):
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert {first or second for first, second in code} <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_named_file_exists(page: Path):
    named = re.findall(
        r"`((?:app|alembic|tests|tools|deploy|docs|\.ci)/[\w./-]*[\w/])`", page.read_text()
    )
    made_at_run_time = {"app/logs/config_logs.log"}
    assert [one for one in named if not (ROOT / one).exists() and one not in made_at_run_time] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_code_named_like_an_error_is_one(page: Path):
    known = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    named = re.findall(r"\b(?:40\d|41\d|42\d|50\d) `([a-z_]+)`", page.read_text())
    assert set(named) <= known
