"""Environments: as proposals to the write pipeline, so that they have a history too."""

from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Edited, EnvironmentTarget, Precondition, Stored
from app.changes.service import apply
from app.configs.errors import EnvironmentExists, EnvironmentNotFound
from app.environments import crud
from app.environments.schemas import EnvironmentCreate, EnvironmentUpdate
from app.models import Environment
from app.workspaces import crud as workspaces_crud
from app.workspaces.deps import Access
from app.workspaces.permissions import Permission


def create(session: Session, *, access: Access, new: EnvironmentCreate) -> Environment:
    """Create an environment, or revive a deleted one; raises EnvironmentExists."""
    content = new.model_dump(include={"name", "description", "protected"})

    def edit(stored: Stored) -> Edited:
        if stored.exists:
            raise EnvironmentExists
        return edits.store(content)(stored)

    target = EnvironmentTarget(new.name)
    return _commit(session, access, Change(target, edit, creates=True), None)


def update(
    session: Session,
    *,
    access: Access,
    name: str,
    change: EnvironmentUpdate,
    precondition: Precondition,
) -> Environment:
    """Change an environment; a new name keeps id, history and grants.

    Raises EnvironmentNotFound, EnvironmentExists, OutsideScope.
    """
    if change.name is not None:
        access.require(Permission.ADMIN, EnvironmentTarget(change.name))
    said = change.model_dump(exclude_unset=True, exclude={"message"})

    def merged(content: dict[str, Any]) -> dict[str, Any]:
        return content | said

    target = EnvironmentTarget(name)
    edit = edits.transform(merged, missing=EnvironmentNotFound(name, access.slug))
    environment = _commit(session, access, Change(target, edit, precondition), change.message)
    if environment.name != name:
        workspaces_crud.rename_in_scopes(
            session, workspace_id=access.workspace_id, old=name, new=environment.name
        )
    return environment


def delete(session: Session, *, access: Access, name: str, precondition: Precondition) -> None:
    """Delete an environment without configs; raises EnvironmentNotFound, EnvironmentInUse."""
    edit = edits.remove(missing=EnvironmentNotFound(name, access.slug))
    change = Change(EnvironmentTarget(name), edit, precondition)
    apply(session, access=access, changes=[change])


def _commit(session: Session, access: Access, change: Change, message: str | None) -> Environment:
    applied = apply(session, access=access, changes=[change], message=message)
    environment_id = applied.pending[change.target].stored.id
    return crud.get_environment(session, environment_id=environment_id)
