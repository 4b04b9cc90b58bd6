"""SQL of snapshots: what stands at some levels, and how new that is, in one statement."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, bindparam, literal, null, select, true, union_all
from sqlalchemy.orm import Session

from app.configs.crud import at_level
from app.core.db import AnyRow
from app.models import Config, Environment, Object, Revision, Version, WorkspaceHead

Place = tuple[bool, bool]
"""Whether a level is a service's, and whether it is an environment's."""


@lru_cache
def _load(places: tuple[Place, ...], *, environment: bool) -> Any:
    """Select the documents of some of the levels that reach a service, after a row of the head."""
    nothing = [null().label(name) for name in ("of_service", "of_environment")]
    protected: Any = null()
    if environment:
        protected = (
            select(Environment.protected)
            .where(
                Environment.workspace_id == bindparam("workspace_id"),
                Environment.name == bindparam("environment"),
                Environment.deleted.is_(False),
            )
            .scalar_subquery()
        )
    columns = (Object.id, Config.created_by, Version.version, Version.revision, Version.content)
    more = (Version.checksum, Revision.at, Revision.actor_name)
    head = select(
        *nothing,
        WorkspaceHead.revision.label("head"),
        protected.label("protected"),
        *(null().label(column.name) for column in (*columns, *more)),
    ).where(WorkspaceHead.workspace_id == bindparam("workspace_id"))
    parts = [
        select(
            literal(of_service).label("of_service"),
            literal(of_environment).label("of_environment"),
            null().label("head"),
            null().label("protected"),
            *columns,
            *more,
        )
        .select_from(Config)
        .join(Object, Object.id == Config.id)
        .join(Version, and_(Version.object_id == Object.id, Version.version == Object.version))
        .join(
            Revision,
            and_(
                Revision.workspace_id == Version.workspace_id,
                Revision.n == Version.revision,
                true(),
            ),
        )
        .where(at_level(service=of_service, environment=of_environment))
        for of_service, of_environment in places
    ]
    return union_all(head, *parts)


def load_levels(
    session: Session,
    *,
    workspace_id: int,
    service: str | None,
    environment: str | None,
    places: tuple[Place, ...],
) -> tuple[AnyRow, Sequence[AnyRow]]:
    """Return the head with the environment's protection (null: unknown), and what stands there.

    One row a config, also a deleted one. All of one moment.
    """
    values = {"workspace_id": workspace_id, "service": service, "environment": environment}
    statement = _load(places, environment=environment is not None)
    known = {name: value for name, value in values.items() if value is not None}
    head, *rows = session.connection().execute(statement, known).all()
    if head.head is None:  # the head comes first in practice, not by promise
        everything = [head, *rows]
        head = next(row for row in everything if row.head is not None)
        rows = [row for row in everything if row.head is None]
    return head, rows
