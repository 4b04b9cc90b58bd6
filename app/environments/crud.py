"""SQL of environments."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.configs.crud import within
from app.models import Environment
from app.workspaces.scopes import ANY, Scopes


def list_environments(
    session: Session, *, workspace_id: int, scopes: Scopes, after: int, limit: int
) -> Sequence[Environment]:
    """List the environments that scopes reach, by id."""
    named = Scopes(scopes.actions, (ANY,), scopes.environments)
    return session.scalars(
        select(Environment)
        .where(
            Environment.workspace_id == workspace_id,
            Environment.deleted.is_(False),
            Environment.id > after,
            *within(named, Environment.name, Environment.name),
        )
        .order_by(Environment.id)
        .limit(limit)
    ).all()


def get_environment(session: Session, *, environment_id: int) -> Environment:
    """Return an environment as it is now."""
    return session.execute(
        select(Environment)
        .where(Environment.id == environment_id)
        .execution_options(populate_existing=True)
    ).scalar_one()
