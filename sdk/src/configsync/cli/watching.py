"""`watch`: changes as they happen."""

from typing import Annotated, Any

import typer

from configsync.cli import output
from configsync.cli.context import GLOBAL, Context, Environment, Here, Level, Service, here
from configsync.cli.following import follow

KINDS = {"feature_flag": "flag", "segment": "segment"}
"""Of what belongs to no service, but to an environment or to all of them."""


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
    kind = str(change["resource_type"])
    service, environment = change.get("service") or GLOBAL, change.get("environment")
    place = environment or "all environments" if kind in KINDS else str(Level(service, environment))
    what = " ".join(filter(None, (KINDS.get(kind, kind), change.get("key"))))
    version = f" (version {change['version']})" if change.get("version") else ""
    return f"{change['action']:<8} {place}  {what}{version}"
