"""The right to a workspace as a parameter type: a route that names one has had it proved."""

import re
from dataclasses import dataclass
from typing import Annotated

from anyio import sleep
from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.auth.deps import ANONYMOUS, OPEN, Caller, TokenDep, caller_of
from app.auth.errors import InvalidToken, LoginRequired
from app.auth.tokens import Token
from app.core import db
from app.core.db import AnyRow
from app.core.errors import Invalid
from app.core.routing import SessionDep
from app.core.schemas import MAX_ID, Id
from app.core.settings import get_settings
from app.outbox.recorder import recorder
from app.workspaces import crud
from app.workspaces.errors import (
    ForeignUser,
    NotAllowed,
    RevisionNotReached,
    UnknownEpoch,
    WorkspaceNotFound,
)
from app.workspaces.permissions import Permission, permissions
from app.workspaces.service import DEFAULT

MIN_REVISION_WAIT = 2.0
MIN_REVISION_POLL = 0.05

WorkspaceSlug = Annotated[
    str | None,
    Query(alias="workspace", max_length=64, description="Another workspace than your own"),
]
TargetUser = Annotated[
    Id | None, Query(description="Admins: act in the personal workspace of this user")
]
MinRevision = Annotated[
    str | None,
    Query(
        pattern=r"^(?:[0-9a-f]{1,32}-)?[0-9]{1,16}$",
        description="Wait up to 2 s until this revision (`n` or `epoch-n`) is here",
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """Proof that a caller may act in a workspace with a role."""

    caller: Caller
    workspace_id: int
    slug: str
    owner_id: int | None
    role: str
    head: int
    epoch: str

    def allows(self, permission: Permission) -> bool:
        """Say whether the role includes a permission."""
        return permission in permissions(self.role)

    def count_read(self, resource_type: str, resource: str) -> None:
        """Count a read for the audit, off the request's path."""
        recorder.count_read(
            workspace_id=self.workspace_id,
            actor_id=self.caller.user_id,
            actor_name=self.caller.username,
            resource_type=resource_type,
            resource=resource,
        )

    def require(self, permission: Permission) -> None:
        """Raise NotAllowed without the permission, LoginRequired when nobody is logged in."""
        if not self.allows(permission):
            if self.caller == ANONYMOUS:
                raise LoginRequired
            raise NotAllowed(self.role, permission.value.replace("_", " "), self.slug)


def open_access(
    session: Session, *, token: Token | None, slug: str | None, target_user_id: int | None
) -> Access:
    """Prove the caller's right to the workspace that the call names.

    Raises InvalidToken, LoginRequired, ForeignUser, WorkspaceNotFound.
    """
    if token is not None:
        return _access_of_login(session, token=token, slug=slug, owner_id=target_user_id)
    settings = get_settings()
    if settings.auth_enabled and not settings.anonymous_reads:
        raise LoginRequired
    caller, role = (ANONYMOUS, "viewer") if settings.auth_enabled else (OPEN, "owner")
    wanted = slug or DEFAULT
    row = crud.get_open_access(session, slug=wanted)
    if row is None or (settings.auth_enabled and wanted != DEFAULT):
        raise LoginRequired
    return _access(row, caller, role)


def _access_of_login(
    session: Session, *, token: Token, slug: str | None, owner_id: int | None
) -> Access:
    row = crud.get_login_access(session, jti=token.jti, slug=slug, owner_id=owner_id)
    if row is None:
        raise InvalidToken
    caller = caller_of(row, token)
    if owner_id is not None and owner_id != caller.user_id and not caller.admin:
        raise ForeignUser
    role = "admin" if caller.admin and row.member_role is None else row.member_role
    if row.workspace_id is None or role is None:
        raise WorkspaceNotFound(slug or f"of user {owner_id}")
    return _access(row, caller, role)


def _access(row: AnyRow, caller: Caller, role: str) -> Access:
    return Access(
        caller=caller,
        workspace_id=row.workspace_id,
        slug=row.slug,
        owner_id=row.owner_id,
        role=role,
        head=row.revision,
        epoch=row.epoch,
    )


def get_access(session: SessionDep, token: TokenDep, workspace: WorkspaceSlug = None) -> Access:
    """Return the caller's access to the workspace of the call."""
    access = open_access(session, token=token, slug=workspace, target_user_id=None)
    session.info["access"] = access
    return access


def get_target_access(
    session: SessionDep,
    token: TokenDep,
    workspace: WorkspaceSlug = None,
    target_user_id: TargetUser = None,
) -> Access:
    """Return the caller's access, which may be to another user's personal workspace."""
    access = open_access(session, token=token, slug=workspace, target_user_id=target_user_id)
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
    request: Request, token: TokenDep, min_revision: MinRevision = None
) -> None:
    """Hold a read until the workspace has reached `min_revision`, 2 s at most."""
    if min_revision is None:
        return
    slug = request.query_params.get("workspace")
    epoch, _, number = min_revision.rpartition("-")
    for _attempt in range(round(MIN_REVISION_WAIT / MIN_REVISION_POLL)):
        access = await run_in_threadpool(_peek, request, token, slug)
        if epoch and epoch != access.epoch:
            raise UnknownEpoch(access.epoch)
        if access.head >= int(number):
            return
        async with request.app.state.admission.stepped_aside():
            await sleep(MIN_REVISION_POLL)
    raise RevisionNotReached(int(number), access.head)


def _peek(request: Request, token: Token | None, slug: str | None) -> Access:
    target = request.query_params.get("target_user_id", "")
    owner_id = int(target) if re.fullmatch(r"[0-9]{1,16}", target) else None
    if owner_id is not None and not 1 <= owner_id <= MAX_ID:
        raise Invalid("target_user_id is out of range.", loc=("query", "target_user_id"))
    with db.transaction() as session:
        return open_access(session, token=token, slug=slug, target_user_id=owner_id)


ReadAccess = Annotated[Access, Depends(require_read)]
WriteAccess = Annotated[Access, Depends(require_write)]
Waited = Depends(wait_for_revision)
