"""`watch`: changes as they happen."""

from typing import Annotated, Any

import typer

from configsync.cli import output
from configsync.cli.context import GLOBAL, Context, Environment, Here, Level, Service, here
from configsync.cli.following import follow


def watch(
    ctx: Context,
    services: Annotated[
        list[str] | None, typer.Argument(help="The services; without any: all.")
    ] = None,
    service: Service = None,
    environment: Environment = None,
) -> None:
    """Show changes as they happen, until Ctrl-C."""
    at = here(ctx)
    named = [*(services or []), *([service] if service else [])]
    query = {"services": ",".join(named) or None, "environments": at.environment(environment)}
    for event in follow(at.api, query):
        if event.kind == "hello":
            output.say(f"Listening from revision {event.data['revision']} on.")
        elif event.kind == "change":
            _show(at, event.data)


def _show(at: Here, commit: dict[str, Any]) -> None:
    if at.as_json:
        output.write_json(commit, indent=None)
        return
    head = f"{commit['at']}  revision {commit['revision']}  {commit['actor']}"
    message = f"  {commit['message']}" if commit.get("message") else ""
    at.write(head + message, "bold")
    for one in commit["changes"]:
        output.write(f"  {described(one)}")


def described(change: dict[str, Any]) -> str:
    """Return one change of a commit in words."""
    place = Level(change.get("service") or GLOBAL, change.get("environment"))
    what = f"key {change['key']}" if change.get("key") else str(change["resource_type"])
    version = f" (version {change['version']})" if change.get("version") else ""
    return f"{change['action']:<8} {place}  {what}{version}"
