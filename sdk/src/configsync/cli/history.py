"""Versions: comparing them, listing them, going back to them."""

from typing import Annotated, Any

import typer

from configsync.cli import keys, output
from configsync.cli.api import PREFIX, path_of
from configsync.cli.context import Context, Environment, Here, Message, Service, here

HOW = "SERVICE[@ENVIRONMENT][#VERSION | @REVISION | @TIME]"
SIGNS = {"+": "green", "-": "red", "~": "yellow"}
OptionalKey = Annotated[str | None, typer.Argument(help="A key; without it: the document.")]


def diff(
    ctx: Context,
    old: Annotated[str, typer.Argument(help=HOW)],
    new: Annotated[str, typer.Argument(help="The other one.")],
    effective: Annotated[
        bool, typer.Option("--effective", help="What services see, not what is stored.")
    ] = False,
) -> None:
    """Show what differs between any two documents; of secrets only that they do."""
    at = here(ctx)
    query = {"from": old, "to": new, "effective": "true" if effective else None}
    show_diff(at, at.api.get(f"{PREFIX}/diff", query).body, old, new)


def show_diff(at: Here, found: dict[str, Any], old: str, new: str) -> None:
    """Write what the server found to differ between two things of these names."""
    if at.as_json:
        output.write_json(found)
    elif not found["text"]:
        output.say(f"{old} and {new} are the same.")
    for line in [] if at.as_json else found["text"].splitlines():
        color = SIGNS.get(line[:1], "dim")
        at.write(line, color)


def history(
    ctx: Context, key: OptionalKey = None, service: Service = None, environment: Environment = None
) -> None:
    """List the versions of a document or a key, newest first."""
    at = here(ctx)
    level = at.level(service, environment)
    if key is not None:
        found = keys.require_key(at.api, level, key)
        path = f"{PREFIX}/versions/config/{found['id']}"
        versions = list(at.api.pages(path, "versions"))
        rows = [_of_key(one) for one in versions]
        at.show_table({"versions": versions}, ("VERSION", "WHAT", "VALUE", "WHEN", "WHO"), rows)
        return
    query = {"environment": level.environment}
    versions = list(at.api.pages(f"{path_of('config', level.service)}/history", "versions", query))
    columns = ("VERSION", "REVISION", "WHAT", "WHEN", "WHO", "MESSAGE")
    at.show_table({"versions": versions}, columns, map(_of_document, versions))


def _of_key(one: dict[str, Any]) -> tuple[Any, ...]:
    when, who = one["changed_at"], one["changed_by"]
    return one["version"], one["change_type"], output.short(one["value"], 40), when, who


def _of_document(one: dict[str, Any]) -> tuple[Any, ...]:
    who, message = one["created_by"], one["message"]
    return one["version"], one["revision"], one["action"], one["created_at"], who, message


def rollback(
    ctx: Context,
    version: Annotated[int, typer.Argument(help="The number of the version.")],
    key: OptionalKey = None,
    service: Service = None,
    environment: Environment = None,
    message: Message = None,
) -> None:
    """Make a new version with the content of an old one, of a document or of a key."""
    at = here(ctx)
    level = at.level(service, environment)
    body: dict[str, Any]
    if key is None:
        path = f"{path_of('config', level.service)}/rollback"
        body = {"version": version, "environment": level.environment, "message": message}
    else:
        found = keys.require_key(at.api, level, key)
        path = f"{PREFIX}/versions/rollback/{found['id']}"
        body = {"target_version": version, "rollback_reason": message}
    done = at.api.call("POST", path, body=body).body
    what = f"{key} of {level}" if key else str(level)
    at.done(f"{what} is as in version {version} again: now version {done['version']}.", done)
