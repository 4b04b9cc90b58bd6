"""Requests that evaluate flags: read from raw bytes, answered from compiled rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError
from starlette.types import Scope

from app.auth.deps import Credential
from app.configs.levels import Level, check_name
from app.core.http import unreadable
from app.feature_flags import evaluating
from app.feature_flags.asking import EvaluateBatch
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
FORMS = {EVALUATE: Form.EVALUATE, BATCH: Form.BATCH, BULK: Form.OFREP_BULK}
OURS = frozenset({Form.EVALUATE, Form.BATCH})
OF_MANY = frozenset({Form.BATCH, Form.OFREP_BULK})
MANY, LARGE = 1000, 4096
"""Evaluating more flags than this at once, or for more bytes, is done beside the event loop."""
_new = tuple.__new__  # the path that is measured: a third of the time of calling the class


@dataclass(frozen=True, slots=True)
class Door:
    """What path and query of a request say.

    `is_usual`: they name neither a workspace nor a revision. `environment` None: the only one of
    the API key.
    """

    form: Form
    workspace: str | None
    least: tuple[str, int] | None
    is_usual: bool
    is_of_many: bool
    environment: str | None = None
    key: str = ""


class One(NamedTuple):
    """One flag for somebody."""

    name: str
    environment: str
    user_id: str | int | None
    context: Mapping[str, Any] | None


class Asked(NamedTuple):
    """A request to evaluate. Bodies of OFREP are read when there is something to evaluate."""

    door: Door
    environment: str | None
    body: bytes
    said: One | EvaluateBatch | None
    config: Call | None = None


def read(scope: Scope, body: bytes) -> Asked | None:
    """Return what a raw request asks; None: the framework shall answer, or say what is wrong."""
    door = _door(scope["raw_path"], scope["path"], scope["query_string"])
    if door is None:
        return None
    try:
        if door.form is Form.EVALUATE:
            one = _one(json.read(body))
            return one and _new(Asked, (door, one.environment, body, one, None))
        if door.form is Form.BATCH:
            said = EvaluateBatch.model_validate(json.read(body))
            return Asked(door, said.environment, body, said, _config(said, door.workspace))
    except (json.JsonError, ValidationError):
        return None
    return Asked(door, door.environment, body, None)


def _one(said: Any) -> One | None:
    """Return what `Evaluate` would be made of, None for anything unusual."""
    if type(said) is not dict:
        return None
    name, environment = said.get("flag_name"), said.get("environment")
    user_id, context = said.get("user_id"), said.get("context")
    if not isinstance(name, str) or not isinstance(environment, str):
        return None
    if user_id is not None and type(user_id) is not str and type(user_id) is not int:
        return None
    if not (context is None or isinstance(context, dict)):
        return None
    return _new(One, (name, environment, user_id, context))


def _config(said: EvaluateBatch, workspace: str | None) -> Call | None:
    """Return the call for the config that is wanted beside the flags."""
    if said.config is None:
        return None
    names = None if said.config.keys is None else tuple(said.config.keys)
    level = Level.of(said.config.app_id, said.environment)
    return Call(Form.FETCH, level, workspace, names=names)


@lru_cache(maxsize=4096)
def _door(raw_path: bytes, path: str, query_string: bytes) -> Door | None:
    """Return what path and query say, None for anything unusual."""
    if path.endswith("/") or unreadable({"raw_path": raw_path, "query_string": query_string}):
        return None
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    query = dict(pairs)
    form = FORMS.get(raw_path) or (Form.OFREP if raw_path.startswith(SINGLE) else None)
    if form is None or len(query) != len(pairs):
        return None
    newest = query.pop("flagConfigEtag", None) if form is Form.OFREP_BULK else None
    workspace = query.pop("workspace", None)
    try:
        least = least_of(query.pop("min_revision", None) or newest)
        is_usual, is_of_many = workspace is None and least is None, form in OF_MANY
        if form in OURS:
            return None if query else Door(form, workspace, least, is_usual, is_of_many)
        environment = query.pop("environment", None)
        if environment is not None:
            check_name(environment)
    except ValueError:
        return None
    return Door(form, workspace, least, is_usual, is_of_many, environment, path[len(SINGLE) :])


def answer(
    asked: Asked,
    ruleset: Ruleset,
    access: Access,
    head: int,
    config: bytes | None,
    stream: str,
    etag: bytes,
) -> Answer:
    """Evaluate; raise NotServed, OutsideScope.

    `config` is what a batch wanted beside the flags, `stream` where OFREP hears of changes,
    `etag` what the caller has already.
    """
    said = asked.said
    if asked.door.form is Form.OFREP_BULK:
        return _of_all(asked, ruleset, access, stream, etag)
    if said is None:
        return _of_ofrep(asked, ruleset, access)
    if isinstance(said, One):
        name, _, user_id, context = said
        if name not in ruleset.flags:
            raise NotServed
        members = evaluating.evaluate(ruleset, name, user_id, context, access=access)
        return Answer(orjson.dumps(members))
    evaluations = evaluating.evaluate_some(ruleset, said, access=access)
    members = {"evaluations": evaluations, "revision": head}
    if config is not None:
        members["config"] = orjson.Fragment(config)
    return Answer(orjson.dumps(members))


def _of_all(asked: Asked, ruleset: Ruleset, access: Access, stream: str, etag: bytes) -> Answer:
    """Evaluate everything, unless the caller has that: then the tag is all of the answer."""
    tag = ofrep.tag(ruleset, asked.body, access, stream)
    if etag == tag.encode():
        return Answer(b"", tag)
    try:
        context = ofrep.read_context(asked.body)
    except OfrepError:
        raise NotServed from None
    return Answer(ofrep.many(ruleset, context, access, stream), tag)


def _of_ofrep(asked: Asked, ruleset: Ruleset, access: Access) -> Answer:
    key = asked.door.key
    try:
        return Answer(ofrep.one(ruleset, key, ofrep.read_context(asked.body), access))
    except OfrepError as error:
        return Answer(orjson.dumps(error.members(key)), status=error.status)


def environment_of(asked: Asked, access: Access) -> str:
    """Return the environment that is meant; raise NotServed, NotAllowed, OutsideScope."""
    try:
        environment = ofrep.environment_of(access, asked.environment)
    except OfrepError:
        raise NotServed from None
    evaluating.require_environment(access, environment)
    return environment


def check(environment: str) -> None:
    """Raise NotServed for what cannot be the name of an environment."""
    try:
        check_name(environment)
    except ValueError:
        raise NotServed from None


def stream_of(asked: Asked, environment: str, access: Access, credential: Credential | None) -> str:
    """Return where a bulk evaluation says that changes are told, nothing for others."""
    if asked.door.form is not Form.OFREP_BULK:
        return ""
    return streams.address(access.slug, environment, credential)


def resource(asked: Asked, environment: str) -> str:
    """Return what the audit calls what was read."""
    if asked.door.form is Form.OFREP:
        return f"{asked.door.key}@{environment}"
    if isinstance(asked.said, One):
        return f"{asked.said.name}@{environment}"
    return f"*@{environment}"
