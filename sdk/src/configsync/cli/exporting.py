"""`export`: configs as files."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from configsync.cli import formats, keys, output
from configsync.cli.api import PREFIX
from configsync.cli.context import GLOBAL, Context, Environment, Here, Level, Reveal, Service, here
from configsync.cli.failures import Code, Failure


class Form(StrEnum):
    """The formats."""

    JSON = "json"
    YAML = "yaml"
    TOML = "toml"
    XML = "xml"
    ENV = "env"
    PROPERTIES = "properties"


def export(
    ctx: Context,
    service: Service = None,
    environment: Environment = None,
    form: Annotated[Form, typer.Option("--format", "-f", help="The format.")] = Form.JSON,
    stored: Annotated[
        bool, typer.Option("--stored", help="The document of the level alone.")
    ] = False,
    reveal: Reveal = False,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, of mode 0600.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--all", help="All documents, each into a file in here.")
    ] = None,
) -> None:
    """Write an effective config, or a stored document, in another format."""
    at = here(ctx)
    if directory is not None:
        _export_all(at, directory, form, stored=stored, reveal=reveal)
        return
    level = at.level(service, environment)
    config = _config(at, level, stored=stored, reveal=reveal)
    text = formats.render(config, form)
    if file is not None:
        _write(file, text)
        output.say(f"{level} is in {file}.")
    if at.as_json:
        output.write_json(
            {
                "service": level.service,
                "environment": level.environment,
                "format": form,
                "config": config,
            }
        )
    elif file is None:
        output.write(text.removesuffix("\n"))


def _config(at: Here, level: Level, *, stored: bool, reveal: bool) -> dict[str, Any]:
    if stored:
        document = keys.stored_document(at.api, level, reveal=reveal)
        if document is None:
            raise Failure(f"{level} has no document of its own.", Code.NOT_FOUND)
        return dict(document["config"] or {})
    answer = keys.fetch(at.api, level)
    config = answer["configs"]
    return dict(config if reveal else output.masked(config, answer["secrets"]))


def _export_all(at: Here, directory: Path, form: Form, *, stored: bool, reveal: bool) -> None:
    levels = {
        Level(one["app_id"] or GLOBAL, one["environment"]): None
        for one in at.api.pages(f"{PREFIX}/configs", "configs")
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"Cannot make {directory}: {error.strerror}.") from error
    files = []
    for level in output.progress(list(levels), "Exporting"):
        file = directory / f"{level}.{form}"
        _write(file, formats.render(_config(at, level, stored=stored, reveal=reveal), form))
        files.append(str(file))
    output.say(f"{len(files)} files are in {directory}.")
    if at.as_json:
        output.write_json({"files": files})


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner may read: there may be secrets in it."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as out:  # noqa: PTH123  (a descriptor)
            os.fchmod(handle, 0o600)
            out.write(text)
    except OSError as error:
        raise Failure(f"Cannot write {file}: {error.strerror}.") from error
