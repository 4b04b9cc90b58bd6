"""Requests that evaluate flags: read from raw bytes, answered from compiled rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError
from starlette.types import Scope

from app.auth.deps import Credential
from app.configs.levels import Level, check_name
from app.core.http import unreadable
from app.feature_flags import evaluating
from app.feature_flags.asking import Evaluate, EvaluateBatch
from app.feature_flags.rulesets import Ruleset
from app.formats import json
from app.ofrep import evaluating as ofrep
from app.ofrep import streams
from app.ofrep.errors import OfrepError
from app.serving.calls import Call, Form, least_of
from app.serving.service import NotServed
from app.serving.snapshots import Answer
from app.workspaces.deps import Access

EVALUATE, BATCH = b"/api/v1/feature-flags/evaluate", b"/api/v1/feature-flags/evaluate/batch"
BULK, SINGLE = b"/ofrep/v1/evaluate/flags", b"/ofrep/v1/evaluate/flags/"
PLACES = (EVALUATE, BULK)
MANY = 1000
"""Evaluating more flags than this at once is done beside the event loop."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to evaluate, read. `environment` None: the only one of the API key."""

    form: Form
    environment: str | None
    workspace: str | None
    least: tuple[str, int] | None
    body: bytes
    said: Evaluate | EvaluateBatch | None = None
    key: str = ""
    context: ofrep.Context | None = None

    @property
    def is_of_many(self) -> bool:
        """Say whether more than one flag is asked for."""
        return self.form in {Form.BATCH, Form.OFREP_BULK}

    @property
    def config(self) -> Call | None:
        """Return the call for the config that is wanted beside the flags."""
        if not isinstance(self.said, EvaluateBatch) or self.said.config is None:
            return None
        wanted = self.said.config
        names = None if wanted.keys is None else tuple(wanted.keys)
        level = Level.of(wanted.app_id, self.said.environment)
        return Call(Form.FETCH, level, self.workspace, names=names)


def read(scope: Scope, body: bytes) -> Asked | None:
    """Return what a raw request asks; None: the framework shall answer, or say what is wrong."""
    if scope["path"].endswith("/") or unreadable(scope):
        return None
    query = _query(scope["query_string"])
    if query is None:
        return None
    try:
        return _read(scope["raw_path"], scope["path"], {**query}, body)
    except (ValueError, json.JsonError, ValidationError, OfrepError):
        return None


@lru_cache(maxsize=1024)
def _query(text: bytes) -> Mapping[str, str] | None:
    """Return the parameters of a query, None if one is there twice."""
    pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True)
    query = dict(pairs)
    return query if len(query) == len(pairs) else None


def _read(raw_path: bytes, path: str, query: dict[str, str], body: bytes) -> Asked | None:
    newest = query.pop("flagConfigEtag", None) if raw_path == BULK else None
    least = least_of(query.pop("min_revision", None) or newest)
    workspace = query.pop("workspace", None)
    if raw_path in {EVALUATE, BATCH}:
        kind = Evaluate if raw_path == EVALUATE else EvaluateBatch
        said = kind.model_validate(json.read(body))
        form = Form.EVALUATE if raw_path == EVALUATE else Form.BATCH
        return None if query else Asked(form, said.environment, workspace, least, body, said=said)
    environment = query.pop("environment", None)
    if environment is not None:
        check_name(environment)
    context = ofrep.read_context(body)
    if raw_path == BULK:
        return Asked(Form.OFREP_BULK, environment, workspace, least, body, context=context)
    key = path[len(SINGLE) :]
    if not raw_path.startswith(SINGLE):
        return None
    return Asked(Form.OFREP, environment, workspace, least, body, key=key, context=context)


def answer(
    asked: Asked, ruleset: Ruleset, access: Access, *, head: int, config: bytes | None, stream: str
) -> Answer:
    """Evaluate; raise NotServed, OutsideScope.

    `config` is what a batch wanted beside the flags, `stream` where OFREP hears of changes.
    """
    if asked.form is Form.OFREP_BULK:
        tag = ofrep.tag(ruleset, asked.body, access, stream)
        return Answer(ofrep.many(ruleset, asked.context or {}, access, stream), tag)
    if asked.form is Form.OFREP:
        try:
            return Answer(ofrep.one(ruleset, asked.key, asked.context or {}, access))
        except OfrepError as error:
            return Answer(orjson.dumps(error.members(asked.key)), status=error.status)
    members: dict[str, Any]
    if isinstance(asked.said, Evaluate):
        if asked.said.flag_name not in ruleset.flags:
            raise NotServed
        members = evaluating.evaluate(ruleset, asked.said, access=access)
    else:
        assert asked.said is not None
        evaluations = evaluating.evaluate_some(ruleset, asked.said, access=access)
        members = {"evaluations": evaluations, "revision": head}
        if config is not None:
            members["config"] = orjson.Fragment(config)
    return Answer(orjson.dumps(members))


def environment_of(asked: Asked, access: Access) -> str:
    """Return the environment that is meant; raise NotServed, NotAllowed, OutsideScope."""
    try:
        environment = ofrep.environment_of(access, asked.environment)
    except OfrepError:
        raise NotServed from None
    evaluating.require_environment(access, environment)
    return environment


def stream_of(asked: Asked, environment: str, access: Access, credential: Credential | None) -> str:
    """Return where a bulk evaluation says that changes are told."""
    if asked.form is not Form.OFREP_BULK:
        return ""
    return streams.address(access.slug, environment, credential)


def known(
    asked: Asked, ruleset: Ruleset, access: Access, *, stream: str, etag: bytes
) -> str | None:
    """Return the tag if a caller has what a bulk evaluation would say."""
    if asked.form is not Form.OFREP_BULK or not etag:
        return None
    tag = ofrep.tag(ruleset, asked.body, access, stream)
    return tag if etag == tag.encode() else None


def resource(asked: Asked, environment: str) -> str:
    """Return what the audit calls what was read."""
    if asked.form is Form.OFREP:
        return f"{asked.key}@{environment}"
    if isinstance(asked.said, Evaluate):
        return f"{asked.said.flag_name}@{environment}"
    return f"*@{environment}"
