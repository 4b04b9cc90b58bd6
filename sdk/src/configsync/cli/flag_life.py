"""The life of a flag: its versions, and whether it is still of use."""

from typing import Annotated, Any

import typer

from configsync.cli import describing, output
from configsync.cli.api import expect
from configsync.cli.context import Context, Message, here
from configsync.cli.flags import (
    FLAGS,
    AcceptRebucketing,
    EveryEnvironment,
    FlagEnvironment,
    Name,
    environment_of,
    now,
    require_flag,
    save,
)
from configsync.cli.history import show_diff

STALE_COLUMNS = ("FLAG", "ENVIRONMENT", "WHY", "SINCE", "OWNER", "NEXT STEP")
COLUMNS = ("VERSION", "REVISION", "WHAT", "FLAG", "WHEN", "WHO", "MESSAGE")


def history(ctx: Context, name: Name, environment: FlagEnvironment = None) -> None:
    """List the versions of a flag, newest first."""
    at = here(ctx)
    flag = require_flag(at, name, environment_of(at, environment))
    versions = list(at.api.pages(f"{FLAGS}/{flag['id']}/versions", "versions"))
    at.show_table({"versions": versions}, COLUMNS, map(_row, versions))


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    state = describing.state(one["definition"]) if one["definition"] else None
    number, who = (one["version"], one["revision"]), one["created_by"]
    return *number, one["action"], state, one["created_at"], who, one["message"]


def diff(
    ctx: Context,
    name: Name,
    old: Annotated[int, typer.Argument(help="The number of a version.")],
    new: Annotated[
        int | None, typer.Argument(help="Of the other one; the newest if left out.")
    ] = None,
    environment: FlagEnvironment = None,
) -> None:
    """Show what differs between two versions of a flag."""
    at = here(ctx)
    flag = require_flag(at, name, environment_of(at, environment))
    other = flag["version"] if new is None else new
    found = at.api.get(f"{FLAGS}/{flag['id']}/diff", {"from": old, "to": other}).body
    show_diff(at, found, f"version {old}", f"version {other}")


def rollback(
    ctx: Context,
    name: Name,
    version: Annotated[int, typer.Argument(help="The number of the version.")],
    environment: FlagEnvironment = None,
    message: Message = None,
    accept_rebucketing: AcceptRebucketing = False,
) -> None:
    """Make a new version of a flag that is as an old one."""
    at = here(ctx)
    flag = require_flag(at, name, environment_of(at, environment))
    body = {"version": version, "message": message, "accept_rebucketing": accept_rebucketing}
    done = save(at, "POST", f"/{flag['id']}/rollback", body)
    at.done(f"As in version {version} again: {now(done)}", done)


def stale(
    ctx: Context,
    environment: EveryEnvironment = None,
    days: Annotated[
        int | None, typer.Option(help="How long nothing may have happened; 30 if left out.")
    ] = None,
) -> None:
    """List the flags that may have had their day: why, and what to do next."""
    at = here(ctx)
    query = {"environment": at.environment(environment), "days": days}
    answer = at.api.get(f"{FLAGS}/stale", query).body
    expect(answer, flags=list)
    at.show_table(answer, STALE_COLUMNS, map(_stale_row, answer["flags"]))
    if not answer["flags"]:
        output.say("No flag is stale.")


def _stale_row(one: dict[str, Any]) -> tuple[Any, ...]:
    why = ", ".join(one["reasons"])
    return one["flag"], one["environment"], why, one["since"], one["owner"], one["hint"]
