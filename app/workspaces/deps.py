"""The right to a workspace as a parameter type: a route that names one has had it proved."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from anyio import sleep
from fastapi import Depends, Path, Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.auth import keys
from app.auth.deps import (
    ANONYMOUS,
    OPEN,
    Caller,
    Credential,
    CredentialDep,
    KeyDigest,
    caller_of,
)
from app.auth.errors import ApiKeyExpired, InvalidApiKey, InvalidToken, LoginRequired
from app.auth.tokens import Token
from app.core import context, db
from app.core.db import AnyRow
from app.core.errors import Invalid
from app.core.routing import SessionDep
from app.core.schemas import MAX_ID, Id
from app.core.settings import get_settings
from app.outbox.events import Happened
from app.outbox.recorder import recorder
from app.workspaces import crud
from app.workspaces.errors import (
    AddressNotAllowed,
    FlagOutsideScope,
    ForeignUser,
    NotAllowed,
    OutsideScope,
    RevisionNotReached,
    UnknownEpoch,
    WorkspaceNotFound,
)
from app.workspaces.names import DEFAULT, Level
from app.workspaces.permissions import Permission, permissions
from app.workspaces.scopes import ANY, Place, Scopes, covered

MIN_REVISION_WAIT = 2.0
MIN_REVISION_POLL = 0.05
KEY_ROLE = "API key"
BOOTSTRAP = Scopes(frozenset(Permission))

WorkspaceSlug = Annotated[
    str | None,
    Query(alias="workspace", max_length=64, description="Another workspace than your own"),
]
PathSlug = Annotated[str, Path(max_length=64, description="The workspace")]
TargetUser = Annotated[
    Id | None, Query(description="Admins: act in the personal workspace of this user")
]
MIN_REVISION = re.compile(r"^(?:[0-9a-f]{1,32}-)?[0-9]{1,16}$")
MinRevision = Annotated[
    str | None,
    Query(
        pattern=MIN_REVISION.pattern,
        description="Wait up to 2 s until this revision (`n` or `epoch-n`) is here",
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """Proof of what a caller may do in a workspace: by a role, or as far as a key's scopes go."""

    caller: Caller
    workspace_id: int
    slug: str
    owner_id: int | None
    role: str
    head: int
    epoch: str
    scopes: Scopes
    rights: int = 0
    """The workspace's count of what changed for callers without a revision."""
    lasts: float | None = None
    """Seconds until an API key ends, by the database's clock; None: it does not."""

    @property
    def is_operator(self) -> bool:
        """Say whether this is an admin of the whole server, or the key API_KEY."""
        return self.caller.admin or self.scopes is BOOTSTRAP

    def allows(self, permission: Permission, place: Place | None = None) -> bool:
        """Say whether an action is allowed, at a level if one is given."""
        allowed = permission in self.scopes.actions
        return allowed and (place is None or self.scopes.covers(place))

    def require_flag(self, permission: Permission, flag: str, environment: str) -> None:
        """Raise NotAllowed, OutsideScope, FlagOutsideScope."""
        self.require(permission)
        to_write = permission is not Permission.READ
        if not self.scopes.covers_flag(flag, environment, to_write=to_write):
            if not covered(environment, self.scopes.environments):
                raise OutsideScope(Level(None, environment))
            raise FlagOutsideScope(f"the flag {flag!r} in {environment}")

    def require_segments(self, permission: Permission, place: Place | None = None) -> None:
        """Raise NotAllowed, OutsideScope; FlagOutsideScope if the key is for some flags only."""
        self.require(permission, place)
        if ANY not in self.scopes.flags:
            raise FlagOutsideScope("segments, which decide in all flags")

    def until(self, since: float) -> float:
        """Return when the credential ends, on the clock by which it was asked for at `since`."""
        return math.inf if self.lasts is None else since + self.lasts

    def count_read(self, resource_type: str, resource: str) -> None:
        """Count a read for the audit, off the request's path."""
        recorder.count_read(
            workspace_id=self.workspace_id,
            actor_id=self.caller.user_id,
            actor_name=self.caller.username,
            resource_type=resource_type,
            resource=resource,
        )

    def happened(
        self,
        action: str,
        resource_type: str,
        resource_id: str | None = None,
        *,
        place: Place | None = None,
        **more: Any,
    ) -> Happened:
        """Return the fact that the caller did something here, at a level if one is given."""
        return Happened(
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            actor_id=self.caller.user_id,
            actor_name=self.caller.username,
            workspace_id=self.workspace_id,
            service=place.name if place else None,
            environment=place.environment if place else None,
            **more,
        )

    def require(self, permission: Permission, place: Place | None = None) -> None:
        """Raise NotAllowed without the permission, OutsideScope where the key does not reach.

        LoginRequired when nobody is logged in.
        """
        if permission not in self.scopes.actions:
            if self.caller == ANONYMOUS:
                raise LoginRequired
            raise NotAllowed(self.role, permission.value.replace("_", " "), self.slug)
        if place is not None and not self.scopes.covers(place):
            raise OutsideScope(place)


def open_access(
    session: Session, *, credential: Credential | None, slug: str | None, target_user_id: int | None
) -> Access:
    """Prove the caller's right to the workspace that the call names.

    Raises InvalidToken, InvalidApiKey, ApiKeyExpired, AddressNotAllowed, LoginRequired,
    ForeignUser, WorkspaceNotFound.
    """
    if isinstance(credential, KeyDigest):
        access = _access_of_key(session, digest=credential.digest)
        if target_user_id is not None:
            raise ForeignUser
        if slug not in {None, access.slug}:
            raise WorkspaceNotFound(slug or "")
        return access
    if credential is not None:
        return _access_of_login(session, token=credential, slug=slug, owner_id=target_user_id)
    return _access_of_nobody(session, slug=slug or DEFAULT)


def _access_of_nobody(session: Session, *, slug: str) -> Access:
    settings = get_settings()
    if settings.auth_enabled and not settings.anonymous_reads:
        raise LoginRequired
    caller, role = (ANONYMOUS, "viewer") if settings.auth_enabled else (OPEN, "owner")
    row = crud.get_open_access(session, slug=slug)
    if row is None or (settings.auth_enabled and slug != DEFAULT):
        raise LoginRequired
    return _access(row, caller, role, Scopes(permissions(role)))


def _access_of_login(
    session: Session, *, token: Token, slug: str | None, owner_id: int | None
) -> Access:
    if slug is not None and owner_id is not None:
        raise Invalid(
            "Give either workspace or target_user_id: both name a workspace.",
            loc=("query", "target_user_id"),
        )
    row = crud.get_login_access(session, jti=token.jti, slug=slug, owner_id=owner_id)
    if row is None:
        raise InvalidToken
    caller = caller_of(row, token)
    if owner_id is not None and owner_id != caller.user_id and not caller.admin:
        raise ForeignUser
    role = "admin" if caller.admin and row.member_role is None else row.member_role
    if row.workspace_id is None or role is None:
        raise WorkspaceNotFound(slug or f"of user {owner_id}")
    return _access(row, caller, role, Scopes(permissions(role)))


def _access_of_key(session: Session, *, digest: str) -> Access:
    if keys.is_bootstrap(digest):
        row = crud.get_open_access(session, slug=DEFAULT)
        if row is None:
            raise InvalidApiKey
        return _access(row, Caller(username="key:bootstrap"), KEY_ROLE, BOOTSTRAP)
    row = crud.get_key_access(session, digest=digest)
    if row is None:
        raise InvalidApiKey
    if row.expired:
        raise ApiKeyExpired
    key = row.ApiKey
    scopes = Scopes.of(key)
    if not scopes.admits(context.current().address):
        raise AddressNotAllowed
    recorder.used(key.id)
    caller = Caller(username=f"key:{key.name}", key_id=key.id)
    return _access(row, caller, KEY_ROLE, scopes, None if row.lasts is None else float(row.lasts))


def _access(
    row: AnyRow, caller: Caller, role: str, scopes: Scopes, lasts: float | None = None
) -> Access:
    return Access(
        caller=caller,
        workspace_id=row.workspace_id,
        slug=row.slug,
        owner_id=row.owner_id,
        role=role,
        head=row.revision,
        epoch=row.epoch,
        scopes=scopes,
        rights=row.rights,
        lasts=lasts,
    )


def get_access(
    session: SessionDep, credential: CredentialDep, workspace: WorkspaceSlug = None
) -> Access:
    """Return the caller's access to the workspace of the call."""
    access = open_access(session, credential=credential, slug=workspace, target_user_id=None)
    session.info["access"] = access
    return access


def get_target_access(
    session: SessionDep,
    credential: CredentialDep,
    workspace: WorkspaceSlug = None,
    target_user_id: TargetUser = None,
) -> Access:
    """Return the caller's access, which may be to another user's personal workspace."""
    access = open_access(
        session, credential=credential, slug=workspace, target_user_id=target_user_id
    )
    session.info["access"] = access
    return access


AnyAccess = Annotated[Access, Depends(get_access)]
TargetAccess = Annotated[Access, Depends(get_target_access)]


async def require_read(access: TargetAccess) -> Access:
    """Return the access, which must include reading."""
    access.require(Permission.READ)
    return access


async def require_write(access: TargetAccess) -> Access:
    """Return the access, which must include writing."""
    access.require(Permission.WRITE)
    return access


async def wait_for_revision(
    request: Request, credential: CredentialDep, min_revision: MinRevision = None
) -> None:
    """Hold a read until the workspace has reached `min_revision`, 2 s at most."""
    if min_revision is None:
        return
    slug = request.query_params.get("workspace")
    epoch, _, number = min_revision.rpartition("-")
    for _attempt in range(round(MIN_REVISION_WAIT / MIN_REVISION_POLL)):
        access = await run_in_threadpool(_peek, request, credential, slug)
        if epoch and epoch != access.epoch:
            raise UnknownEpoch(access.epoch)
        if access.head >= int(number):
            return
        async with request.app.state.admission.stepped_aside():
            await sleep(MIN_REVISION_POLL)
    raise RevisionNotReached(int(number), access.head)


def _peek(request: Request, credential: Credential | None, slug: str | None) -> Access:
    target = request.query_params.get("target_user_id", "")
    owner_id = int(target) if re.fullmatch(r"[0-9]{1,16}", target) else None
    if owner_id is not None and not 1 <= owner_id <= MAX_ID:
        raise Invalid("target_user_id is out of range.", loc=("query", "target_user_id"))
    with db.transaction() as session:
        access = open_access(session, credential=credential, slug=slug, target_user_id=owner_id)
    access.require(Permission.READ)
    return access


async def require_admin(access: AnyAccess) -> Access:
    """Return the access to the workspace of the call, which must include administration."""
    access.require(Permission.ADMIN)
    return access


def get_own_access(session: SessionDep, credential: CredentialDep) -> Access:
    """Return the access of a known caller to the own workspace."""
    return _known(session, credential, slug=None)


def get_path_access(session: SessionDep, credential: CredentialDep, slug: PathSlug) -> Access:
    """Return the access of a known caller to the workspace that the path names."""
    return _known(session, credential, slug=slug)


def _known(session: Session, credential: Credential | None, *, slug: str | None) -> Access:
    access = open_access(session, credential=credential, slug=slug, target_user_id=None)
    if access.caller == ANONYMOUS:
        raise LoginRequired
    session.info["access"] = access
    return access


OwnAccess = Annotated[Access, Depends(get_own_access)]
PathAccess = Annotated[Access, Depends(get_path_access)]


async def require_path_read(access: PathAccess) -> Access:
    """Return the access to the workspace of the path, which must include reading."""
    access.require(Permission.READ)
    return access


async def require_path_admin(access: PathAccess) -> Access:
    """Return the access to the workspace of the path, which must include administration."""
    access.require(Permission.ADMIN)
    return access


PathReadAccess = Annotated[Access, Depends(require_path_read)]
PathAdminAccess = Annotated[Access, Depends(require_path_admin)]
AdminAccess = Annotated[Access, Depends(require_admin)]
ReadAccess = Annotated[Access, Depends(require_read)]
WriteAccess = Annotated[Access, Depends(require_write)]
Waited = Depends(wait_for_revision)
