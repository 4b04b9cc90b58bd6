"""Workspaces: creating, changing and deleting them; who belongs to them; their services."""

from sqlalchemy.orm import Session

from app.auth.deps import Caller
from app.auth.errors import UserNotFound
from app.core.db import AnyRow
from app.models import Service, Workspace
from app.outbox import events
from app.workspaces import crud
from app.workspaces.deps import Access
from app.workspaces.errors import (
    BeyondScope,
    LastOwner,
    MemberNotFound,
    OwnersOnly,
    ProtectedEnvironment,
    ServiceExists,
    ServiceNotFound,
    UserDisabled,
    WorkspaceExists,
    WorkspaceFixed,
    WorkspaceNotFound,
)
from app.workspaces.names import DEFAULT
from app.workspaces.permissions import Permission
from app.workspaces.schemas import WorkspaceCreate, WorkspaceUpdate
from app.workspaces.scopes import Place, covered

ENVIRONMENTS = ("development", "staging", "production")
OWNER = "owner"
MEMBERS_NEED = frozenset(Permission) - {Permission.METRICS}
"""What a key must hold to give roles, each of which may hold this much."""


def create_workspace(
    session: Session,
    *,
    slug: str,
    name: str,
    owner_id: int | None = None,
    actor: tuple[int | None, str] = (None, "system"),
) -> Workspace:
    """Create a workspace with the three first environments. The slug is unique (409)."""
    workspace = crud.create_workspace(session, slug=slug, name=name, owner_id=owner_id, actor=actor)
    for stage in ENVIRONMENTS:
        content = {"name": stage, "description": "", "protected": False}
        crud.create_environment(session, workspace_id=workspace.id, content=content)
    return workspace


def require_default(session: Session) -> Workspace:
    """Return the workspace `default`, which every server has."""
    workspace = crud.get_workspace(session, slug=DEFAULT)
    if workspace is None:
        raise WorkspaceNotFound(DEFAULT)
    return workspace


def open_workspace(session: Session, *, caller: Caller, new: WorkspaceCreate) -> Workspace:
    """Create a shared workspace, owned by the caller. The slug is unique, of users too (409)."""
    if crud.is_slug_taken(session, slug=new.slug):
        raise WorkspaceExists
    workspace = create_workspace(
        session,
        slug=new.slug,
        name=new.name or new.slug,
        actor=(caller.user_id, caller.username),
    )
    if caller.user_id is not None:
        crud.create_member(session, workspace_id=workspace.id, user_id=caller.user_id, role=OWNER)
    _record(session, caller, workspace.id, "create", "workspace", workspace.id, slug=new.slug)
    return workspace


def update_workspace(session: Session, *, access: Access, change: WorkspaceUpdate) -> Workspace:
    """Change slug and name; all else stays. Raises WorkspaceFixed, WorkspaceExists."""
    if not access.scopes.everywhere:
        raise BeyondScope("change the workspace")
    workspace = _lock(session, access)
    before = workspace.slug
    if change.slug is not None and change.slug != before:
        if _is_fixed(workspace):
            raise WorkspaceFixed
        if crud.is_slug_taken(session, slug=change.slug):
            raise WorkspaceExists
        workspace.slug = change.slug
    if change.name is not None:
        workspace.name = change.name
    if session.is_modified(workspace):
        session.flush()
        crud.count_rights(session, workspace_id=workspace.id)
        detail = {"slug": workspace.slug, "before": before, "name": workspace.name}
        _record(session, access.caller, workspace.id, "update", "workspace", workspace.id, **detail)
    return workspace


def delete_workspace(session: Session, *, access: Access) -> None:
    """Delete a workspace, for its owners. Its rows stay; nobody gets at them any more."""
    _require_owner(access)
    workspace = _lock(session, access)
    if _is_fixed(workspace):
        raise WorkspaceFixed
    crud.delete_workspace(session, workspace_id=workspace.id)
    _record(
        session,
        access.caller,
        workspace.id,
        "delete",
        "workspace",
        workspace.id,
        slug=workspace.slug,
    )


def require_workspace(session: Session, *, access: Access) -> Workspace:
    """Return the workspace of an access; it may have been deleted just now."""
    workspace = crud.get_workspace_by_id(session, workspace_id=access.workspace_id)
    if workspace is None:
        raise WorkspaceNotFound(access.slug)
    return workspace


def require_member(session: Session, *, access: Access, username: str) -> AnyRow:
    """Return a member by name or raise MemberNotFound."""
    member = crud.get_member(session, workspace_id=access.workspace_id, username=username)
    if member is None:
        raise MemberNotFound(access.slug)
    return member


def set_member(session: Session, *, access: Access, username: str, role: str) -> AnyRow:
    """Give a user a role. Raises UserNotFound, UserDisabled, OwnersOnly, LastOwner."""
    _require_membership_rights(access)
    workspace = _lock(session, access)
    user = crud.find_user(session, username=username)
    if user is None:
        raise UserNotFound
    if user.disabled:
        raise UserDisabled
    where = {"workspace_id": workspace.id, "user_id": user.id}
    member = crud.get_member(session, workspace_id=workspace.id, username=username)
    if member is not None and member.role == role:
        return member
    if role == OWNER:
        _require_owner(access)
    if member is None:
        crud.create_member(session, **where, role=role)
        _record(
            session,
            access.caller,
            workspace.id,
            "create",
            "member",
            user.id,
            user=user.username,
            role=role,
        )
    else:
        _check_leaving(session, access, workspace, member)
        crud.update_member(session, **where, role=role)
        _record(
            session,
            access.caller,
            workspace.id,
            "update",
            "member",
            user.id,
            user=user.username,
            role=role,
            before=member.role,
        )
    return require_member(session, access=access, username=username)


def remove_member(session: Session, *, access: Access, username: str) -> None:
    """End a membership; members may end their own. Raises MemberNotFound, OwnersOnly, LastOwner."""
    workspace = _lock(session, access)
    member = crud.get_member(session, workspace_id=workspace.id, username=username)
    if member is None or member.user_id != access.caller.user_id:
        _require_membership_rights(access)
    if member is None:
        raise MemberNotFound(access.slug)
    _check_leaving(session, access, workspace, member)
    crud.delete_member(session, workspace_id=workspace.id, user_id=member.user_id)
    _record(
        session,
        access.caller,
        workspace.id,
        "delete",
        "member",
        member.user_id,
        user=member.username,
        before=member.role,
    )


def rename_service(session: Session, *, access: Access, name: str, new: str) -> Service:
    """Rename a service. Its id, history and grants stay. Raises ServiceNotFound, ServiceExists."""
    scopes = access.scopes
    reached = all(covered(one, scopes.services) for one in (name, new))
    if not reached or not covered(None, scopes.environments):
        raise BeyondScope("rename that service")
    service = crud.lock_service(session, workspace_id=access.workspace_id, name=name)
    if service is None:
        raise ServiceNotFound(access.slug)
    if new == name:
        return service
    if crud.has_service(session, workspace_id=access.workspace_id, name=new):
        raise ServiceExists
    crud.rename_service(session, service=service, name=new)
    _record(
        session,
        access.caller,
        access.workspace_id,
        "update",
        "service",
        service.id,
        service=new,
        before=name,
    )
    return service


def _lock(session: Session, access: Access) -> Workspace:
    workspace = crud.lock_workspace(session, workspace_id=access.workspace_id)
    if workspace is None:
        raise WorkspaceNotFound(access.slug)
    return workspace


def _is_fixed(workspace: Workspace) -> bool:
    return workspace.owner_id is not None or workspace.slug == DEFAULT


def _require_owner(access: Access) -> None:
    if access.role != OWNER and not access.caller.admin:
        raise OwnersOnly


def _require_membership_rights(access: Access) -> None:
    access.require(Permission.ADMIN)
    if not (access.scopes.actions >= MEMBERS_NEED and access.scopes.everywhere):
        raise BeyondScope("manage members")


def _check_leaving(session: Session, access: Access, workspace: Workspace, member: AnyRow) -> None:
    """Check that a member may lose the present role."""
    if member.role != OWNER:
        return
    _require_owner(access)
    if member.user_id == workspace.owner_id:
        raise WorkspaceFixed
    if not crud.has_owner_beside(session, workspace_id=workspace.id, user_id=member.user_id):
        raise LastOwner


def require_publish(session: Session, access: Access, place: Place) -> None:
    """Raise ProtectedEnvironment for a level in one, unless the caller may publish."""
    name = place.environment
    if name is None or access.allows(Permission.PUBLISH):
        return
    if crud.is_protected(session, workspace_id=access.workspace_id, name=name):
        raise ProtectedEnvironment(name)


def _record(
    session: Session,
    caller: Caller,
    workspace_id: int,
    action: str,
    resource_type: str,
    resource_id: int,
    **detail: object,
) -> None:
    events.record(
        session,
        events.Happened(
            action=action,
            resource_type=resource_type,
            resource_id=str(resource_id),
            actor_id=caller.user_id,
            actor_name=caller.username,
            workspace_id=workspace_id,
            detail=detail,
        ),
    )
