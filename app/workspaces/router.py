"""`/api/v1/workspaces`: workspaces, their members and their services."""

from fastapi import APIRouter

from app.auth.deps import AnyCaller
from app.auth.errors import LoginRequired
from app.core.db import AnyRow
from app.core.pagination import after, after_name, next_cursor, next_name_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import PAGE_SIZE, Cursor, Limit, problems
from app.idempotency.deps import Idempotent
from app.models import Workspace
from app.workspaces import crud, service
from app.workspaces.deps import (
    Access,
    OwnAccess,
    PathAccess,
    PathAdminAccess,
    PathReadAccess,
)
from app.workspaces.permissions import Permission
from app.workspaces.schemas import (
    MemberList,
    MemberRead,
    MemberUpdate,
    NameCursor,
    Prefix,
    ServiceInPath,
    ServiceList,
    ServiceRead,
    ServiceUpdate,
    UserName,
    WorkspaceCreate,
    WorkspaceList,
    WorkspaceRead,
    WorkspaceUpdate,
)

router = APIRouter(prefix="/api/v1/workspaces", tags=["workspaces"], route_class=Route)


@router.get("", response_model=WorkspaceList, responses=problems(401, 403))
def list_workspaces(
    session: SessionDep, access: OwnAccess, limit: Limit = PAGE_SIZE, cursor: Cursor = None
) -> WorkspaceList:
    """List the workspaces that you belong to; a global admin's: all; an API key's: its own."""
    access.require(Permission.READ)
    caller = access.caller
    is_person = caller.user_id is not None or caller.admin
    rows = crud.list_workspaces(
        session,
        user_id=caller.user_id,
        everything=caller.admin,
        only=None if is_person else access.workspace_id,
        after=after(cursor),
        limit=limit,
    )
    otherwise = "admin" if caller.user_id is not None else access.role
    return WorkspaceList(
        workspaces=[
            present(row.Workspace, role=row.role or otherwise, revision=row.revision)
            for row in rows
        ],
        next_cursor=next_cursor([row.Workspace.id for row in rows], limit=limit),
    )


@router.post("", status_code=201, response_model=WorkspaceRead, responses=problems(401, 403, 409))
def create_workspace(
    body: WorkspaceCreate, session: SessionDep, caller: AnyCaller, _: Idempotent
) -> WorkspaceRead:
    """Create a workspace, of which you are the owner, with three environments."""
    if caller.user_id is None and not caller.admin:
        raise LoginRequired
    workspace = service.open_workspace(session, caller=caller, new=body)
    return present(workspace, role="owner", revision=0)


@router.get("/{slug}", response_model=WorkspaceRead, responses=problems(401, 403, 404))
def get_workspace(session: SessionDep, access: PathReadAccess) -> WorkspaceRead:
    """Get a workspace."""
    workspace = service.require_workspace(session, access=access)
    return present(workspace, role=access.role, revision=access.head)


@router.patch("/{slug}", response_model=WorkspaceRead, responses=problems(401, 403, 404, 409))
def update_workspace(
    body: WorkspaceUpdate, session: SessionDep, access: PathAdminAccess
) -> WorkspaceRead:
    """Change a workspace's name or slug; its ids, history and grants stay.

    Personal workspaces and `default` keep their slug.
    """
    workspace = service.update_workspace(session, access=access, change=body)
    return present(workspace, role=access.role, revision=access.head)


@router.delete("/{slug}", status_code=204, responses=problems(401, 403, 404, 409))
def delete_workspace(session: SessionDep, access: PathAdminAccess) -> None:
    """Delete a workspace (its owners, global admins). Its API keys end with it."""
    service.delete_workspace(session, access=access)


@router.get("/{slug}/members", response_model=MemberList, responses=problems(401, 403, 404))
def list_members(
    session: SessionDep, access: PathReadAccess, limit: Limit = PAGE_SIZE, cursor: Cursor = None
) -> MemberList:
    """List the members of a workspace; its admins see their e-mail addresses."""
    rows = crud.list_members(
        session, workspace_id=access.workspace_id, after=after(cursor), limit=limit
    )
    return MemberList(
        members=[present_member(row, access) for row in rows],
        next_cursor=next_cursor([row.user_id for row in rows], limit=limit),
    )


@router.get("/{slug}/members/{user}", response_model=MemberRead, responses=problems(401, 403, 404))
def get_member(user: UserName, session: SessionDep, access: PathReadAccess) -> MemberRead:
    """Get a member."""
    row = service.require_member(session, access=access, username=user)
    return present_member(row, access)


@router.put(
    "/{slug}/members/{user}", response_model=MemberRead, responses=problems(401, 403, 404, 409)
)
def set_member(
    user: UserName, body: MemberUpdate, session: SessionDep, access: PathAdminAccess
) -> MemberRead:
    """Add a user to a workspace, or change the role; only owners make or unmake owners."""
    row = service.set_member(session, access=access, username=user, role=body.role)
    return present_member(row, access)


@router.delete("/{slug}/members/{user}", status_code=204, responses=problems(401, 403, 404, 409))
def remove_member(user: UserName, session: SessionDep, access: PathAccess) -> None:
    """Remove a member; you may remove yourself. The last owner stays."""
    service.remove_member(session, access=access, username=user)


@router.get("/{slug}/services", response_model=ServiceList, responses=problems(401, 403, 404))
def list_services(
    session: SessionDep,
    access: PathReadAccess,
    prefix: Prefix = "",
    limit: Limit = PAGE_SIZE,
    cursor: NameCursor = None,
) -> ServiceList:
    """List services by name; an API key sees those that its scopes cover."""
    services = crud.list_services(
        session,
        workspace_id=access.workspace_id,
        patterns=access.scopes.services,
        prefix=prefix,
        after=after_name(cursor),
        limit=limit,
    )
    return ServiceList(
        services=[ServiceRead.model_validate(one) for one in services],
        next_cursor=next_name_cursor([one.name for one in services], limit=limit),
    )


@router.patch(
    "/{slug}/services/{name}",
    response_model=ServiceRead,
    responses=problems(401, 403, 404, 409),
)
def rename_service(
    name: ServiceInPath, body: ServiceUpdate, session: SessionDep, access: PathAdminAccess
) -> object:
    """Rename a service: its id and history stay, and API keys that name it follow."""
    return service.rename_service(session, access=access, name=name, new=body.name)


def present(workspace: Workspace, *, role: str, revision: int) -> WorkspaceRead:
    """Return a workspace for the wire."""
    return WorkspaceRead(
        id=workspace.id,
        slug=workspace.slug,
        name=workspace.name,
        personal=workspace.owner_id is not None,
        role=role,
        created_at=workspace.created_at,
        revision=revision,
    )


def present_member(row: AnyRow, access: Access) -> MemberRead:
    """Return a member for the wire; the address is for admins."""
    member = MemberRead.model_validate(row)
    if not access.allows(Permission.ADMIN):
        member.email = None
    return member
