"""Feature flags: seeing them, switching and deleting them."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from configsync._errors import Conflict, NotFound
from configsync.cli import describing, output
from configsync.cli.api import PREFIX, expect, path_of
from configsync.cli.context import Context, Here, Message, here
from configsync.cli.failures import Code, Failure

FLAGS = f"{PREFIX}/feature-flags"
COLUMNS = ("FLAG", "ON", "FOR", "TYPE", "ENVIRONMENT", "OWNER", "EXPIRES")

Name = Annotated[str, typer.Argument(help="The flag.")]
FlagEnvironment = Annotated[
    str | None, typer.Option("--environment", "-e", help="The environment of the flag.")
]
EveryEnvironment = Annotated[
    str | None,
    typer.Option(
        "--environment", "-e", help="Only its flags; '' is all. Without it: what is set, else all."
    ),
]
AcceptRebucketing = Annotated[
    bool,
    typer.Option("--accept-rebucketing", help="Even if people get another variant than before."),
]


def environment_of(at: Here, given: str | None) -> str:
    """Return the environment that is meant, or raise Failure: each flag stands in one."""
    found = at.environment(given)
    if found is None:
        raise Failure("Which environment? Say -e NAME, or set CONFIGSYNC_ENVIRONMENT.", Code.USAGE)
    return found


def find_flag(at: Here, name: str, environment: str) -> dict[str, Any] | None:
    """Return the flag of that name in an environment, if there is one."""
    try:
        flag: dict[str, Any] = at.api.get(
            f"{FLAGS}{path_of(name)}", {"environment": environment}
        ).body
    except NotFound as error:
        if error.code != "flag_not_found":
            raise
        return None
    expect(flag, id=int, rules=list, variants=dict)
    return flag


def require_flag(at: Here, name: str, environment: str) -> dict[str, Any]:
    """Return the flag of that name in an environment, or raise Failure."""
    found = find_flag(at, name, environment)
    if found is None:
        raise Failure(
            f"{environment} has no flag {name!r}. See what is there with: configsync flags list",
            Code.NOT_FOUND,
        )
    return found


def save(at: Here, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the flag as it is after a change, or raise Failure where people would be moved."""
    try:
        flag: dict[str, Any] = at.api.call(method, f"{FLAGS}{path}", body=body).body
    except Conflict as error:
        if error.code != "would_rebucket":
            raise
        what = error.detail.partition(". ")[0]
        raise Failure(
            f"{what}. If that is meant, say --accept-rebucketing.", Code.CONFLICT
        ) from error
    return flag


def now(flag: dict[str, Any]) -> str:
    """Return what is so now, in words."""
    is_now = f"{flag['name']} in {flag['environment']} is {describing.state(flag)}"
    return f"{is_now}: version {flag['version']}, revision {flag['revision']}."


def list_(
    ctx: Context,
    text: Annotated[str | None, typer.Argument(help="A part of the name.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    environment: EveryEnvironment = None,
) -> None:
    """List the flags, and who gets them."""
    at = here(ctx)
    query = {"q": text, "tag": tag, "environment": at.environment(environment)}
    found = list(_listed(at, query))
    at.show_table({"feature_flags": found}, COLUMNS, map(_row, found))


def _listed(at: Here, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        page = at.api.get(FLAGS, {"limit": 500, "offset": offset, **query}).body
        expect(page, feature_flags=list, total=int)
        yield from page["feature_flags"]
        offset += len(page["feature_flags"])
        if offset >= page["total"] or not page["feature_flags"]:
            return


def _row(flag: dict[str, Any]) -> tuple[Any, ...]:
    is_on, who = flag["is_enabled"], describing.audience(flag)
    place = flag["type"], flag["environment"]
    return flag["name"], "on" if is_on else "off", who, *place, flag["owner"], flag["expires_at"]


def get(ctx: Context, name: Name, environment: FlagEnvironment = None) -> None:
    """Show a flag: who gets which variant."""
    at = here(ctx)
    flag = require_flag(at, name, environment_of(at, environment))
    at.show(flag, "\n".join(_summary(flag)))


def _summary(flag: dict[str, Any]) -> Iterator[str]:
    yield f"{flag['name']} in {flag['environment']}: {describing.state(flag)}"
    if flag["description"]:
        yield flag["description"]
    for title, text in _facts(flag):
        yield f"  {title:<14}{text}"
    if not flag["is_simple"]:
        yield "  rules, the first that fits decides:"
    for number, rule in enumerate([] if flag["is_simple"] else flag["rules"], 1):
        about = f": {rule['description']}" if rule.get("description") else ""
        yield f"  {number:>4} {rule['id']}{about}"
        for _, line in describing.condition(rule["when"]) if rule.get("when") else []:
            yield f"         {line}"
        yield f"       -> {describing.served(rule['serve'])}"


def _facts(flag: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "type", flag["type"]
    yield "variants", ", ".join(_variants(flag))
    if flag["target_users"]:
        yield "target users", output.short(flag["target_users"])
    for one in flag["prerequisites"]:
        wanted = one["variants"] if "variants" in one else [one["variant"]]
        yield "needs", f"{one['flag']} to serve {' or '.join(wanted)}"
    if flag["bucket_by"] != "targetingKey":
        yield "bucket by", flag["bucket_by"]
    if flag["tags"]:
        yield "tags", ", ".join(flag["tags"])
    for title, member in (("owner", "owner"), ("expires", "expires_at")):
        if flag[member]:
            yield title, flag[member]
    yield "version", f"{flag['version']} of {flag['updated_at']}, revision {flag['revision']}"


def _variants(flag: dict[str, Any]) -> Iterator[str]:
    roles = {flag["default_variant"]: "default", flag["off_variant"]: "off"}
    for name, value in flag["variants"].items():
        role = f" ({roles[name]})" if name in roles and roles[name] != name else ""
        yield f"{name} = {output.short(value)}{role}"


def on(
    ctx: Context, name: Name, environment: FlagEnvironment = None, message: Message = None
) -> None:
    """Switch a flag on: its rules decide who gets it."""
    _switch(here(ctx), name, environment, message, is_on=True)


def off(
    ctx: Context, name: Name, environment: FlagEnvironment = None, message: Message = None
) -> None:
    """Switch a flag off: everybody gets its off variant."""
    _switch(here(ctx), name, environment, message, is_on=False)


def _switch(
    at: Here, name: str, environment: str | None, message: str | None, *, is_on: bool
) -> None:
    flag = require_flag(at, name, environment_of(at, environment))
    flag = save(at, "PUT", f"/{flag['id']}", {"is_enabled": is_on, "message": message})
    at.done(now(flag), flag)


def delete(ctx: Context, name: Name, environment: FlagEnvironment = None) -> None:
    """Delete a flag in its environment; other environments keep it."""
    at = here(ctx)
    flag = require_flag(at, name, environment_of(at, environment))
    at.api.call("DELETE", f"{FLAGS}/{flag['id']}")
    at.done(f"{name} in {flag['environment']} is deleted.", {"id": flag["id"], "name": name})
