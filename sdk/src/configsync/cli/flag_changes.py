"""The flags and segments of a change set: what a dry run finds about them."""

from typing import Any

from configsync.cli import files, flags, output, segments
from configsync.cli.context import Here
from configsync.cli.failures import Code, Failure

OPERATIONS = ("create", "update", "set", "delete")
FLAG_MEMBERS = {
    **dict.fromkeys(("flag", "environment", "op", "type", "description", "owner"), str),
    **dict.fromkeys(("off_variant", "default_variant", "bucket_by", "expires_at"), str),
    **dict.fromkeys(("is_enabled", "accept_rebucketing"), bool),
    **dict.fromkeys(("target_users", "rules", "prerequisites", "tags"), list),
    **dict.fromkeys(("rollout_percentage", "variants", "variant_schema"), object),
    **dict.fromkeys(("hash_version", "expected_version"), int),
}
SEGMENT_MEMBERS = {
    **dict.fromkeys(("segment", "op", "description"), str),
    **dict.fromkeys(("included", "excluded"), list),
    "when": object,
    "expected_version": int,
}
HOW = {"flag", "segment", "environment", "op", "expected_version", "accept_rebucketing"}
"""Members that are no part of what is changed."""
EMPTY: dict[str, Any] = {"description": "", "included": [], "excluded": [], "when": None}
"""What a change of a segment says where it is silent: it replaces the whole."""
SHORT = 30


def is_one(change: Any) -> bool:
    """Tell whether a change, or what was found about one, is of a flag or a segment."""
    return isinstance(change, dict) and bool({"flag", "segment"} & change.keys())


def name_of(one: dict[str, Any]) -> str:
    """Return what is changed."""
    if "flag" in one:
        return f"flag {one['flag']} in {one['environment']}"
    return f"segment {one['segment']}"


def check(one: dict[str, Any], where: str) -> None:
    """Raise Failure for what the server would refuse, rules and conditions apart."""
    needed = ("flag", "environment") if "flag" in one else ("segment",)
    missing = next((name for name in needed if not one.get(name)), None)
    if missing:
        raise Failure(f"{where} names no {missing}.", Code.USAGE)
    if one.get("op") not in OPERATIONS:
        raise Failure(f"{where} needs op: {', '.join(OPERATIONS)}.", Code.USAGE)
    files.check_members(one, FLAG_MEMBERS if "flag" in one else SEGMENT_MEMBERS, where)
    if one["op"] == "delete" and one.keys() - HOW:
        raise Failure(f"{where}: {min(one.keys() - HOW)} does not belong to op delete.")


def compared(at: Here, change: dict[str, Any]) -> dict[str, Any]:
    """Return what a change would do to what is there now; raise Failure where nothing is."""
    new: dict[str, Any]
    if "flag" in change:
        present, new = flags.find_flag(at, change["flag"], change["environment"]), {}
    else:
        present, new = segments.find_segment(at, change["segment"]), dict(EMPTY)
    if present is None and change["op"] in {"update", "delete"}:
        raise Failure(f"There is no {name_of(change)}.", Code.NOT_FOUND)
    new |= {name: value for name, value in change.items() if name not in HOW}
    old = {name: present.get(name) for name in new} if present else {}
    expected = 0 if change["op"] == "create" else change.get("expected_version")
    version = present["version"] if present else 0
    return {
        **{name: change[name] for name in ("flag", "environment", "segment") if name in change},
        "action": _action(change["op"], old, new, is_there=present is not None),
        "version": version or None,
        "conflict": expected is not None and expected != version,
        **({} if change["op"] == "delete" else {"old": old, "new": new}),
    }


def _action(op: str, old: dict[str, Any], new: dict[str, Any], *, is_there: bool) -> str:
    if op == "delete":
        return "remove"
    if not is_there:
        return "add"
    return "none" if old == new else "change"


def line_of(one: dict[str, Any]) -> str:
    """Return what a change would do, on one line."""
    place = name_of(one)
    if one["action"] in {"none", "remove"}:
        return f"{'=' if one['action'] == 'none' else '-'} {place}"
    if one["action"] == "add":
        return f"+ {place}: {output.short(one['new'])}"
    changed = (
        f"{name} {output.short(one['old'][name], SHORT)} -> {output.short(value, SHORT)}"
        for name, value in one["new"].items()
        if one["old"][name] != value
    )
    return f"~ {place}: {', '.join(changed)}"
