"""Feature flags: as proposals to the write pipeline, with the history of everything else."""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Edit, Edited, FlagTarget, Precondition, Stored
from app.changes.service import apply
from app.core.answers import Written
from app.core.db import AnyRow
from app.feature_flags import presenters
from app.feature_flags.schemas import FlagCreate, FlagMembers, FlagUpdate
from app.flags import crud
from app.flags.errors import (
    FlagExists,
    FlagIdNotFound,
    FlagNotFound,
    FlagTypeDiffers,
    FlagVersionNotFound,
    InvalidFlag,
    WouldRebucket,
)
from app.formats import json
from app.models import Action
from app.rules.errors import Code, RuleError
from app.rules.rebucketing import rebuckets, with_ranges
from app.rules.view import rules_of, view_of
from app.versions import crud as versions_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

Definition = Mapping[str, Any]

PLAIN = (
    *("description", "is_enabled", "variants", "off_variant", "default_variant"),
    *("prerequisites", "bucket_by", "hash_version", "tags", "owner", "expires_at"),
)
"""Members that stand in the definition as they were sent."""
RULE_ID_BYTES = 4


def create(
    session: Session, *, access: Access, new: FlagCreate, precondition: Precondition
) -> Written:
    """Create a flag in an environment, or revive a deleted one.

    Raises FlagExists, FlagTypeDiffers, UnknownEnvironment, InvalidFlag, StillNeeded.
    """
    target = FlagTarget(new.name, new.environment)
    access.require_flag(Permission.WRITE, new.name, new.environment)
    name = crud.claim_name(session, workspace_id=access.workspace_id, name=new.name, kind=new.type)
    if name.type != new.type:
        raise FlagTypeDiffers(new.name, name.type)
    base = {"type": name.type, "salt": name.salt}

    def edit(stored: Stored) -> Edited:
        if stored.exists:
            raise FlagExists(new.name, new.environment)
        return _saved(stored, None, _said(base, new), accepted=True)

    return _commit(session, access, target, edit, new.message, precondition, creates=True)


def update(
    session: Session,
    *,
    access: Access,
    flag_id: int,
    change: FlagUpdate,
    precondition: Precondition,
) -> Written:
    """Change a flag, by id.

    Raises FlagIdNotFound, PreconditionFailed, WouldRebucket, InvalidFlag, StillNeeded.
    """
    target = require_place(session, access=access, flag_id=flag_id)

    def edit(stored: Stored) -> Edited:
        if not stored.exists:
            raise FlagIdNotFound(flag_id, access.slug)
        old = json.loads(stored.read())
        return _saved(stored, old, _said(old, change), accepted=change.accept_rebucketing)

    return _commit(session, access, target, edit, change.message, precondition)


def delete(session: Session, *, access: Access, flag_id: int, precondition: Precondition) -> None:
    """Delete a flag in its environment, by id; raises FlagIdNotFound, StillNeeded."""
    target = _place(session, access, flag_id)
    edit = edits.remove(missing=FlagIdNotFound(flag_id, access.slug))
    apply(session, access=access, changes=[Change(target, edit, precondition)])


def roll_back(
    session: Session,
    *,
    access: Access,
    flag_id: int,
    version: int,
    message: str | None,
    accepted: bool,
) -> Written:
    """Give a flag the definition of an old version; raises FlagVersionNotFound, WouldRebucket."""
    target = require_place(session, access=access, flag_id=flag_id)

    def edit(stored: Stored) -> Edited:
        row = versions_crud.get_version(session, object_id=stored.id, version=version)
        if row is None or row.content is None:
            raise FlagVersionNotFound(target.flag, version)
        old = json.loads(stored.read()) if stored.exists else None
        return _saved(
            stored, old, json.loads(row.content), accepted=accepted, action=Action.ROLLBACK
        )

    return _commit(session, access, target, edit, message, Precondition())


def require_flag(session: Session, *, access: Access, name: str, environment: str) -> AnyRow:
    """Return a flag by its name; raises OutsideScope, FlagNotFound."""
    access.require_flag(Permission.READ, name, environment)
    row = crud.get_flag(
        session, workspace_id=access.workspace_id, name=name, environment=environment
    )
    if row is None:
        raise FlagNotFound(name, environment, access.slug)
    return row


def require_place(session: Session, *, access: Access, flag_id: int) -> FlagTarget:
    """Return which flag an id means, also a deleted one; raises FlagIdNotFound, NotAllowed."""
    target = _place(session, access, flag_id)
    access.require_flag(Permission.READ, target.flag, target.environment)
    return target


def list_flags(
    session: Session, *, access: Access, environment: str | None, tag: str | None, text: str | None
) -> list[AnyRow]:
    """List the flags that a caller may see, by name; in one environment or in all."""
    access.require(Permission.READ)
    rows = crud.list_flags(
        session,
        workspace_id=access.workspace_id,
        environments=None if environment is None else [environment],
    )
    return [
        row
        for row in rows
        if _is_covered(access, row)
        and (text is None or text in row.name)
        and (tag is None or tag in json.loads(row.content).get("tags", ()))
    ]


def _place(session: Session, access: Access, flag_id: int) -> FlagTarget:
    """Return which flag an id means; ids beyond a key's scope are as if absent."""
    row = crud.get_place(session, workspace_id=access.workspace_id, flag_id=flag_id)
    if row is None or not _is_covered(access, row):
        raise FlagIdNotFound(flag_id, access.slug)
    return FlagTarget(row.name, row.environment)


def _is_covered(access: Access, row: AnyRow) -> bool:
    return access.scopes.covers_flag(row.name, row.environment, to_write=False)


def _commit(
    session: Session,
    access: Access,
    target: FlagTarget,
    edit: Edit,
    message: str | None,
    precondition: Precondition,
    *,
    creates: bool = False,
) -> Written:
    change = Change(target, edit, precondition, creates=creates)
    applied = apply(session, access=access, changes=[change], message=message)
    stored = applied.pending[target].stored
    row = crud.get_flag_by_id(session, workspace_id=access.workspace_id, flag_id=stored.id)
    assert row is not None
    members = presenters.flag(row)
    return Written(members, etag_of(row))


def etag_of(row: AnyRow) -> str:
    """Return the tag of a stored flag."""
    return f'"d{row.id}-{row.version}"'


def _said(old: Definition, said: FlagMembers) -> dict[str, Any]:
    """Return the definition that a body asks for; what it leaves out stays."""
    given = said.model_dump(mode="json", include={*PLAIN}, exclude_unset=True)
    new = {**old, **given}
    new = {name: value for name, value in new.items() if value is not None}
    if said.rules is not None:
        return new | {"rules": [_with_id(rule) for rule in said.rules]}
    names = {"rollout_percentage", "target_users"} & said.model_fields_set
    view = view_of(old) if "rules" in old else None
    if names and view is not None and not view.is_representable:
        raise InvalidFlag(_beyond(min(names)))
    if not names and view is not None:
        return new
    users, percentage = said.target_users, said.rollout_percentage
    if view is not None:
        users = users if "target_users" in names else view.target_users
        percentage = percentage if "rollout_percentage" in names else view.rollout_percentage
    try:
        return new | {"rules": rules_of(new, users, percentage)}
    except RuleError as error:
        raise InvalidFlag(error) from None


def _beyond(name: str) -> RuleError:
    message = "is read-only: the rules of this flag say more than it can; write rules"
    return RuleError(Code.INVALID_FLAG, (name,), message)


def _with_id(rule: Any) -> Any:
    if isinstance(rule, dict) and rule.get("id") is None:
        return {
            "id": secrets.token_hex(RULE_ID_BYTES),
            **{k: v for k, v in rule.items() if k != "id"},
        }
    return rule


def _saved(
    stored: Stored,
    old: Definition | None,
    wanted: Definition,
    *,
    accepted: bool,
    action: Action | None = None,
) -> Edited:
    """Return the edit's outcome: splits laid out, and nobody moved unless that is accepted."""
    try:
        new = with_ranges(old, wanted)
    except RuleError as error:
        raise InvalidFlag(error) from None
    if old is not None and not accepted:
        try:
            reason = rebuckets(old, new)
        except (KeyError, TypeError):  # not a definition; the check of the commit says why
            reason = None
        if reason is not None:
            raise WouldRebucket(str(reason))
    return edits.store(new, action=action)(stored)
