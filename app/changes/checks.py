"""What a commit must pass before it is written. Later features add theirs to `CHECKS`."""

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from app.changes.keys import members
from app.changes.pending import Pending
from app.changes.plan import Target
from app.changes.rulesets import rulesets
from app.configs.errors import (
    DocumentTooLarge,
    KeyNameTooLong,
    TooManyKeys,
)
from app.configs.levels import MAX_KEY, Level
from app.core.settings import get_settings
from app.formats import json
from app.models import Action
from app.secrets import markers
from app.secrets.errors import SecretDestroyed
from app.workspaces.deps import Access
from app.workspaces.errors import ProtectedEnvironment
from app.workspaces.permissions import Permission

Check = Callable[[Session, Access, Mapping[Target, Pending]], None]


def protection(_session: Session, access: Access, pending: Mapping[Target, Pending]) -> None:
    """Refuse changes in and of protected environments without the right to publish (403)."""
    if access.allows(Permission.PUBLISH):
        return
    for target, one in pending.items():
        if one.stored.protected:
            raise ProtectedEnvironment(target.environment or "")


def document_size(_session: Session, _access: Access, pending: Mapping[Target, Pending]) -> None:
    """Refuse documents that are too large (422)."""
    limit = get_settings().max_document_bytes
    for one in pending.values():
        content = one.edited.content
        if content is None or not one.writes:
            continue
        if len(content.encode()) + one.edited.hidden_bytes > limit:
            raise DocumentTooLarge(limit)


def key_count(_session: Session, _access: Access, pending: Mapping[Target, Pending]) -> None:
    """Refuse documents with too many keys (422)."""
    limit = get_settings().max_keys_per_document
    for target, one in pending.items():
        if isinstance(target, Level) and one.rows and len(members(one.edited)) > limit:
            raise TooManyKeys(limit)


def key_names(_session: Session, _access: Access, pending: Mapping[Target, Pending]) -> None:
    """Refuse names that no key can have (422)."""
    for one in pending.values():
        if any(len(name) > MAX_KEY for name in one.rows):
            raise KeyNameTooLong(MAX_KEY)


def destroyed_secrets(
    _session: Session, _access: Access, pending: Mapping[Target, Pending]
) -> None:
    """Refuse to bring destroyed values back (409), but for restoring what was around them."""
    keys = [
        name
        for one in pending.values()
        for name, row in one.rows.items()
        if one.edited.destroyed and row.value is not None and row.action is not Action.RESTORE
        if any(
            found.handle in one.edited.destroyed for found in markers.find(json.loads(row.value))
        )
    ]
    if keys:
        raise SecretDestroyed(keys)


CHECKS: tuple[Check, ...] = (
    protection,
    document_size,
    key_count,
    key_names,
    destroyed_secrets,
    rulesets,
)


def run(session: Session, *, access: Access, pending: Mapping[Target, Pending]) -> None:
    """Run all checks; the first that raises refuses the commit."""
    for check in CHECKS:
        check(session, access, pending)
