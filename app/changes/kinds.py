"""What differs between kinds of objects: how they are found, made, named and projected."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.changes import crud
from app.changes.pending import Pending
from app.changes.plan import EnvironmentTarget, FlagTarget, SegmentTarget, Target
from app.configs.errors import (
    ConfigNotFound,
    EnvironmentInUse,
    EnvironmentNotFound,
    TooManyServices,
    UnknownEnvironment,
)
from app.configs.levels import Level
from app.core.errors import AppError
from app.core.settings import get_settings
from app.flags.errors import FlagNotFound, SegmentNotFound
from app.formats import json
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission

MAX_ADDRESSES = 64
"""Locks that one commit takes for what it creates; PostgreSQL has room for some thousands."""


PERMISSIONS: Mapping[type[Target], Permission] = {
    Level: Permission.WRITE,
    EnvironmentTarget: Permission.ADMIN,
    SegmentTarget: Permission.WRITE,
}
RESOURCE_TYPES: Mapping[type[Target], str] = {
    Level: "configuration",
    EnvironmentTarget: "environment",
    FlagTarget: "feature_flag",
    SegmentTarget: "segment",
}


def authorize(access: Access, target: Target) -> None:
    """Raise unless the caller may change the target."""
    if isinstance(target, FlagTarget):
        access.require_flag(Permission.WRITE, target.flag, target.environment)
    elif isinstance(target, SegmentTarget):
        access.require_segments(PERMISSIONS[SegmentTarget], target)
    else:
        access.require(PERMISSIONS[type(target)], target)


def missing(target: Target, slug: str) -> AppError:
    """Return the error that says that there is no such object."""
    if isinstance(target, Level):
        return ConfigNotFound(target, slug)
    if isinstance(target, EnvironmentTarget):
        return EnvironmentNotFound(target.environment, slug)
    if isinstance(target, FlagTarget):
        return FlagNotFound(target.flag, target.environment, slug)
    return SegmentNotFound(target.segment, slug)


def resource_type(target: Target) -> str:
    """Return what events call the kind."""
    return RESOURCE_TYPES[type(target)]


def service_of(target: Target) -> str | None:
    """Return the service that events name."""
    return target.name if isinstance(target, Level) else None


def name_of(target: Target) -> str | None:
    """Return the name that events give of what has one beside its place."""
    if isinstance(target, FlagTarget):
        return target.flag
    return target.segment if isinstance(target, SegmentTarget) else None


def find(session: Session, *, workspace_id: int, targets: Sequence[Target]) -> dict[Target, int]:
    """Return the ids of the targets that exist, deleted ones too, without locking."""
    found: dict[Target, int] = {}
    if levels := [target for target in targets if isinstance(target, Level)]:
        found.update(crud.find_configs(session, workspace_id=workspace_id, levels=levels).items())
    if named := [target for target in targets if isinstance(target, EnvironmentTarget)]:
        names = [target.environment for target in named if target.id is None]
        ids = crud.find_environments(session, workspace_id=workspace_id, names=names)
        found.update(
            (target, target.id or ids[target.environment])
            for target in named
            if target.id or target.environment in ids
        )
    if flags := [target for target in targets if isinstance(target, FlagTarget)]:
        found.update(crud.find_flags(session, workspace_id=workspace_id, targets=flags).items())
    if segments := [target for target in targets if isinstance(target, SegmentTarget)]:
        found.update(
            crud.find_segments(session, workspace_id=workspace_id, targets=segments).items()
        )
    return found


def lock_addresses(session: Session, *, workspace_id: int, targets: Sequence[Target]) -> None:
    """Let one transaction at a time create these; many: let nobody else create anything."""
    addresses = [f"{workspace_id}:{target}" for target in targets]
    many = len(addresses) > MAX_ADDRESSES
    crud.lock_addresses(
        session, workspace_id=workspace_id, addresses=[] if many else addresses, alone=many
    )


def create(
    session: Session, *, access: Access, targets: Sequence[Target]
) -> dict[Target, tuple[int, bool]]:
    """Create what is missing; return ids, and whether the environment is protected.

    Raises UnknownEnvironment, TooManyServices.
    """
    made: dict[Target, tuple[int, bool]] = {}
    workspace_id, owner = access.workspace_id, access.caller.user_id
    places = [target for target in targets if isinstance(target, Level | FlagTarget)]
    protected = hold(session, access=access, places=places)
    for target in targets:
        if isinstance(target, EnvironmentTarget):
            name = target.environment
            object_id = crud.create_environment(
                session, workspace_id=access.workspace_id, name=name
            )
            made[target] = (object_id, False)
        elif isinstance(target, FlagTarget):
            flag_id = crud.create_flag(
                session, workspace_id=workspace_id, target=target, created_by=owner
            )
            made[target] = (flag_id, protected[target.environment])
        elif isinstance(target, SegmentTarget):
            segment_id = crud.create_segment(
                session, workspace_id=workspace_id, target=target, created_by=owner
            )
            made[target] = (segment_id, False)
    levels = [target for target in targets if isinstance(target, Level)]
    if levels:
        _create_services(session, access.workspace_id, {level.service for level in levels} - {None})
        ids = crud.create_configs(
            session, workspace_id=workspace_id, levels=levels, created_by=owner
        )
        made.update(
            (level, (config_id, protected.get(level.environment, False)))
            for level, config_id in zip(levels, ids, strict=True)
        )
    return made


def _create_services(session: Session, workspace_id: int, names: set[str | None]) -> None:
    """Create the services that are new; raise TooManyServices."""
    wanted = sorted(name for name in names if name is not None)
    made = crud.create_services(session, workspace_id=workspace_id, names=wanted)
    limit = get_settings().max_services_per_workspace
    if made and crud.count_services(session, workspace_id=workspace_id, limit=limit + 1) > limit:
        raise TooManyServices(limit)


def hold(
    session: Session, *, access: Access, places: Sequence[Level | FlagTarget]
) -> dict[str | None, bool]:
    """Keep environments from being deleted; return which are protected.

    Raises UnknownEnvironment.
    """
    names = sorted({place.environment for place in places if place.environment is not None})
    if not names:
        return {}
    rows = crud.hold_environments(session, workspace_id=access.workspace_id, names=names)
    protected: dict[str | None, bool] = {row.name: row.protected for row in rows}
    for name in names:
        if name not in protected:
            raise UnknownEnvironment(name, access.slug)
    return protected


def project(session: Session, *, access: Access, pending: Mapping[Target, Pending]) -> None:
    """Keep what stands beside the history in step with it, before the counter is taken."""
    stages = []
    revived: list[Level | FlagTarget] = []
    for target, one in pending.items():
        if isinstance(target, EnvironmentTarget):
            stages.append((target, one))
        elif isinstance(target, Level | FlagTarget) and _is_revived(one):
            revived.append(target)
    hold(session, access=access, places=revived)
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


def _is_revived(one: Pending) -> bool:
    return bool(one.stored.version) and not one.stored.exists and one.gives


def _refuse_in_use(
    session: Session,
    access: Access,
    target: EnvironmentTarget,
    environment_id: int,
    emptied: Sequence[int],
) -> None:
    """Raise EnvironmentInUse while there are others than those of this commit."""
    workspace_id = access.workspace_id
    configs = crud.count_configs(
        session, workspace_id=workspace_id, environment_id=environment_id, but=emptied
    )
    flags = crud.count_flags(
        session, workspace_id=workspace_id, environment_id=environment_id, but=emptied
    )
    if configs or flags:
        raise EnvironmentInUse(target.environment, configs, flags)
