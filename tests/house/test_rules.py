"""Rules of the house that no linter knows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP, SDK = ROOT / "app", ROOT / "sdk" / "src" / "configsync"
FILES = sorted(APP.rglob("*.py"))
LIBRARY = sorted(SDK.rglob("*.py"))


def names(file: Path) -> str:
    return str(file.relative_to(APP if file.is_relative_to(APP) else SDK.parent))


@pytest.mark.parametrize("file", FILES, ids=names)
def test_nothing_commits_outside_core_db(file: Path):
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "commit"
    ]
    assert calls == [] or names(file) == "core/db.py"


@pytest.mark.parametrize("file", FILES, ids=names)
def test_deepdiff_is_never_used_to_apply(file: Path):
    assert "Delta" not in {
        alias.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("file", LIBRARY, ids=names)
def test_the_library_imports_nothing_of_the_server(file: Path):
    nodes = [*ast.walk(ast.parse(file.read_text()))]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
    assert not {"app", "tests", "bench"} & {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("file", [*FILES, *LIBRARY], ids=names)
def test_files_and_functions_are_short(file: Path):
    text = file.read_text()
    assert len(text.splitlines()) <= 500
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("file", FILES, ids=names)
def test_routers_and_services_leave_sql_to_crud(file: Path):
    if file.name not in {"router.py", "service.py", "schemas.py"}:
        return
    if names(file) == "health/service.py":  # asks for the server's version
        return
    imported = {
        alias.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "") == "sqlalchemy"
        for alias in node.names
    }
    assert not imported & {"select", "insert", "update", "delete", "text"}
