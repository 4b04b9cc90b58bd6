"""`/ofrep/v1`: the OpenFeature Remote Evaluation Protocol 0.3 (contract F)."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.auth.deps import CredentialDep
from app.configs.errors import UnknownEnvironment
from app.configs.levels import EnvironmentName
from app.core.answers import answer, not_modified
from app.core.routing import ForeignRoute, SessionDep
from app.core.schemas import problems
from app.feature_flags import evaluating as flags
from app.feature_flags.rulesets import Ruleset
from app.ofrep import evaluating, streams
from app.ofrep.errors import GENERAL, OfrepError
from app.ofrep.schemas import (
    FAILURES,
    BulkEvaluation,
    EvaluationRequest,
    EvaluationSuccess,
)
from app.workspaces.deps import Access, ReadAccess, Waited

router = APIRouter(prefix="/ofrep/v1", tags=["flags"], route_class=ForeignRoute)

BODY = {
    "requestBody": {
        "content": {"application/json": {"schema": EvaluationRequest.model_json_schema()}}
    }
}


async def get_body(request: Request) -> bytes:
    """Return the body as it came: clients of the protocol want its own errors for bad JSON."""
    return await request.body()


Body = Annotated[bytes, Depends(get_body)]
Environment = Annotated[
    EnvironmentName | None,
    Query(description="Left out: the only one that the API key is for"),
]


@router.post(
    "/evaluate/flags/{key:text}",
    response_model=EvaluationSuccess,
    responses=FAILURES | problems(401, 403, 410),
    dependencies=[Waited],
    openapi_extra=BODY,
)
def evaluate_flag(
    key: str,
    body: Body,
    session: SessionDep,
    access: ReadAccess,
    environment: Environment = None,
) -> Response:
    """Evaluate one flag for somebody."""
    try:
        context = evaluating.read_context(body)
        ruleset = _ruleset(session, access, environment)
        access.count_read("feature_flag", f"{key[:255]}@{ruleset.environment}")
        return answer(orjson.Fragment(evaluating.one(ruleset, key, context, access)))
    except OfrepError as error:
        return answer(error.members(key), status=error.status)


@router.post(
    "/evaluate/flags",
    response_model=BulkEvaluation,
    responses=FAILURES | problems(401, 403, 410),
    dependencies=[Waited],
    openapi_extra=BODY,
)
def evaluate_flags(
    request: Request,
    body: Body,
    session: SessionDep,
    access: ReadAccess,
    credential: CredentialDep,
    environment: Environment = None,
    config_etag: Annotated[str | None, Query(alias="flagConfigEtag", max_length=64)] = None,
    last_modified: Annotated[
        str | None, Query(alias="flagConfigLastModified", max_length=64)
    ] = None,
) -> Response:
    """Evaluate all flags of an environment for somebody; the tag covers flags and context.

    `flagConfigEtag` is what the stream said: the answer is at least as new.
    """
    try:
        context = evaluating.read_context(body)
        ruleset = _ruleset(session, access, environment)
    except OfrepError as error:
        return answer(error.members(None), status=error.status)
    access.count_read("feature_flag", f"*@{ruleset.environment}")
    stream = streams.address(access.slug, ruleset.environment, credential)
    etag = evaluating.tag(ruleset, body, access, stream)
    known = not_modified(request.headers, etag)
    text = b"" if known else evaluating.many(ruleset, context, access, stream)
    return known or answer(orjson.Fragment(text), etag=etag)


def _ruleset(session: Session, access: Access, environment: str | None) -> Ruleset:
    name = evaluating.environment_of(access, environment)
    try:
        return flags.load(session, access=access, environment=name)
    except UnknownEnvironment as error:
        raise OfrepError(GENERAL, error.detail) from None
