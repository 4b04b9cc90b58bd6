"""Evaluating flags: what somebody gets in an environment, now or as of a revision."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.configs.errors import HistoryPruned
from app.feature_flags import presenters
from app.flags import crud
from app.flags.errors import FlagNotFound
from app.formats import json
from app.rules.conditions import Condition
from app.rules.contexts import context_of
from app.rules.explaining import explain
from app.rules.flags import CompiledFlag, compile_each
from app.rules.segments import compile_segments
from app.workspaces.deps import Access
from app.workspaces.errors import OutsideScope
from app.workspaces.names import Level
from app.workspaces.permissions import Permission
from app.workspaces.scopes import covered


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The flags of an environment with the segments that they use, ready to be evaluated."""

    environment: str
    definitions: Mapping[str, Any]
    conditions: Mapping[str, Condition]
    flags: Mapping[str, CompiledFlag]
    revisions: Mapping[str, int]
    revision: int


def load(session: Session, *, access: Access, environment: str, at: int | None = None) -> Ruleset:
    """Load and compile the flags of an environment; raises OutsideScope, HistoryPruned."""
    access.require(Permission.READ)
    if not covered(environment, access.scopes.environments):
        raise OutsideScope(Level(None, environment))
    workspace_id = access.workspace_id
    rows = crud.list_flags(session, workspace_id=workspace_id, environments=[environment], at=at)
    segments = crud.list_segments(session, workspace_id=workspace_id, at=at)
    if at is not None and any(row.history_from > at for row in rows):
        raise HistoryPruned(at)
    contents = {row.name: json.loads(row.content) for row in segments}
    definitions = {row.name: json.loads(row.content) for row in rows}
    conditions, _ = compile_segments(contents)
    flags, _ = compile_each(definitions, contents)
    revisions = {row.name: row.revision for row in rows}
    newest = max([row.revision for row in (*rows, *segments)], default=0)
    return Ruleset(environment, definitions, conditions, flags, revisions, newest)


def evaluate(
    ruleset: Ruleset,
    name: str,
    *,
    access: Access,
    user_id: Any,
    context: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the members of `EvaluationRead`; raises OutsideScope, FlagNotFound."""
    flag = _require(ruleset, name, access)
    result = flag.evaluate(context_of(user_id, context))
    return presenters.evaluation(name, ruleset.environment, flag, result, ruleset.revisions[name])


def evaluate_some(
    ruleset: Ruleset,
    names: Collection[str] | None,
    *,
    access: Access,
    user_id: Any,
    context: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the members of `EvaluationList`, of all flags or some.

    Left out are those that are not there, or beyond the key's scope.
    """
    asking = context_of(user_id, context)
    wanted = ruleset.flags if names is None else dict.fromkeys(names)
    evaluations = {
        name: presenters.evaluation(
            name,
            ruleset.environment,
            ruleset.flags[name],
            ruleset.flags[name].evaluate(asking),
            ruleset.revisions[name],
        )
        for name in wanted
        if name in ruleset.flags
        and access.scopes.covers_flag(name, ruleset.environment, to_write=False)
    }
    return {"evaluations": evaluations, "revision": ruleset.revision}


def explained(
    ruleset: Ruleset,
    name: str,
    *,
    access: Access,
    user_id: Any,
    context: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return how a flag is evaluated for somebody, step by step; raises as `evaluate`."""
    _require(ruleset, name, access)
    return explain(
        ruleset.definitions[name],
        ruleset.conditions,
        ruleset.flags,
        context_of(user_id, context),
    )


def _require(ruleset: Ruleset, name: str, access: Access) -> CompiledFlag:
    access.require_flag(Permission.READ, name, ruleset.environment)
    flag = ruleset.flags.get(name)
    if flag is None:
        raise FlagNotFound(name, ruleset.environment, access.slug)
    return flag
