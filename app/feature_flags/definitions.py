"""What a body says of a flag, as the definition that shall be stored."""

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

from app.changes import edits
from app.changes.plan import Edited, FlagTarget, Stored
from app.feature_flags.schemas import FlagMembers
from app.feature_flags.variant_schema import check_schema
from app.flags.errors import InvalidFlag, WouldRebucket
from app.formats import json
from app.models import Action
from app.rules.conditions import Condition
from app.rules.definitions import off_variant_of, on_variant_of, variants_of
from app.rules.errors import Code, RuleError
from app.rules.flags import prerequisites_of
from app.rules.rebucketing import Rebucketing, rebuckets, with_ranges
from app.rules.ruling import Ruling
from app.rules.segments import segments_of
from app.rules.view import rules_of, view_of
from app.secrets import markers
from app.secrets.errors import InvalidSecret
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

Definition = Mapping[str, Any]

PLAIN = frozenset(
    {
        *("description", "is_enabled", "variants", "variant_schema", "off_variant"),
        *("default_variant", "prerequisites", "bucket_by", "hash_version", "tags", "owner"),
        "expires_at",
    }
)
"""Members that stand in the definition as they were sent."""
RULE_ID_BYTES = 4

ANYBODY = Condition(lambda _: True, 1, 1)
"""Stands for segments where only the rest of a condition is looked at."""


def said(target: FlagTarget, old: Definition, body: FlagMembers) -> dict[str, Any]:
    """Return the definition that a body asks for; what it leaves out stays.

    Raise InvalidFlag.
    """
    given = body.model_dump(mode="json", include={*PLAIN}, exclude_unset=True)
    new = {**old, **given}
    new = {name: value for name, value in new.items() if value is not None}
    if "variants" in given and "off_variant" not in body.model_fields_set:
        new |= _still_off(old, new)
    for member in ("variants", "variant_schema"):
        if markers.needs_sealing(json.dumps(given.get(member))):
            markers.replace(given[member], partial(_refuse_secret, member))
    if body.rules is not None:
        return new | {"rules": _with_ids(old, body.rules)}
    try:
        return new | _viewed(old, new, body)
    except RuleError as error:
        raise InvalidFlag(error, about=str(target)) from None


def _still_off(old: Definition, new: Definition) -> dict[str, Any]:
    """Keep the off variant, which would be another one by the order of new variants."""
    known = new.get("variants")
    if old.get("variants") is None or not isinstance(known, Mapping):
        return {}
    off = off_variant_of(old)
    return {"off_variant": off} if off in known else {}


def _refuse_secret(member: str, _: dict[str, Any]) -> NoReturn:
    raise InvalidSecret((member,), "flags hold no secrets: clients are sent what is in them")


def _viewed(old: Definition, new: Definition, body: FlagMembers) -> dict[str, Any]:
    """Return the rules that the two members stand for, if they are to change."""
    names = {"rollout_percentage", "target_users"} & body.model_fields_set
    view = view_of(old) if "rules" in old else None
    if names and view is not None and not view.is_representable:
        message = "is read-only: the rules of this flag say more than it can; write rules"
        raise RuleError(Code.INVALID_FLAG, (min(names),), message)
    if not names and view is not None:
        return {}
    users, percentage = body.target_users, body.rollout_percentage
    if view is not None:
        users = users if "target_users" in names else view.target_users
        percentage = percentage if "rollout_percentage" in names else view.rollout_percentage
    return {"rules": rules_of(new, users, percentage)}


def _with_ids(old: Definition, rules: list[Any]) -> list[Any]:
    """Return rules with ids: that of the stored rule with the same condition, else a new one.

    So the same rules without ids are the same definition, and who moved is found by their ids.
    """
    named = {rule.get("id") for rule in rules if isinstance(rule.get("id"), str)}
    left = [rule for rule in old.get("rules", ()) if rule["id"] not in named]
    return [_with_id(rule, left) for rule in rules]


def _with_id(rule: Any, left: list[Any]) -> Any:
    if rule.get("id") is not None:
        return rule
    same = next((one for one in left if one.get("when") == rule.get("when")), None)
    if same is not None:
        left.remove(same)
    rule_id = secrets.token_hex(RULE_ID_BYTES) if same is None else same["id"]
    return {"id": rule_id, **{name: value for name, value in rule.items() if name != "id"}}


def saved(
    target: FlagTarget,
    stored: Stored,
    old: Definition | None,
    wanted: Definition,
    *,
    access: Access,
    accepted: bool,
    action: Action | None = None,
) -> Edited:
    """Return the edit's outcome: splits laid out, and nobody moved unless that is accepted.

    Flags newly needed must be ones that the caller may read: who reads a flag learns what those
    decide. Raise FlagOutsideScope, InvalidFlag, WouldRebucket.
    """
    for name in sorted(prerequisites_of(wanted) - prerequisites_of(old)):
        access.require_flag(Permission.READ, name, target.environment)
    try:
        new = with_ranges(old, wanted)
        check_schema(new, str(target))
    except RuleError as error:
        raise InvalidFlag(error, about=str(target)) from None
    if old is not None and not accepted:
        reason = _moves(old, new)
        if reason is not None:
            raise WouldRebucket(str(reason), str(target))
    return edits.store(new, action=action)(stored)


def _moves(old: Definition, new: Definition) -> Rebucketing | None:
    """Say why a save would move people; None also for rules that the commit will refuse."""
    try:
        Ruling(new).rules(dict.fromkeys(segments_of(new), ANYBODY))
    except RuleError:
        return None
    return rebuckets(old, new) or _turned(old, new)


def _turned(old: Definition, new: Definition) -> Rebucketing | None:
    """Say whether the order of the variants alone gives those who are in another one."""
    is_asked = old.get("default_variant") != new.get("default_variant")
    if is_asked or off_variant_of(old) != off_variant_of(new):
        return None
    before, after = on_variant_of(old), on_variant_of(new)
    is_other = before != after and before in variants_of(new)
    return Rebucketing.VARIANT_ORDER if is_other else None
