"""Definitions that tests start from."""

from typing import Any

from app.rules.contexts import context_of
from app.rules.flags import CompiledFlag, compile_all
from app.rules.results import Result

ADA = {"attribute": "targetingKey", "op": "in", "values": ["ada"]}
GERMAN = {"attribute": "country", "op": "equals", "value": "DE"}


def rule(rule_id: str, serve: Any, when: Any = None) -> dict[str, Any]:
    served = {"variant": serve} if isinstance(serve, str) else {"split": serve}
    return {"id": rule_id, "description": "", "when": when, "serve": served}


def shares(**weights: float) -> list[dict[str, Any]]:
    return [{"variant": variant, "weight": weight} for variant, weight in weights.items()]


def flag(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "f", "is_enabled": True, "salt": "5a17", "rules": list(rules), **more}


def compiled(definition: Any, segments: Any = None, **others: Any) -> CompiledFlag:
    return compile_all({"f": definition, **others}, segments or {})["f"]


def served(definition: Any, user_id: Any = None, segments: Any = None, /, **context: Any) -> Result:
    return compiled(definition, segments).evaluate(context_of(user_id, context))
