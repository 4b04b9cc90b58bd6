"""Environments: as proposals to the write pipeline, so that they have a history too."""

from typing import Any

from sqlalchemy.orm import Session

from app.changes import edits
from app.changes.plan import Change, Edited, EnvironmentTarget, Stored
from app.changes.service import apply
from app.configs.errors import EnvironmentExists, EnvironmentNotFound
from app.environments import crud
from app.environments.schemas import EnvironmentCreate, EnvironmentUpdate
from app.models import Environment
from app.workspaces.deps import Access


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
    session: Session, *, access: Access, name: str, change: EnvironmentUpdate
) -> Environment:
    """Change an environment; a new name keeps id, history and grants.

    Raises EnvironmentNotFound, EnvironmentExists.
    """
    said = change.model_dump(exclude_unset=True, exclude={"message"})

    def merged(content: dict[str, Any]) -> dict[str, Any]:
        return content | said

    target = EnvironmentTarget(name)
    edit = edits.transform(merged, missing=EnvironmentNotFound(name, access.slug))
    environment = _commit(session, access, Change(target, edit), change.message)
    if environment.name != name:
        crud.rename_in_scopes(
            session, workspace_id=access.workspace_id, old=name, new=environment.name
        )
    return environment


def delete(session: Session, *, access: Access, name: str) -> None:
    """Delete an environment without configs; raises EnvironmentNotFound, EnvironmentInUse."""
    edit = edits.remove(missing=EnvironmentNotFound(name, access.slug))
    apply(session, access=access, changes=[Change(EnvironmentTarget(name), edit)])


def _commit(session: Session, access: Access, change: Change, message: str | None) -> Environment:
    applied = apply(session, access=access, changes=[change], message=message)
    environment_id = applied.pending[change.target].stored.id
    return crud.get_environment(session, environment_id=environment_id)
