"""`flags set`: a new flag, or some members of one."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from configsync.cli import files
from configsync.cli.context import Context, Expected, Here, Message, here
from configsync.cli.failures import Code, Failure
from configsync.cli.flags import (
    AcceptRebucketing,
    FlagEnvironment,
    Name,
    environment_of,
    find_flag,
    now,
    save,
)

READ_ONLY = {
    *("id", "name", "environment", "is_simple", "salt", "version", "revision"),
    *("created_at", "updated_at"),
}
"""What `flags get --json` says and nobody can set; `--file` takes its output."""
VIEW = ("target_users", "rollout_percentage")
"""Members that stand for rules."""

Body = dict[str, Any]
Some = list[str] | None
Text = str | None
Percentage = Annotated[
    Text, typer.Option(help="How many of the users, in steps of 0.001; or: everybody.")
]
Target = Annotated[Some, typer.Option(help="A user who gets it; may be said again.")]
Untarget = Annotated[Some, typer.Option(help="A user to strike from those.")]
OnOff = Annotated[bool | None, typer.Option("--on/--off", help="A new flag is off.")]
Kind = Annotated[
    Text, typer.Option("--type", help="Of a new flag: boolean, string, number or object.")
]
File = Annotated[
    Text, typer.Option("--file", "-f", help="Members, as flags get --json has them; - is stdin.")
]
Description = Annotated[Text, typer.Option(help="What it is for.")]
Owner = Annotated[Text, typer.Option(help="Who cares for it; '' is nobody.")]
Tag = Annotated[Some, typer.Option(help="A tag to add; may be said again.")]
Untag = Annotated[Some, typer.Option(help="A tag to strike.")]
Expires = Annotated[Text, typer.Option(help="A date, a time with offset, or: never.")]


def set_(
    ctx: Context,
    name: Name,
    environment: FlagEnvironment = None,
    percentage: Percentage = None,
    target: Target = None,
    untarget: Untarget = None,
    is_enabled: OnOff = None,
    kind: Kind = None,
    file: File = None,
    description: Description = None,
    owner: Owner = None,
    tag: Tag = None,
    untag: Untag = None,
    expires: Expires = None,
    message: Message = None,
    expect_version: Expected = None,
    accept_rebucketing: AcceptRebucketing = False,
) -> None:
    """Change what is named of a flag; one that is not there is made."""
    at = here(ctx)
    place = environment_of(at, environment)
    told = {"is_enabled": is_enabled, "type": kind, "description": description}
    body: Body = {member: value for member, value in told.items() if value is not None}
    if percentage is not None:
        body["rollout_percentage"] = _share(percentage)
    if owner is not None:
        body["owner"] = owner or None
    if expires is not None:
        body["expires_at"] = _moment(expires)
    lists = {"target_users": (target, untarget), "tags": (tag, untag)}
    lists = {member: change for member, change in lists.items() if any(change)}
    has_view = bool({*VIEW} & {*body, *lists})
    body = (_read(file, has_view=has_view) if file else {}) | body
    old = find_flag(at, name, place)
    for member, (more, less) in lists.items():
        body[member] = _merged({**(old or {}), **body}.get(member), more, less)
    if old is None:
        _create(at, {"name": name, "environment": place, **body}, message, expect_version)
        return
    expected = old["version"] if lists and expect_version is None else expect_version
    how = {"message": message, "accept_rebucketing": accept_rebucketing}
    _update(at, old, body, how if expected is None else {**how, "expected_version": expected})


def _share(text: str) -> float | None:
    if text == "everybody":
        return None
    if not re.fullmatch(r"\d+(\.\d+)?%?", text, re.ASCII):
        raise Failure("--percentage takes a number from 0 to 100, or everybody.", Code.USAGE)
    return float(text.removesuffix("%"))


def _moment(text: str) -> str | None:
    """Return a time; a date alone is its first moment."""
    if text == "never":
        return None
    return f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text


def _read(file: str, *, has_view: bool) -> Body:
    """Return the members of a file that can be set.

    `has_view`: the command line says who gets it; that goes before rules that say no more.
    """
    found = files.parse(files.read(file), file)
    if not isinstance(found, dict):
        raise Failure(f"{file} is no flag: it must be an object.", Code.USAGE)
    left_out = {*READ_ONLY, "rules"} if has_view and found.get("is_simple") else READ_ONLY
    return {name: value for name, value in found.items() if name not in left_out}


def _merged(present: Iterable[str] | None, more: Some, less: Some) -> list[str]:
    """Return a list with some added at its end and some removed."""
    wanted = dict.fromkeys([*(present or []), *(more or [])])
    return [one for one in wanted if one not in (less or [])]


def _create(at: Here, body: Body, message: str | None, expected: int | None) -> None:
    if expected:
        raise Failure(f"{body['environment']} has no flag {body['name']!r}.", Code.CONFLICT)
    body = {"is_enabled": False, **_told_once(body), "message": message}
    flag = save(at, "POST", "", body)
    place = f"{flag['name']} -e {flag['environment']}"
    hint = "" if flag["is_enabled"] else f" Switch it on with: configsync flags on {place}"
    at.done(f"New: {now(flag)}{hint}", flag)


def _update(at: Here, old: Body, body: Body, how: Body) -> None:
    body = {name: value for name, value in body.items() if name not in old or old[name] != value}
    if "type" in body:
        raise Failure(f"The type of {old['name']} is {old['type']}, and stays so.")
    flag = save(at, "PUT", f"/{old['id']}", {**_told_once(body), **how})
    at.done(now(flag), flag)


def _told_once(body: Body) -> Body:
    """Return the members without those that the rules among them stand for, too."""
    if "rules" not in body:
        return body
    view = dict(zip(VIEW, _view_of(body["rules"]), strict=True))
    odd = [name for name in VIEW if body.get(name) not in (None, view[name])]
    if odd:
        raise Failure(f"The rules say something else than {odd[0]}: leave one of them out.")
    return {name: value for name, value in body.items() if name not in VIEW}


def _view_of(rules: Any) -> tuple[Any, Any]:
    """Return the target users and the percentage in rules, if they are told there as usual."""
    try:
        by_id = {rule["id"]: rule for rule in rules}
        users = by_id["target_users"]["when"]["values"] if "target_users" in by_id else []
        share = by_id["rollout"]["serve"]["split"][0]["weight"] if "rollout" in by_id else None
    except (LookupError, TypeError):
        return None, None
    return users, share
