"""`/config/*`: the everyday surface (contract A)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.changes.deps import ExpectedQuery, MessageQuery, Preconditions, expecting
from app.changes.plan import document_etag
from app.configs import crud
from app.configs.deps import AsOf
from app.configs.levels import EnvironmentQuery, Level, ServiceName, ServiceQuery
from app.core.answers import answer, not_modified, raw
from app.core.db import AnyRow
from app.core.errors import Invalid
from app.core.pagination import after, next_cursor
from app.core.routing import Route, SessionDep
from app.core.schemas import MAX_ID, PAGE_SIZE, Cursor, Id, Limit, problems
from app.documents import presenters, service
from app.documents.deps import PATCH_BODY, PatchBody
from app.documents.schemas import (
    ConfigList,
    ConfigRead,
    Deleted,
    DiffRead,
    DocumentWrite,
    EffectiveRead,
    MergeWrite,
    NamedDocumentWrite,
    RollbackWrite,
    VersionList,
)
from app.effective.service import Effective, explain, require_effective, shown_text
from app.formats import json
from app.idempotency.deps import Idempotent
from app.secrets.deps import Reveal
from app.secrets.service import reveal_text
from app.versions import comparing
from app.versions import crud as versions_crud
from app.workspaces.deps import Access, ReadAccess, Waited, WriteAccess
from app.workspaces.permissions import Permission

router = APIRouter(prefix="/config", tags=["documents"], route_class=Route)

READ = problems(401, 403, 404, 410)
WRITE = problems(401, 403, 404, 409, 412, 415)
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "You have this already"}}


@router.get("/list", response_model=ConfigList, responses=READ, dependencies=[Waited])
def list_configs(
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Response:
    """List configs: your workspace's; as an admin everybody's, unless you name one."""
    named = {"workspace", "target_user_id"} & request.query_params.keys()
    everybody = access.caller.admin and not named
    rows = crud.list_documents(
        session,
        workspace_id=None if everybody else access.workspace_id,
        scopes=access.scopes,
        after=after(cursor),
        limit=limit,
    )
    access.count_read("configuration", "*")
    return answer(
        {
            "configs": [presenters.config(row) for row in rows],
            "next_cursor": next_cursor([row.id for row in rows], limit=limit),
        }
    )


@router.get("/get", response_model=ConfigRead, responses=READ | NOT_MODIFIED, dependencies=[Waited])
def get_config(
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    at: AsOf,
    service_name: ServiceQuery,
    environment: EnvironmentQuery = None,
    reveal: Reveal = False,
) -> Response:
    """Get the stored document of one level, not merged. Secrets are masked, unless `reveal`."""
    level = Level.of(service_name, environment)
    return _stored(request, session, access, level, at, reveal=reveal)


@router.post("/update", response_model=ConfigRead, responses=WRITE)
def update_config(
    body: NamedDocumentWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Replace or create a document. Equal content (member order aside) makes no version."""
    return _write(session, access, Level.of(body.name, body.environment), body, precondition)


@router.get("/versions", response_model=VersionList, responses=READ, dependencies=[Waited])
def list_versions(
    session: SessionDep,
    access: ReadAccess,
    name: Annotated[ServiceName | None, Query(description="The service, or `_global`")] = None,
    service_name: Annotated[
        ServiceName | None, Query(alias="service", description="The same as `name`")
    ] = None,
    environment: EnvironmentQuery = None,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Response:
    """List the versions of a document, newest first; also of a deleted one."""
    if (name is None) == (service_name is None):
        raise Invalid("Give either name or service.", loc=("query", "name"))
    level = Level.of(name or service_name or "", environment)
    return _versions(session, access, level, limit=limit, cursor=cursor)


@router.get("/diff", response_model=DiffRead, responses=READ)
def diff_versions(
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    service_name: ServiceQuery,
    version1_id: Annotated[Id, Query(description="`id` of a version")],
    version2_id: Annotated[Id, Query(description="`id` of a version")],
    environment: EnvironmentQuery = None,
) -> Response:
    """Compare two versions: as DeepDiff (order ignored) and as JSON Patch from 1 to 2."""
    level = Level.of(service_name, environment)
    old, new = service.require_versions(
        session, access=access, level=level, version_ids=(version1_id, version2_id)
    )
    session.close()  # the comparison takes its time; others need the connection
    compared = comparing.compare(
        request.app.state.workpool,
        old.content or comparing.NOTHING,
        new.content or comparing.NOTHING,
    )
    access.count_read("configuration", str(level))
    return answer(
        {"service": level.name, "version1": old.version, "version2": new.version, **compared}
    )


@router.post("/rollback", response_model=ConfigRead, responses=WRITE)
def rollback_config(
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    service_name: ServiceQuery,
    version_id: Annotated[Id, Query(description="`id` of the version to go back to")],
    _: Idempotent,
    environment: EnvironmentQuery = None,
) -> Response:
    """Go back to a version: makes a new one with its content."""
    written = service.roll_back(
        session,
        access=access,
        level=Level.of(service_name, environment),
        version_id=version_id,
        precondition=precondition,
    )
    return answer(written.members, etag=written.etag)


@router.delete("/delete", response_model=Deleted, responses=WRITE)
def delete_config(
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    service_name: ServiceQuery,
    environment: EnvironmentQuery = None,
) -> Deleted:
    """Delete a document. Its history stays; `/config/restore` brings it back."""
    service.delete(
        session,
        access=access,
        level=Level.of(service_name, environment),
        precondition=precondition,
    )
    return Deleted()


@router.post("/restore", response_model=ConfigRead, responses=WRITE)
def restore_config(
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    service_name: ServiceQuery,
    _: Idempotent,
    environment: EnvironmentQuery = None,
) -> Response:
    """Bring a deleted document back as it was."""
    written = service.restore(
        session,
        access=access,
        level=Level.of(service_name, environment),
        precondition=precondition,
    )
    return answer(written.members, etag=written.etag)


@router.get(
    "/{service_name}",
    response_model=EffectiveRead | ConfigRead,
    responses=READ | NOT_MODIFIED,
    dependencies=[Waited],
)
def get_effective(
    request: Request,
    session: SessionDep,
    access: ReadAccess,
    at: AsOf,
    service_name: ServiceName,
    environment: EnvironmentQuery = None,
    stored: Annotated[bool, Query(description="The stored document, as /config/get")] = False,
    explained: Annotated[
        bool, Query(alias="explain", description="Say where each value comes from")
    ] = False,
    reveal: Reveal = False,
) -> Response:
    """Get the config as the service sees it: global, environment, service, service in environment.

    Narrower levels win, objects merge; `{"$unset": true}` takes away what was inherited. Secrets
    stand in it for callers with `read_secrets`, which the audit tells; others see bullets.
    """
    level = Level.of(service_name, environment)
    if stored:
        return _stored(request, session, access, level, at, reveal=reveal)
    if reveal:
        raise Invalid("reveal goes with stored=true.", loc=("query", "reveal"))
    effective = require_effective(session, access=access, level=level, at=at)
    access.count_read("configuration", str(level))
    unchanged = None if explained else not_modified(request.headers, effective.etag)
    return unchanged or _effective(session, access, effective, explained=explained)


@router.post("/{service_name}", response_model=ConfigRead, responses=WRITE)
def put_config(
    service_name: ServiceName,
    body: DocumentWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Replace or create the document of a service; the same as `/config/update`."""
    return _write(session, access, Level.of(service_name, body.environment), body, precondition)


@router.patch(
    "/{service_name}", response_model=ConfigRead, responses=WRITE, openapi_extra=PATCH_BODY
)
def patch_config(
    request: Request,
    service_name: ServiceName,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    change: PatchBody,
    environment: EnvironmentQuery = None,
    message: MessageQuery = None,
    expected_version: ExpectedQuery = None,
) -> Response:
    """Change the stored document: by merge patch (RFC 7396) or JSON Patch (RFC 6902)."""
    written = service.patch(
        session,
        access=access,
        level=Level.of(service_name, environment),
        change=change,
        message=message,
        precondition=expecting(precondition, expected_version),
    )
    return answer(written.members, etag=written.etag)


@router.post("/{service_name}/merge", response_model=ConfigRead, responses=WRITE)
def merge_config(
    service_name: ServiceName,
    body: MergeWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Merge your document, made from `base_version`, with what is stored now.

    Different changes of the same value: 409 with `conflicts` by path, and nothing is written.
    """
    written = service.merge(
        session,
        access=access,
        level=Level.of(service_name, body.environment),
        base_version=body.base_version,
        document=body.config,
        message=body.message,
        precondition=precondition,
    )
    return answer(written.members, etag=written.etag)


@router.get(
    "/{service_name}/history", response_model=VersionList, responses=READ, dependencies=[Waited]
)
def get_history(
    service_name: ServiceName,
    session: SessionDep,
    access: ReadAccess,
    environment: EnvironmentQuery = None,
    limit: Limit = PAGE_SIZE,
    cursor: Cursor = None,
) -> Response:
    """List the versions of a document; the same as `/config/versions`."""
    return _versions(
        session, access, Level.of(service_name, environment), limit=limit, cursor=cursor
    )


@router.post("/{service_name}/rollback", response_model=ConfigRead, responses=WRITE)
def rollback_service(
    service_name: ServiceName,
    body: RollbackWrite,
    session: SessionDep,
    access: WriteAccess,
    precondition: Preconditions,
    _: Idempotent,
) -> Response:
    """Go back to a version by its number: makes a new one with its content."""
    written = service.roll_back(
        session,
        access=access,
        level=Level.of(service_name, body.environment),
        version=body.version,
        message=body.message,
        precondition=expecting(precondition, body.expected_version),
    )
    return answer(written.members, etag=written.etag)


def _effective(
    session: SessionDep, access: Access, effective: Effective, *, explained: bool
) -> Response:
    text = shown_text(session, access=access, effective=effective)
    members = presenters.effective(effective, text)
    if explained:
        members["explain"] = raw(json.dumps(explain(effective)))
    return answer(members, etag=effective.etag)


def _stored(
    request: Request,
    session: SessionDep,
    access: Access,
    level: Level,
    at: int | None,
    *,
    reveal: bool,
) -> Response:
    row = service.require_document(session, access=access, level=level, at=at)
    access.count_read("configuration", str(level))
    etag = document_etag(row.id, row.version)
    if reveal:
        text = reveal_text(
            session, access=access, place=level, text=row.content, resource_id=str(row.id)
        )
        return answer({**presenters.config(row), "config": raw(text)}, etag=etag)
    return not_modified(request.headers, etag) or _document(row)


def _write(
    session: SessionDep,
    access: Access,
    level: Level,
    body: DocumentWrite,
    precondition: Preconditions,
) -> Response:
    written = service.write(
        session,
        access=access,
        level=level,
        document=body.config,
        message=body.message,
        precondition=expecting(precondition, body.expected_version),
    )
    return answer(written.members, etag=written.etag)


def _versions(
    session: SessionDep, access: Access, level: Level, *, limit: int, cursor: str | None
) -> Response:
    access.require(Permission.READ, level)
    config_id = crud.get_config_id(session, workspace_id=access.workspace_id, level=level)
    rows = (
        versions_crud.list_versions(
            session, object_id=config_id, before=after(cursor, default=MAX_ID), limit=limit
        )
        if config_id is not None
        else []
    )
    access.count_read("configuration", f"{level} versions")
    return answer(
        {
            "service_name": level.name,
            "versions": [presenters.version(row) for row in rows],
            "next_cursor": next_cursor([row.version for row in rows], limit=limit),
        }
    )


def _document(row: AnyRow) -> Response:
    return answer(presenters.config(row), etag=document_etag(row.id, row.version))
