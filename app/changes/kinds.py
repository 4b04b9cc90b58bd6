"""What differs between kinds of objects: how they are found, made, named and projected."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.changes import crud
from app.changes.checks import Pending
from app.changes.plan import EnvironmentTarget, Target
from app.configs.errors import (
    ConfigNotFound,
    EnvironmentInUse,
    EnvironmentNotFound,
    TooManyServices,
    UnknownEnvironment,
)
from app.configs.levels import Level
from app.core.db import AnyRow
from app.core.errors import AppError
from app.core.settings import get_settings
from app.formats import json
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def authorize(access: Access, target: Target) -> None:
    """Raise unless the caller may change the target."""
    is_config = isinstance(target, Level)
    access.require(Permission.WRITE if is_config else Permission.ADMIN, target)


def missing(target: Target, slug: str) -> AppError:
    """Return the error that says that there is no such object."""
    if isinstance(target, Level):
        return ConfigNotFound(target, slug)
    return EnvironmentNotFound(target.environment, slug)


def resource_type(target: Target) -> str:
    """Return what events call the kind."""
    return "configuration" if isinstance(target, Level) else "environment"


def service_of(target: Target) -> str | None:
    """Return the service that events name."""
    return target.name if isinstance(target, Level) else None


def find(session: Session, *, workspace_id: int, targets: Sequence[Target]) -> dict[Target, int]:
    """Return the ids of the targets that exist, deleted ones too, without locking."""
    found: dict[Target, int] = {}
    levels = [target for target in targets if isinstance(target, Level)]
    if levels:
        ids_of = crud.find_configs(session, workspace_id=workspace_id, levels=levels)
        found.update((level, ids_of[level]) for level in ids_of)
    named = [target for target in targets if isinstance(target, EnvironmentTarget)]
    if named:
        names = [target.environment for target in named if target.id is None]
        ids = crud.find_environments(session, workspace_id=workspace_id, names=names)
        found.update(
            (target, target.id or ids[target.environment])
            for target in named
            if target.id or target.environment in ids
        )
    return found


def create(session: Session, *, access: Access, target: Target) -> tuple[int, bool]:
    """Create what is missing; return its id and whether its environment is protected."""
    workspace_id = access.workspace_id
    if isinstance(target, EnvironmentTarget):
        name = target.environment
        return crud.create_environment(session, workspace_id=workspace_id, name=name), False
    environment = hold(session, access=access, level=target)
    service_id = None
    if target.service is not None:
        service_id = crud.get_service_id(session, workspace_id=workspace_id, name=target.service)
        if service_id is None:
            service_id = _create_service(session, workspace_id=workspace_id, name=target.service)
    config_id = crud.create_config(
        session,
        workspace_id=workspace_id,
        service_id=service_id,
        environment_id=environment.id if environment else None,
        created_by=access.caller.user_id,
    )
    return config_id, bool(environment and environment.protected)


def _create_service(session: Session, *, workspace_id: int, name: str) -> int:
    limit = get_settings().max_services_per_workspace
    if crud.count_services(session, workspace_id=workspace_id, limit=limit) >= limit:
        raise TooManyServices(limit)
    return crud.create_service(session, workspace_id=workspace_id, name=name)


def hold(session: Session, *, access: Access, level: Level) -> AnyRow | None:
    """Keep a level's environment from being deleted; raise UnknownEnvironment without one."""
    if level.environment is None:
        return None
    row = crud.hold_environment(session, workspace_id=access.workspace_id, name=level.environment)
    if row is None:
        raise UnknownEnvironment(level.environment, access.slug)
    return row


def project(session: Session, *, access: Access, pending: Mapping[Target, Pending]) -> None:
    """Keep what stands beside the history in step with it, before the counter is taken."""
    stages = []
    for target, one in pending.items():
        if isinstance(target, EnvironmentTarget):
            stages.append((target, one))
        elif one.stored.version and not one.stored.exists and one.edited.content is not None:
            hold(session, access=access, level=target)
    if len(stages) > 1:  # names may change places
        ids = [one.stored.id for _, one in stages]
        crud.clear_names(session, environment_ids=ids)
    emptied = [one.stored.id for one in pending.values() if one.edited.content is None]
    for target, one in stages:
        content = None if one.edited.content is None else json.loads(one.edited.content)
        if content is None:
            content = {"name": target.environment, "deleted": True}
        crud.update_environment(session, environment_id=one.stored.id, content=content)
        if one.edited.content is None:
            _refuse_in_use(session, access, target, one.stored.id, emptied)


def _refuse_in_use(
    session: Session,
    access: Access,
    target: EnvironmentTarget,
    environment_id: int,
    emptied: Sequence[int],
) -> None:
    """Raise EnvironmentInUse while configs other than those of this commit are there."""
    count = crud.count_configs(
        session,
        workspace_id=access.workspace_id,
        environment_id=environment_id,
        but=emptied,
    )
    if count:
        raise EnvironmentInUse(target.environment, count)
