"""Reading and changing values."""

import json
import sys
from typing import Annotated, Any

import typer

from configsync.cli import keys, output
from configsync.cli.api import PREFIX, path_of
from configsync.cli.context import (
    GLOBAL,
    Context,
    Environment,
    Expected,
    Here,
    Level,
    Message,
    Reveal,
    Service,
    here,
)
from configsync.cli.failures import Code, Failure
from configsync.cli.session import hidden

Key = Annotated[str, typer.Argument(help="The key; dots also lead into objects.")]
OptionalKey = Annotated[str | None, typer.Argument(help="The key; without it: everything.")]
OneEnvironment = Annotated[
    str | None,
    typer.Option(
        "--environment",
        "-e",
        help="Only its keys; '' is the level of all of them. Without it: what is set, else all.",
    ),
]
KEY_COLUMNS = ("KEY", "VALUE", "SERVICE", "ENVIRONMENT", "VERSION")


def get(
    ctx: Context,
    key: OptionalKey = None,
    service: Service = None,
    environment: Environment = None,
    reveal: Reveal = False,
) -> None:
    """Show the effective value of a key, or the whole effective config."""
    at = here(ctx)
    level = at.level(service, environment)
    answer = keys.fetch(at.api, level, None if key is None else [key])
    values = answer["configs"]
    if not reveal:
        values = output.masked(values, answer["secrets"])
    if key is None:
        at.show({**answer, "configs": values}, output.dumps(values, indent=2))
        return
    if key not in values:
        raise Failure(f"{level} has no key {key!r}.", Code.NOT_FOUND)
    if at.as_json:
        query = {"service_name": level.service, "environment": level.environment}
        item = at.api.get(f"{PREFIX}/config{path_of(key)}", query).body
        output.write_json({**item, "value": values[key]})
    else:
        output.write(output.bare(values[key]))


def set_(
    ctx: Context,
    key: Key,
    value: Annotated[str | None, typer.Argument(help="JSON, else text; - reads stdin.")] = None,
    service: Service = None,
    environment: Environment = None,
    message: Message = None,
    expect_version: Expected = None,
    string: Annotated[bool, typer.Option("--string", help="Text, even if it is JSON.")] = False,
    secret: Annotated[bool, typer.Option("--secret", help="A secret; asked for unseen.")] = False,
) -> None:
    """Set a key at a level."""
    at = here(ctx)
    level = at.level(service, environment)
    new = _secret(key, value) if secret else _value(value, is_text=string)
    inside = None if secret else _inside(at, level, key)
    if inside is not None:
        operation = {"op": "add", "path": inside[1], "value": new}
        _patch(at, level, key, inside[0], operation, message, expect_version)
        return
    change: dict[str, Any] = {"op": "set", "value": new}
    if secret:
        change["is_encrypted"] = True
    _change(at, level, key, change, message, expect_version)


def _secret(key: str, value: str | None) -> str:
    if value not in {None, "-"}:
        raise Failure(
            "A secret on a command line can be seen by others. Leave it out: it is asked for.",
            Code.USAGE,
        )
    return hidden(f"Value of {key}: ")


def _value(text: str | None, *, is_text: bool) -> Any:
    if text is None:
        raise Failure("Which value? Say it, or - to read it from standard input.", Code.USAGE)
    if text == "-":
        text = output.typed(sys.stdin.read).removesuffix("\n")
    if is_text:
        return text
    try:
        return keys.parsed(text)
    except keys.TooDeepError as error:
        raise Failure(f"The value cannot be stored: {error}.") from error
    except ValueError as error:
        if _looks_like_json(text):
            output.say(f"This is no JSON ({error}): it is stored as text.")
        return text


def _looks_like_json(text: str) -> bool:
    """Tell whether somebody may have meant a text to be JSON, though it is none."""
    if text.lstrip().startswith(("{", "[")):
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _inside(at: Here, level: Level, key: str) -> tuple[dict[str, Any], str] | None:
    """Return the document and the JSON Pointer of a key that stands inside one of its objects."""
    if "." not in key:
        return None
    document = keys.stored_document(at.api, level)
    content = (document or {}).get("config")
    if document is None or not isinstance(content, dict) or key in content:
        return None
    steps, rest = [], key
    while isinstance(content, dict) and not output.is_secret(content):
        step, _, rest = (rest, "", "") if rest in content else rest.partition(".")
        steps.append(step)
        if not rest:
            return (document, _pointer(steps)) if len(steps) > 1 else None
        content = content.get(step)
    return None


def _pointer(steps: list[str]) -> str:
    return "".join("/" + one.replace("~", "~0").replace("/", "~1") for one in steps)


def _patch(
    at: Here,
    level: Level,
    key: str,
    document: dict[str, Any],
    operation: dict[str, Any],
    message: str | None,
    expected: int | None,
) -> None:
    query = {
        "environment": level.environment,
        "message": message,
        "expected_version": document["version"] if expected is None else expected,
    }
    headers = {"Content-Type": "application/json-patch+json"}
    path = path_of("config", level.service)
    changed = at.api.call("PATCH", path, query=query, body=[operation], headers=headers).body
    _changed(at, level, key, changed)


def _change(
    at: Here,
    level: Level,
    key: str,
    change: dict[str, Any],
    message: str | None,
    expected: int | None,
) -> None:
    change |= {"service": level.service, "environment": level.environment, "key": key}
    if expected is not None:
        change["expected_version"] = expected
    body = {"changes": [change], "message": message}
    answer = at.api.call("POST", f"{PREFIX}/changes", body=body).body
    _changed(at, level, key, answer["changes"][0])


def _changed(at: Here, level: Level, key: str, what: dict[str, Any]) -> None:
    at.done(f"{key} of {level}: version {what['version']}, revision {what['revision']}.", what)


def unset(
    ctx: Context,
    key: Key,
    service: Service = None,
    environment: Environment = None,
    message: Message = None,
    expect_version: Expected = None,
    hide: Annotated[
        bool, typer.Option("--hide", help="Take away what wider levels say, too.")
    ] = False,
) -> None:
    """Remove a key at a level; what wider levels say of it shows again."""
    at = here(ctx)
    level = at.level(service, environment)
    inside = None if hide else _inside(at, level, key)
    if inside is not None:
        operation = {"op": "remove", "path": inside[1]}
        _patch(at, level, key, inside[0], operation, message, expect_version)
        return
    if not hide:
        keys.require_key(at.api, level, key)
    change = {"op": "unset" if hide else "delete"}
    _change(at, level, key, change, message, expect_version)


def list_(ctx: Context, service: Service = None, environment: OneEnvironment = None) -> None:
    """List the stored keys of every level; with -e of one."""
    at = here(ctx)
    named = service or at.target.service
    query = {"app_id": named, "environment": at.environment(environment)}
    _show_keys(at, query, is_wide=environment == "")


def search(
    ctx: Context,
    text: Annotated[str, typer.Argument(help="A part of the name, or a whole value.")],
    service: Service = None,
    environment: Environment = None,
) -> None:
    """Find keys everywhere by a part of their name, or by their value; secrets by name only."""
    _show_keys(here(ctx), {"q": text, "app_id": service, "environment": environment or None})


def _show_keys(at: Here, query: dict[str, Any], *, is_wide: bool = False) -> None:
    """Show keys; `is_wide`: only those of the level of all environments."""
    found = list(at.api.pages(f"{PREFIX}/configs", "configs", query))
    if is_wide:
        found = [one for one in found if one["environment"] is None]
    rows = [
        (
            one["key"],
            output.short(one["value"]) if one["is_active"] else "(inactive)",
            one["app_id"] or GLOBAL,
            one["environment"],
            one["version"],
        )
        for one in found
    ]
    at.show_table({"configs": found}, KEY_COLUMNS, rows)


def explain(
    ctx: Context, key: OptionalKey = None, service: Service = None, environment: Environment = None
) -> None:
    """Show where the values come from, and what they hide."""
    at = here(ctx)
    level = at.level(service, environment)
    query = {"environment": level.environment, "explain": "true"}
    explained = at.api.get(path_of("config", level.service), query).body["explain"]
    if key is not None:
        explained["values"] = {
            name: one
            for name, one in explained["values"].items()
            if name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.")
        }
        if not explained["values"]:
            raise Failure(f"{level} has no key {key!r}.", Code.NOT_FOUND)
    rows = [
        (name, output.short(one["value"], 40), _origin(one), ", ".join(map(_hidden, one["hides"])))
        for name, one in explained["values"].items()
    ]
    at.show_table(explained, ("ADDRESS", "VALUE", "FROM", "HIDES"), rows)
    for warning in explained["warnings"]:
        output.say(f"Warning: {warning}")


def _origin(one: dict[str, Any]) -> str:
    return f"{Level(one['service'], one['environment'])}#{one['version']}"


def _hidden(one: dict[str, Any]) -> str:
    return f"{output.short(one['value'], 30)} ({_origin(one)})"
