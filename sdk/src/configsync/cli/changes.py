"""`apply`: a change set from a file."""

from typing import Annotated, Any

import typer

from configsync.cli import describing, files, flag_changes, keys, output
from configsync.cli.api import PREFIX
from configsync.cli.context import GLOBAL, Context, Here, Level, Message, here
from configsync.cli.failures import Code, Failure

ABSENT = object()
UNSET = {"$unset": True}
MAX_KEY = 255
SET_MEMBERS = {"changes": list, "message": str}
MEMBERS = {
    "service": str,
    "environment": str,
    "key": str,
    "op": str,
    "value": object,
    "is_encrypted": bool,
    "expected_version": int,
}


def apply(
    ctx: Context,
    file: Annotated[
        str, typer.Option("--file", "-f", help="A change set in JSON or YAML; - is stdin.")
    ],
    message: Message = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
) -> None:
    """Make the changes of a file together, or none of them."""
    at = here(ctx)
    change_set = _read(file)
    if message is not None:
        change_set["message"] = message
    if dry_run:
        _rehearse(at, change_set["changes"])
        return
    answer = at.api.call("POST", f"{PREFIX}/changes", body=change_set).body
    number = describing.count(len(answer["changes"]), "change")
    at.done(f"{number}, revision {answer['revision']}.", answer)


def _read(file: str) -> dict[str, Any]:
    found = files.parse(files.read(file), file)
    changes = found.get("changes") if isinstance(found, dict) else None
    if not isinstance(changes, list) or not changes:
        raise Failure(f"{file} is no change set: it must have a list named changes.", Code.USAGE)
    files.check_members(found, SET_MEMBERS, file)
    for number, one in enumerate(changes, 1):
        is_of_key = not flag_changes.is_one(one)
        (_check_change if is_of_key else flag_changes.check)(one, f"{file}: change {number}")
    return dict(found)


def _check_change(one: Any, where: str) -> None:
    """Raise Failure for what the server would refuse, so that a dry run does too."""
    if not isinstance(one, dict) or not isinstance(one.get("key"), str):
        raise Failure(f"{where} names no key.", Code.USAGE)
    if one.get("op") not in ("set", "delete", "unset"):
        raise Failure(f"{where} needs op: set, delete or unset.", Code.USAGE)
    if (one["op"] == "set") != ("value" in one):
        raise Failure(f"{where}: a value belongs to set alone.", Code.USAGE)
    files.check_members(one, MEMBERS, where)
    if not 0 < len(one["key"]) <= MAX_KEY or not one["key"].isprintable():
        raise Failure(f"{where}: a key has 1 to {MAX_KEY} printable characters.")
    if one["op"] != "set" and one.get("is_encrypted") is not None:
        raise Failure(f"{where}: is_encrypted belongs to set alone.")
    if one.get("expected_version") is not None and one["expected_version"] < 0:
        raise Failure(f"{where}: expected_version must not be less than 0.")


def _rehearse(at: Here, changes: list[dict[str, Any]]) -> None:
    """Show each change beside what is there now; raise Failure where it could not be made."""
    _refuse_unknown(at, changes)
    known = _present(at, [one for one in changes if not flag_changes.is_one(one)])
    found = [
        flag_changes.compared(at, one)
        if flag_changes.is_one(one)
        else _compared(one, known.get((_level(one), one["key"])))
        for one in changes
    ]
    if at.as_json:
        output.write_json({"dry_run": True, "changes": found})
    for one in [] if at.as_json else found:
        color = {"add": "green", "remove": "red", "change": "yellow"}.get(one["action"], "dim")
        at.write(_line(one), color)
    _refuse_duplicates(changes)
    late = [_name(one) for one in found if one["conflict"]]
    if late:
        raise Failure(f"Not at the expected version: {', '.join(late)}.", Code.CONFLICT)
    output.say("Nothing was changed. Without --dry-run it would be, in one revision.")


def _name(one: dict[str, Any]) -> str:
    """Return what is changed, by a change or by what was found about it."""
    if flag_changes.is_one(one):
        return flag_changes.name_of(one)
    return f"{one.get('level') or _level(one)} {one['key']}"


def _level(change: dict[str, Any]) -> Level:
    return Level(change.get("service") or GLOBAL, change.get("environment"))


def _refuse_unknown(at: Here, changes: list[dict[str, Any]]) -> None:
    known = {one["name"] for one in at.api.pages("/environments", "environments")}
    unknown = {one.get("environment") for one in changes} - known - {None}
    if unknown:
        raise Failure(f"The workspace has no environment {', '.join(sorted(map(str, unknown)))}.")


def _present(at: Here, changes: list[dict[str, Any]]) -> dict[tuple[Level, str], dict[str, Any]]:
    levels = {_level(one): None for one in changes}
    found: dict[tuple[Level, str], dict[str, Any]] = {}
    for level in output.progress(list(levels), "Reading"):
        found |= {(level, one["key"]): one for one in keys.stored_keys(at.api, level)}
    return found


def _refuse_duplicates(changes: list[dict[str, Any]]) -> None:
    seen = set()
    for one in changes:
        if _name(one) in seen:
            raise Failure(f"{_name(one)} stands twice in the file.")
        seen.add(_name(one))


def _compared(change: dict[str, Any], present: dict[str, Any] | None) -> dict[str, Any]:
    is_there = present is not None and present["is_active"]
    old = present["value"] if present is not None and is_there else ABSENT
    new = {"set": change.get("value"), "unset": UNSET}.get(change["op"], ABSENT)
    is_secret = change.get("is_encrypted") or (present is not None and present["is_encrypted"])
    expected = change.get("expected_version")
    shown = {"old": _shown(old, is_secret), "new": _shown(new, is_secret)}
    return {
        "level": str(_level(change)),
        "key": change["key"],
        "action": _action(old, new, is_secret=bool(is_secret)),
        "version": present["version"] if present is not None else None,
        "conflict": expected is not None and expected != (present["version"] if present else 0),
        **{name: value for name, value in shown.items() if value is not ABSENT},
    }


def _action(old: Any, new: Any, *, is_secret: bool) -> str:
    if old is ABSENT:
        return "none" if new is ABSENT else "add"
    if new is ABSENT:
        return "remove"
    same = output.dumps(old) == output.dumps(new)
    return "none" if same and not is_secret else "change"


def _shown(value: Any, is_secret: object) -> Any:
    if value is ABSENT or value is UNSET:
        return value
    return output.BULLETS if is_secret or output.is_secret(value) else _masked(value)


def _masked(value: Any) -> Any:
    """Return a value with bullets in the place of the secrets inside it."""
    if isinstance(value, dict):
        if "$secret" in value:
            return output.BULLETS
        return {name: _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value


def _line(one: dict[str, Any]) -> str:
    if flag_changes.is_one(one):
        return flag_changes.line_of(one)
    place = _name(one)
    old, new = (output.short(one.get(name)) for name in ("old", "new"))
    return {
        "add": f"+ {place}: {new}",
        "remove": f"- {place}: {old}",
        "change": f"~ {place}: {old} -> {new}",
    }.get(one["action"], f"= {place}")
