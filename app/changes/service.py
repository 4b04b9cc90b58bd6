"""The write pipeline: every change of every object, from every surface, goes through `apply`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.changes import checks, crud, kinds, sealing, writing
from app.changes.keys import KeyRow, key_rows, members
from app.changes.pending import Pending
from app.changes.plan import Change, Stored, StoredKey, Target
from app.changes.preconditions import check_precondition
from app.configs.levels import Level
from app.core import context
from app.core.db import AnyRow
from app.core.errors import Invalid
from app.formats import json
from app.outbox import events
from app.versions import crud as versions_crud
from app.workspaces.deps import Access


class DuplicateChange(Invalid):
    """One commit touches an object or a key once."""

    code, title = "duplicate_change", "Changed twice"


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key after a commit. `value` is JSON text, None when it is deleted."""

    id: int
    level: Level
    name: str
    value: str | None
    value_type: str
    description: str
    is_active: bool
    version: int
    revision: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a commit did. Without any difference no revision is taken: `at` is None."""

    access: Access
    pending: Mapping[Target, Pending]
    written: writing.Written | None

    @property
    def revision(self) -> int:
        """Return the revision that was taken, else the newest."""
        return self.written.revision if self.written else self.access.head

    @property
    def at(self) -> datetime | None:
        """Return when it was taken."""
        return self.written.at if self.written else None

    def version(self, target: Target) -> int:
        """Return the number of an object's current version."""
        stored = self.pending[target].stored
        written = self.written.versions if self.written else {}
        return written.get(stored.id, stored.version)

    def wrote(self, target: Target) -> bool:
        """Say whether an object got a version."""
        return self.written is not None and self.pending[target].stored.id in self.written.versions

    def key(self, level: Level, name: str) -> KeyState:
        """Return a key of a changed document as it is now."""
        pending = self.pending[level]
        row = pending.rows.get(name)
        old = pending.stored.keys().get(name)
        if row is not None and self.written is not None:
            return self._changed(level, row, old, self.written)
        assert old is not None
        document = members(pending.edited)
        value = json.dumps(document[name]) if name in document else old.parked
        return KeyState(
            old.id,
            level,
            name,
            value,
            old.value_type,
            old.description,
            old.is_active,
            old.version,
            old.revision,
            old.created_at,
            old.created_by,
            old.updated_at,
            old.updated_by,
        )

    def _changed(
        self, level: Level, row: KeyRow, old: StoredKey | None, written: writing.Written
    ) -> KeyState:
        key_id, version = written.keys[row.config_id, row.name]
        actor = self.access.caller.username
        return KeyState(
            key_id,
            level,
            row.name,
            row.value,
            row.value_type,
            row.description,
            row.is_active,
            version,
            written.revision,
            old.created_at if old else written.at,
            old.created_by if old else actor,
            written.at,
            actor,
        )


def apply(
    session: Session, *, access: Access, changes: Sequence[Change], message: str | None = None
) -> Applied:
    """Apply a list of changes as one commit: all of them, or none.

    Steps: authorize, lock (addresses of what is new, then objects by ascending id), check
    preconditions, edit, see which keys change, run the checks, write under the workspace's next
    revision. Raises NotAllowed, OutsideScope, DuplicateChange, UnknownEnvironment, what says
    that an object is missing, PreconditionFailed, and whatever an edit or a check raises; then
    the transaction must be rolled back.
    """
    targets = [change.target for change in changes]
    for target in targets:
        kinds.authorize(access, target)
    if len(set(targets)) != len(targets):
        raise DuplicateChange("The same object is changed twice.")
    stored = _lock(session, access=access, changes=changes)
    pending: dict[Target, Pending] = {}
    for change in changes:
        now = stored[change.target]
        check_precondition(change.precondition, now)
        edited = sealing.seal(session, access, change.target, now, change.edit(now))
        rows = key_rows(now, edited) if isinstance(change.target, Level) else []
        by_name = {row.name: row for row in rows}
        pending[change.target] = Pending(change.target, now, edited, by_name)
    checks.run(session, access=access, pending=pending)
    touched = [one for one in pending.values() if one.changes]
    if not touched:
        return Applied(access, pending, None)
    kinds.project(session, access=access, pending={one.target: one for one in touched})
    commit = _commit(access, message)
    items = [_item(one) for one in touched if one.writes]
    keys = [item for one in touched for item in _key_items(one)]
    written = writing.write(session, commit=commit, items=items, keys=keys)
    events.mark(session)
    session.info["revision"] = written.revision
    told = writing.told(commit, written, items, keys)
    session.info.setdefault("commits", []).append((access.workspace_id, told))
    session.info.setdefault("access", access)
    return Applied(access, pending, written)


def _commit(access: Access, message: str | None) -> writing.Commit:
    request = context.current()
    return writing.Commit(
        workspace_id=access.workspace_id,
        actor_id=access.caller.user_id,
        actor_name=access.caller.username,
        message=message,
        request_id=request.request_id,
        address=request.address,
        user_agent=request.user_agent,
    )


def _item(one: Pending) -> writing.Item:
    return writing.Item(
        id=one.stored.id,
        action=one.edited.action,
        content=one.edited.content,
        checksum=one.edited.checksum,
        resource_type=kinds.resource_type(one.target),
        service=kinds.service_of(one.target),
        environment=one.target.environment,
        noted=not one.edited.by_key,
        name=kinds.name_of(one.target),
    )


def _key_items(one: Pending) -> list[writing.KeyItem]:
    return [
        writing.KeyItem(row, one.target.name, one.target.environment, noted=one.edited.by_key)
        for row in one.rows.values()
    ]


def _lock(session: Session, *, access: Access, changes: Sequence[Change]) -> dict[Target, Stored]:
    """Lock everything that is touched, creating what may be created.

    The workspace's gate comes first (restoring a workspace closes it), then addresses of new
    objects, in order, then objects by ascending id, so that no two commits wait for each other
    in a circle.
    """
    workspace_id = access.workspace_id
    first = changes[0].target
    if len(changes) == 1 and isinstance(first, Level):
        row = crud.lock_config(session, workspace_id=workspace_id, level=first)
        if row is not None:
            return {first: _Loader(session, [row]).stored(row)}
        found: dict[Target, int] = {}
    else:
        crud.pass_gate(session, workspace_id=workspace_id)
        targets = [change.target for change in changes]
        found = kinds.find(session, workspace_id=workspace_id, targets=targets)
    missing = [change for change in changes if change.target not in found]
    for change in missing:
        if not change.creates:
            raise kinds.missing(change.target, access.slug)
    new: list[Target] = sorted((change.target for change in missing), key=str)
    if new:
        kinds.lock_addresses(session, workspace_id=workspace_id, targets=new)
        found |= kinds.find(session, workspace_id=workspace_id, targets=new)
    ids = sorted(found.values())
    rows = crud.lock_objects(session, ids=ids) if ids else []
    loader = _Loader(session, rows)
    by_id = {row.id: loader.stored(row) for row in rows}
    new = [target for target in new if target not in found]
    made = kinds.create(session, access=access, targets=new) if new else {}
    return {
        target: by_id[found[target]] if target in found else _new(access, *made[target])
        for target in (change.target for change in changes)
    }


def _new(access: Access, object_id: int, protected: bool) -> Stored:
    return Stored(
        id=object_id,
        version=0,
        checksum=None,
        created_by=access.caller.user_id,
        protected=protected,
        read=_nothing,
        keys=dict[str, StoredKey],
    )


def _nothing() -> str:
    raise AssertionError("a new object has no content to read")


class _Loader:
    """Keys and contents of everything that a commit locked, each loaded by the first who asks.

    In statements of their own, which see what the locks waited for.
    """

    def __init__(self, session: Session, rows: Sequence[AnyRow]) -> None:
        self._session = session
        self._rows = rows
        self._keys: dict[int, dict[str, StoredKey]] | None = None
        self._contents: dict[int, str] | None = None

    def keys(self, config_id: int) -> Mapping[str, StoredKey]:
        """Return the keys of a config by name."""
        if self._keys is None:
            ids = [row.id for row in self._rows]
            self._keys = crud.get_keys(self._session, config_ids=ids)
        return self._keys[config_id]

    def content(self, object_id: int) -> str:
        """Return the current content of an object that exists."""
        if self._contents is None:
            ids = [row.id for row in self._rows if row.checksum is not None]
            self._contents = versions_crud.get_contents(self._session, object_ids=ids)
        return self._contents[object_id]

    def stored(self, row: AnyRow) -> Stored:
        """Return the state of a locked object."""
        return Stored(
            id=row.id,
            version=row.version,
            checksum=row.checksum,
            created_by=row.created_by,
            protected=row.protected,
            read=lambda: self.content(row.id),
            keys=lambda: self.keys(row.id),
        )
