"""Evaluating flags: what somebody gets in an environment, now or as of a revision."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.configs import crud as configs_crud
from app.configs.errors import UnknownEnvironment
from app.feature_flags import presenters, rulesets, service
from app.feature_flags.asking import Asking, EvaluateBatch
from app.feature_flags.rulesets import RuledFlag, Ruleset
from app.flags.errors import FlagNotFound
from app.rules.contexts import context_of
from app.rules.explaining import explain
from app.usage.recorder import usage
from app.workspaces.deps import Access
from app.workspaces.errors import OutsideScope
from app.workspaces.names import Level
from app.workspaces.permissions import Permission
from app.workspaces.scopes import ANY, covered


def load(session: Session, *, access: Access, environment: str, at: int | None = None) -> Ruleset:
    """Load and compile the flags of an environment.

    Raises OutsideScope, UnknownEnvironment, HistoryPruned.
    """
    require_environment(access, environment)
    ruleset, rows = rulesets.load(
        session, workspace_id=access.workspace_id, environment=environment, at=at
    )
    if not rows and not configs_crud.environment_exists(
        session, workspace_id=access.workspace_id, name=environment, at=at
    ):
        raise UnknownEnvironment(environment, access.slug)
    service.require_past(session, access=access, at=at, environments=[environment])
    return ruleset


def require_environment(access: Access, environment: str) -> None:
    """Raise NotAllowed, OutsideScope unless flags may be read there."""
    access.require(Permission.READ)
    if not covered(environment, access.scopes.environments):
        raise OutsideScope(Level(None, environment))


def evaluate(
    ruleset: Ruleset,
    name: str,
    user_id: Any,
    context: Mapping[str, Any] | None,
    *,
    access: Access,
    counted: bool = True,
) -> dict[str, Any]:
    """Return the members of `EvaluationRead`; raises OutsideScope, FlagNotFound.

    `counted`: as a use of the flag, which looking at the past is not.
    """
    workspace_id, environment = access.workspace_id, ruleset.environment
    try:
        flag = require_flag(ruleset, name, access)
    except FlagNotFound:
        if counted:
            usage.unknown(workspace_id, environment, name)
        raise
    result = flag.compiled.evaluate(context_of(user_id, context))
    if counted:
        usage.count(workspace_id, environment, flag.name, result.variant, result.rule_id)
    return presenters.evaluation(flag, environment, result)


def evaluate_some(
    ruleset: Ruleset, asked: EvaluateBatch, *, access: Access, counted: bool = True
) -> dict[str, Any]:
    """Return the members of `EvaluationRead` of all flags or some, by name.

    Left out are those that are not there, or beyond the key's scope.
    """
    context = context_of(asked.user_id, asked.context)
    found: dict[str, Any] = {}
    counts: dict[tuple[str, str, str | None], int] = {}
    for flag in chosen(ruleset, asked.flags, access):
        result = flag.compiled.evaluate(context)
        counts[flag.name, result.variant, result.rule_id] = 1
        found[flag.name] = presenters.evaluation(flag, ruleset.environment, result)
    if counted:
        usage.count_many(access.workspace_id, ruleset.environment, counts)
        for name in dict.fromkeys(asked.flags or ()):
            if name not in ruleset.flags and _covers(access, name, ruleset.environment):
                usage.unknown(access.workspace_id, ruleset.environment, name)
    return found


def _covers(access: Access, name: str, environment: str) -> bool:
    return access.scopes.covers_flag(name, environment, to_write=False)


def chosen(ruleset: Ruleset, names: Collection[str] | None, access: Access) -> list[RuledFlag]:
    """Return the flags that a caller may have of all, or of some."""
    if names is None and ANY in access.scopes.flags:
        return [*ruleset.flags.values()]
    wanted = ruleset.flags if names is None else dict.fromkeys(names)
    return [
        ruleset.flags[name]
        for name in wanted
        if name in ruleset.flags and _covers(access, name, ruleset.environment)
    ]


def explained(ruleset: Ruleset, name: str, asked: Asking, *, access: Access) -> dict[str, Any]:
    """Return how a flag is evaluated for somebody, step by step; raises as `evaluate`."""
    flag = require_flag(ruleset, name, access)
    return explain(
        flag.definition,
        {name: one.condition for name, one in ruleset.segments.items()},
        {name: one.compiled for name, one in ruleset.flags.items()},
        context_of(asked.user_id, asked.context),
    )


def require_flag(ruleset: Ruleset, name: str, access: Access) -> RuledFlag:
    """Return a flag of a ruleset; raises OutsideScope, FlagNotFound."""
    access.require_flag(Permission.READ, name, ruleset.environment)
    flag = ruleset.flags.get(name)
    if flag is None:
        raise FlagNotFound(name, ruleset.environment, access.slug)
    return flag
