"""What somebody gets of a flag, and how that comes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from configsync.cli import describing, files, keys, output
from configsync.cli.api import path_of
from configsync.cli.context import Context, Here, here
from configsync.cli.failures import Code, Failure
from configsync.cli.flags import FLAGS, FlagEnvironment, Name, environment_of

COLUMNS = ("FLAG", "VALUE", "VARIANT", "REASON", "RULE")
COLORS = {True: "green", False: "red"}

OptionalName = Annotated[str | None, typer.Argument(help="The flag; without it: all.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="Who asks, by their id.")]
About = Annotated[
    str | None,
    typer.Option("--context", help="What is known of them: a JSON object, @FILE, or - for stdin."),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attr", "-a", help="NAME=VALUE, as JSON or else text; may be said again."),
]


def eval_(
    ctx: Context,
    name: OptionalName = None,
    user: User = None,
    context: About = None,
    attr: Attributes = None,
    environment: FlagEnvironment = None,
) -> None:
    """Show the value that somebody gets of a flag, or of all flags."""
    at = here(ctx)
    body = _asking(at, environment, user, context, attr)
    if name is None:
        _eval_all(at, body)
        return
    answer = at.api.call("POST", f"{FLAGS}/evaluate", body={**body, "flag_name": name}).body
    at.show(answer, output.bare(answer["value"]))
    if answer["reason"] == "targeting_key_missing":
        output.say(
            f"Who gets {name} depends on who asks: say --user ID, or what it is split by "
            f"(--attr company=acme); see: configsync flags explain {name}"
        )


def _eval_all(at: Here, body: dict[str, Any]) -> None:
    answer = at.api.call("POST", f"{FLAGS}/evaluate/batch", body=body).body
    rows = [
        (name, output.short(one["value"]), one["variant"], one["reason"], one["rule_id"])
        for name, one in answer["evaluations"].items()
    ]
    at.show_table(answer, COLUMNS, rows)


def _asking(
    at: Here, environment: str | None, user: str | None, context: str | None, attr: list[str] | None
) -> dict[str, Any]:
    """Return what the calls send of who asks."""
    about = {**_context(context), **dict(map(_attribute, attr or []))}
    return {"environment": environment_of(at, environment), "user_id": user, "context": about}


def _context(given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    if given == "-" or given.startswith("@"):
        name = given.removeprefix("@")
        found = files.parse(files.read(name), name)
    else:
        found = files.parse(given, "--context")
    if not isinstance(found, dict):
        raise Failure("A context is an object: {…}, @FILE with one, or -.", Code.USAGE)
    return found


def _attribute(given: str) -> tuple[str, Any]:
    name, is_said, text = given.partition("=")
    if not name or not is_said:
        raise Failure(f"--attr takes NAME=VALUE, not {given!r}.", Code.USAGE)
    try:
        return name, keys.parsed(text)
    except ValueError:
        return name, text


def explain(
    ctx: Context,
    name: Name,
    user: User = None,
    context: About = None,
    attr: Attributes = None,
    environment: FlagEnvironment = None,
) -> None:
    """Show the way to what somebody gets: each rule, condition and bucket."""
    at = here(ctx)
    body = _asking(at, environment, user, context, attr)
    answer = at.api.call(
        "POST", f"{FLAGS}{path_of(name)}/explain", body={**body, "flag_name": name}
    ).body
    if at.as_json:
        output.write_json(answer)
        return
    result = answer["result"]
    value = output.short(result["value"])
    at.write(f"{name} in {body['environment']}: {result['variant']} = {value}", "bold")
    for outcome, line in _steps(answer):
        if outcome is None:
            output.write(f"  {line}")
        else:
            at.write(f"  {line}", COLORS[outcome])


Line = tuple[bool | None, str]


def _steps(answer: Mapping[str, Any]) -> Iterator[Line]:
    """Yield the lines of the way, up to what decided."""
    result = answer["result"]
    if not answer["is_enabled"]:
        yield False, f"✗ it is off: {result['variant']} for everybody"
        return
    for one in answer["prerequisites"]:
        yield _prerequisite(one)
    if result["reason"] == "prerequisite_failed":
        return
    for rule in answer["rules"]:
        yield from _rule(rule, result)
        if rule["id"] == result["rule_id"]:
            return
    yield True, f"✓ no rule decides: {result['variant']}"


def _prerequisite(one: Mapping[str, Any]) -> Line:
    wanted = " or ".join(one["variants"] if "variants" in one else [one["variant"]])
    mark = describing.MARKS[one["met"]]
    return one["met"], f"{mark}needs {one['flag']} to serve {wanted}: it serves {one['served']}"


def _rule(rule: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Line]:
    is_met = bool(rule["matched"])
    about = f" ({rule['description']})" if rule["description"] else ""
    mark = describing.MARKS[is_met]
    yield is_met, f"{mark}rule {rule['id']}{about}: {describing.served(rule['serve'])}"
    if rule.get("when"):
        yield from describing.condition(rule["when"], 2)
    if is_met and "split" in rule["serve"]:
        yield None, f"    {_bucket(rule)} -> {result['variant']}"


def _bucket(rule: Mapping[str, Any]) -> str:
    if rule["bucket"] is None:
        return f"there is no {rule['bucket_by']}"
    unit = output.short(rule["unit"])
    return f"bucket {rule['bucket']:,} of 100,000, by {rule['bucket_by']} {unit}"
