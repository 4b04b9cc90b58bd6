"""SQL of workspaces."""

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    any_,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.orm import Session, aliased

from app.auth.crud import select_login
from app.core import context
from app.core.db import AnyRow, AnySelect
from app.formats import json
from app.models import (
    Action,
    ApiKey,
    Environment,
    Epoch,
    Kind,
    Member,
    Object,
    Revision,
    Service,
    User,
    Version,
    Workspace,
    WorkspaceHead,
)
from app.workspaces.scopes import ANY

EPOCH = select(Epoch.epoch).order_by(Epoch.id.desc()).limit(1).scalar_subquery()


WANTED = {
    "owner": Workspace.owner_id == bindparam("wanted"),
    "slug": Workspace.slug == bindparam("wanted"),
    "home": Workspace.id == User.home_workspace_id,
}


@lru_cache
def _login_access(wanted: str) -> AnySelect:
    return (
        select_login()
        .add_columns(
            Workspace.id.label("workspace_id"),
            Workspace.slug,
            Workspace.owner_id,
            Member.role.label("member_role"),
            WorkspaceHead.revision,
            WorkspaceHead.rights,
            EPOCH.label("epoch"),
        )
        .outerjoin(Workspace, and_(WANTED[wanted], Workspace.deleted_at.is_(None)))
        .outerjoin(Member, and_(Member.workspace_id == Workspace.id, Member.user_id == User.id))
        .outerjoin(WorkspaceHead, WorkspaceHead.workspace_id == Workspace.id)
    )


def get_login_access(
    session: Session, *, jti: str, slug: str | None, owner_id: int | None
) -> AnyRow | None:
    """Return, in one query, the user of a session and the workspace that is asked for.

    That is the one with this slug, or the personal one of this user, or else the caller's
    own. Columns of the workspace are null when there is none; `member_role` when not a member.
    """
    values: dict[str, Any] = {"jti": jti}
    wanted = "owner" if owner_id is not None else "slug" if slug is not None else "home"
    if wanted != "home":
        values["wanted"] = owner_id if owner_id is not None else slug
    return session.connection().execute(_login_access(wanted), values).one_or_none()


def get_open_access(session: Session, *, slug: str) -> AnyRow | None:
    """Return a workspace for a caller without a login."""
    return session.execute(
        select(
            Workspace.id.label("workspace_id"),
            Workspace.slug,
            Workspace.owner_id,
            literal(None).label("member_role"),
            WorkspaceHead.revision,
            WorkspaceHead.rights,
            EPOCH.label("epoch"),
        )
        .join(WorkspaceHead, WorkspaceHead.workspace_id == Workspace.id)
        .where(Workspace.slug == slug, Workspace.deleted_at.is_(None))
    ).one_or_none()


_SHOWN = union_all(
    select(ApiKey.id, ApiKey.expires_at.label("until")).where(ApiKey.digest == bindparam("digest")),
    select(ApiKey.id, func.least(ApiKey.expires_at, ApiKey.previous_until)).where(
        ApiKey.previous_digest == bindparam("digest"), ApiKey.previous_until > func.now()
    ),
).subquery()
_KEY_ACCESS: AnySelect = (
    select(
        ApiKey,
        (ApiKey.expires_at <= func.now()).label("expired"),
        func.extract("epoch", _SHOWN.c.until - func.now()).label("lasts"),
        Workspace.id.label("workspace_id"),
        Workspace.slug,
        Workspace.owner_id,
        WorkspaceHead.revision,
        WorkspaceHead.rights,
        EPOCH.label("epoch"),
    )
    .join(_SHOWN, _SHOWN.c.id == ApiKey.id)
    .join(Workspace, Workspace.id == ApiKey.workspace_id)
    .join(WorkspaceHead, WorkspaceHead.workspace_id == Workspace.id)
    .where(ApiKey.revoked_at.is_(None), Workspace.deleted_at.is_(None))
)


def get_key_access(session: Session, *, digest: str) -> AnyRow | None:
    """Return, in one query, an API key that is not revoked and its workspace."""
    return session.execute(_KEY_ACCESS, {"digest": digest}).one_or_none()


def get_workspace(session: Session, *, slug: str) -> Workspace | None:
    """Return a workspace by slug."""
    return session.execute(
        select(Workspace).where(Workspace.slug == slug, Workspace.deleted_at.is_(None))
    ).scalar_one_or_none()


def create_workspace(
    session: Session, *, slug: str, name: str, owner_id: int | None, actor: tuple[int | None, str]
) -> Workspace:
    """Insert a workspace with its head at revision 0."""
    workspace = Workspace(slug=slug, name=name, owner_id=owner_id)
    session.add(workspace)
    session.flush()
    head = WorkspaceHead(workspace_id=workspace.id, revision=0, at=func.clock_timestamp())
    session.add(head)
    session.flush()
    session.execute(
        insert(Revision).from_select(
            ["workspace_id", "n", "at", "actor_id", "actor_name", "message", "request_id"],
            select(
                WorkspaceHead.workspace_id,
                WorkspaceHead.revision,
                WorkspaceHead.at,
                literal(actor[0], BigInteger),
                literal(actor[1]),
                literal("workspace created"),
                literal(context.current().request_id),
            ).where(WorkspaceHead.workspace_id == workspace.id),
        )
    )
    return workspace


def create_environment(session: Session, *, workspace_id: int, content: dict[str, Any]) -> None:
    """Insert an environment of a workspace that is being created, at revision 0."""
    checksum = json.checksum(content)
    one = Object(
        workspace_id=workspace_id, kind=Kind.ENVIRONMENT, version=1, revision=0, checksum=checksum
    )
    session.add(one)
    session.flush()
    session.add(Environment(id=one.id, workspace_id=workspace_id, **content))
    session.add(
        Version(
            workspace_id=workspace_id,
            object_id=one.id,
            version=1,
            revision=0,
            action=Action.CREATE,
            content=json.dumps(content),
            checksum=checksum,
        )
    )
    session.flush()


def get_head(session: Session, *, workspace_id: int) -> int:
    """Return the newest revision of a workspace."""
    return session.execute(
        select(WorkspaceHead.revision).where(WorkspaceHead.workspace_id == workspace_id)
    ).scalar_one()


def count_rights(session: Session, *, workspace_id: int) -> None:
    """Count a change of rights or names that is no revision: what remembers them asks anew."""
    session.execute(
        update(WorkspaceHead)
        .where(WorkspaceHead.workspace_id == workspace_id)
        .values(rights=WorkspaceHead.rights + 1)
    )
    session.info.setdefault("rights", set()).add(workspace_id)


def is_slug_taken(session: Session, *, slug: str) -> bool:
    """Say whether a slug is in use, by a workspace or as a user's name in any case."""
    slugs = select(Workspace.id).where(Workspace.slug == slug, Workspace.deleted_at.is_(None))
    users = select(User.id).where(func.lower(User.username) == slug)
    return session.execute(slugs.union_all(users).limit(1)).first() is not None


def list_workspaces(
    session: Session,
    *,
    user_id: int | None,
    everything: bool,
    only: int | None,
    after: int,
    limit: int,
) -> list[AnyRow]:
    """List workspaces by id, with the head of each and the user's role, null if not a member.

    Those of which the user is a member; everything; or only one.
    """
    statement = (
        select(Workspace, Member.role, WorkspaceHead.revision)
        .join(WorkspaceHead, WorkspaceHead.workspace_id == Workspace.id)
        .outerjoin(Member, and_(Member.workspace_id == Workspace.id, Member.user_id == user_id))
        .where(Workspace.deleted_at.is_(None), Workspace.id > after)
    )
    if only is not None:
        statement = statement.where(Workspace.id == only)
    elif not everything:
        statement = statement.where(Member.user_id.is_not(None))
    return list(session.execute(statement.order_by(Workspace.id).limit(limit)))


def get_workspace_by_id(session: Session, *, workspace_id: int) -> Workspace | None:
    """Return a workspace by id, unless it is deleted."""
    return session.execute(
        select(Workspace).where(Workspace.id == workspace_id, Workspace.deleted_at.is_(None))
    ).scalar_one_or_none()


def lock_workspace(session: Session, *, workspace_id: int) -> Workspace | None:
    """Return a workspace, and let nobody else change it or its members meanwhile."""
    return session.execute(
        select(Workspace)
        .where(Workspace.id == workspace_id, Workspace.deleted_at.is_(None))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def delete_workspace(session: Session, *, workspace_id: int) -> None:
    """Mark a workspace as deleted, revoke its keys, send those home who live there."""
    session.execute(
        update(Workspace).where(Workspace.id == workspace_id).values(deleted_at=func.now())
    )
    session.execute(
        update(ApiKey)
        .where(ApiKey.workspace_id == workspace_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    send_home(session, workspace_id=workspace_id)
    count_rights(session, workspace_id=workspace_id)


def send_home(session: Session, *, workspace_id: int, user_id: int | None = None) -> None:
    """Let users (or one) who act in a workspace by default act in their personal one."""
    personal = aliased(Workspace)
    statement = (
        update(User)
        .where(User.home_workspace_id == workspace_id, personal.owner_id == User.id)
        .values(home_workspace_id=personal.id)
        .execution_options(synchronize_session=False)
    )
    if user_id is not None:
        statement = statement.where(User.id == user_id)
    session.execute(statement)


def _members(workspace_id: int) -> AnySelect:
    return (
        select(User.id.label("user_id"), User.username, User.email, Member.role, Member.created_at)
        .join(Member, Member.user_id == User.id)
        .where(Member.workspace_id == workspace_id)
    )


def list_members(session: Session, *, workspace_id: int, after: int, limit: int) -> list[AnyRow]:
    """List members by the user's id."""
    statement = _members(workspace_id).where(User.id > after).order_by(User.id).limit(limit)
    return list(session.execute(statement))


def get_member(session: Session, *, workspace_id: int, username: str) -> AnyRow | None:
    """Return a member by name, regardless of case."""
    return session.execute(
        _members(workspace_id).where(func.lower(User.username) == func.lower(username))
    ).one_or_none()


def find_user(session: Session, *, username: str) -> User | None:
    """Return a user by name, regardless of case."""
    return session.execute(
        select(User).where(func.lower(User.username) == func.lower(username))
    ).scalar_one_or_none()


def has_owner_beside(session: Session, *, workspace_id: int, user_id: int) -> bool:
    """Say whether somebody else owns the workspace; its owners are locked."""
    owners = session.scalars(
        select(Member.user_id)
        .where(Member.workspace_id == workspace_id, Member.role == "owner")
        .order_by(Member.user_id)
        .with_for_update()
    )
    return bool({*owners} - {user_id})


def create_member(session: Session, *, workspace_id: int, user_id: int, role: str) -> None:
    """Insert a member."""
    session.execute(insert(Member).values(workspace_id=workspace_id, user_id=user_id, role=role))


def update_member(session: Session, *, workspace_id: int, user_id: int, role: str) -> None:
    """Give a member another role."""
    session.execute(
        update(Member)
        .where(Member.workspace_id == workspace_id, Member.user_id == user_id)
        .values(role=role)
    )


def delete_member(session: Session, *, workspace_id: int, user_id: int) -> None:
    """Delete a membership; the user acts elsewhere from now on."""
    session.execute(
        delete(Member).where(Member.workspace_id == workspace_id, Member.user_id == user_id)
    )
    send_home(session, workspace_id=workspace_id, user_id=user_id)


def matching(column: Any, patterns: tuple[str, ...]) -> ColumnElement[bool]:
    """Return the condition for a name that one of a key's patterns covers."""
    if ANY in patterns:
        return true()
    return or_(false(), *(column.like(_like(pattern)) for pattern in patterns))


def _like(pattern: str) -> str:
    return pattern.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace(ANY, "%")


def list_services(
    session: Session,
    *,
    workspace_id: int,
    patterns: tuple[str, ...],
    prefix: str,
    after: str,
    limit: int,
) -> list[Service]:
    """List services by name, of those that the patterns cover."""
    statement = select(Service).where(
        Service.workspace_id == workspace_id,
        Service.name > after,
        matching(Service.name, patterns),
    )
    if prefix:
        statement = statement.where(Service.name.startswith(prefix, autoescape=True))
    return list(session.scalars(statement.order_by(Service.name).limit(limit)))


def lock_service(session: Session, *, workspace_id: int, name: str) -> Service | None:
    """Return a service by name, and let nobody else rename it meanwhile."""
    return session.execute(
        select(Service)
        .where(Service.workspace_id == workspace_id, Service.name == name)
        .with_for_update(key_share=True)
    ).scalar_one_or_none()


def has_service(session: Session, *, workspace_id: int, name: str) -> bool:
    """Say whether a workspace has a service of this name."""
    return (
        session.execute(
            select(Service.id).where(Service.workspace_id == workspace_id, Service.name == name)
        ).first()
        is not None
    )


def rename_service(session: Session, *, service: Service, name: str) -> None:
    """Rename a service, in the grants that name it literally too."""
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.workspace_id == service.workspace_id,
            any_(ApiKey.services) == service.name,
        )
        .values(services=func.array_replace(ApiKey.services, service.name, name))
        .execution_options(synchronize_session=False)
    )
    service.name = name
    session.flush()
    count_rights(session, workspace_id=service.workspace_id)


def rename_in_scopes(session: Session, *, workspace_id: int, old: str, new: str) -> None:
    """Let API keys that name an environment go on naming it."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.workspace_id == workspace_id, any_(ApiKey.environments) == old)
        .values(environments=func.array_replace(ApiKey.environments, old, new))
    )
    count_rights(session, workspace_id=workspace_id)


def is_protected(session: Session, *, workspace_id: int, name: str) -> bool:
    """Say whether an environment is protected, or was when it was deleted; unknown ones are."""
    found = session.scalar(
        select(Environment.protected)
        .where(Environment.workspace_id == workspace_id, Environment.name == name)
        .order_by(Environment.deleted, Environment.id.desc())
        .limit(1)
    )
    return found is not False
