"""SQL of snapshots: what stands at the levels that reach a service, and how new that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app.configs import crud as configs_crud
from app.core.db import AnyRow
from app.feature_flags import rulesets
from app.feature_flags.rulesets import Ruleset
from app.workspaces import crud as workspaces_crud

# One join for all levels: planning it takes longer than running it.
_LOAD = """
    SELECT h.revision AS head, {protected} AS protected, found.*
    FROM workspace_heads AS h
    LEFT JOIN (
        SELECT c.service_id IS NOT NULL AS of_service,
            c.environment_id IS NOT NULL AS of_environment, c.id, c.created_by,
            v.version, v.revision, v.content, v.checksum, r.at, r.actor_name
        FROM configs AS c
        JOIN objects AS o ON o.id = c.id
        JOIN versions AS v ON v.object_id = o.id AND v.version = o.version
        JOIN revisions AS r ON r.workspace_id = v.workspace_id AND r.n = v.revision
        WHERE c.workspace_id = :workspace_id AND {of_service} AND {of_environment}
    ) AS found ON true
    WHERE h.workspace_id = :workspace_id
"""
_OF_SERVICE = """(c.service_id IS NULL OR c.service_id = (
            SELECT id FROM services WHERE workspace_id = :workspace_id AND name = :service))"""
_OF_ENVIRONMENT = """(c.environment_id IS NULL OR c.environment_id = (
            SELECT id FROM environments
            WHERE workspace_id = :workspace_id AND name = :environment AND NOT deleted))"""
_PROTECTED = """(
            SELECT protected FROM environments
            WHERE workspace_id = :workspace_id AND name = :environment AND NOT deleted)"""


@lru_cache
def _load(*, service: bool, environment: bool) -> TextClause:
    return text(
        _LOAD.format(
            protected=_PROTECTED if environment else "CAST(NULL AS boolean)",
            of_service=_OF_SERVICE if service else "c.service_id IS NULL",
            of_environment=_OF_ENVIRONMENT if environment else "c.environment_id IS NULL",
        )
    )


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """The rules of an environment, None: there is no such; as of `head`, or later up to `after`."""

    head: int
    after: int
    ruleset: Ruleset | None


def load_rules(
    session: Session, *, workspace_id: int, environment: str, before: Ruleset | None
) -> LoadedRules:
    """Load the rules of an environment; what is as it was `before` is taken from there."""
    head = workspaces_crud.get_head(session, workspace_id=workspace_id)
    ruleset, rows = rulesets.load(
        session, workspace_id=workspace_id, environment=environment, before=before
    )
    is_known = bool(rows) or configs_crud.environment_exists(
        session, workspace_id=workspace_id, name=environment
    )
    after = workspaces_crud.get_head(session, workspace_id=workspace_id)
    return LoadedRules(head, after, ruleset if is_known else None)


def load_levels(
    session: Session, *, workspace_id: int, service: str | None, environment: str | None
) -> tuple[AnyRow, Sequence[AnyRow]]:
    """Return the head with the environment's protection (null: unknown), and what stands there.

    One row a config at the level or a wider one, also a deleted one. All of one moment.
    """
    values = {"workspace_id": workspace_id, "service": service, "environment": environment}
    rows = session.connection().execute(
        _load(service=service is not None, environment=environment is not None),
        {name: value for name, value in values.items() if value is not None},
    )
    found = rows.all()
    return found[0], [row for row in found if row.id is not None]
