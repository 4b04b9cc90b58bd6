"""`/auth/*` and `/login`: accounts."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from app.accounts import service
from app.accounts.schemas import (
    LoginRead,
    Me,
    Membership,
    PasswordChange,
    UserCreate,
    UserDetail,
    UserList,
    UserRead,
    UserUpdate,
)
from app.auth import crud, passwords
from app.auth.deps import Admin, AnyCaller, LoggedIn
from app.auth.errors import AdminsOnly, RegistrationClosed
from app.core.pagination import after, next_cursor
from app.core.routing import InvalidJson, Route, SessionDep, read_json
from app.core.schemas import PAGE_SIZE, Cursor, Done, Id, Limit, problems
from app.core.settings import get_settings
from app.idempotency.deps import Idempotent
from app.workspaces.permissions import permissions

router = APIRouter(tags=["accounts"], route_class=Route)

LoginName = Annotated[str, Field(min_length=1, max_length=254, pattern=r"^[^\x00]*$")]
LoginPassword = Annotated[str, Field(max_length=passwords.MAX_BYTES)]


class Credentials(BaseModel):
    """A name or e-mail address, and the password."""

    username: LoginName
    password: LoginPassword


@router.post(
    "/auth/register", status_code=201, response_model=UserRead, responses=problems(403, 409)
)
def register(body: UserCreate, session: SessionDep, caller: AnyCaller, _: Idempotent) -> object:
    """Register: creates the user and a personal workspace of the same name.

    `role: admin` needs an admin's token.
    """
    if body.role != "user" and not caller.admin:
        raise AdminsOnly
    if not get_settings().allow_registration and not caller.admin:
        raise RegistrationClosed
    return service.register(session, caller=caller, new=body)


@router.post("/auth/login", response_model=LoginRead, responses=problems(401, 429))
def login(
    username: Annotated[LoginName, Form(description="Name or e-mail address")],
    password: Annotated[LoginPassword, Form()],
    grant_type: Annotated[str | None, Form(pattern="^password$", include_in_schema=False)] = None,
    scope: Annotated[str, Form(include_in_schema=False)] = "",
    client_id: Annotated[str | None, Form(include_in_schema=False)] = None,
    client_secret: Annotated[str | None, Form(include_in_schema=False)] = None,
) -> LoginRead:
    """Log in with a form; the token goes into `Authorization: Bearer …`."""
    return service.login(username=username, password=password)


@router.post(
    "/login",
    response_model=LoginRead,
    responses=problems(401, 415, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": Credentials.model_json_schema()}
                for kind in ("application/json", "application/x-www-form-urlencoded")
            },
        }
    },
)
async def login_any(request: Request) -> LoginRead:
    """Log in with JSON or a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        data: object = dict(await request.form())
    else:
        await read_json(request)
        if not await request.body():
            raise InvalidJson("The body is refused: it is empty.")
        data = await request.json()
    try:
        credentials = Credentials.model_validate(data)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_input=False)]
        ) from None
    return await run_in_threadpool(
        service.login, username=credentials.username, password=credentials.password
    )


@router.post("/auth/logout", response_model=Done, responses=problems(401))
def logout(session: SessionDep, caller: LoggedIn) -> Done:
    """Log out: this token is refused from now on, everywhere."""
    service.logout(session, caller=caller)
    return Done(msg="logged out")


@router.get("/auth/me", response_model=Me, responses=problems(401))
def me(session: SessionDep, caller: LoggedIn) -> Me:
    """Show the caller, with workspaces and permissions."""
    user = service.require_user(session, user_id=caller.user_id)
    memberships = crud.list_memberships(session, user_id=user.id)
    home = next((row.slug for row in memberships if row.id == user.home_workspace_id), "")
    return Me(
        **UserRead.model_validate(user).model_dump(),
        workspace=home,
        workspaces=[
            Membership(slug=row.slug, role=row.role, permissions=sorted(permissions(row.role)))
            for row in memberships
        ],
    )


@router.post("/auth/password", response_model=Done, responses=problems(401, 429))
def change_password(
    body: PasswordChange, session: SessionDep, caller: LoggedIn, _: Idempotent
) -> Done:
    """Change the password; the other sessions of the caller end."""
    service.change_password(session, caller=caller, old=body.old, new=body.new)
    return Done(msg="password changed")


@router.get("/auth/users", response_model=UserList, responses=problems(401, 403))
def list_users(
    session: SessionDep, caller: Admin, limit: Limit = PAGE_SIZE, cursor: Cursor = None
) -> UserList:
    """List all users (global admins)."""
    users = crud.list_users(session, after=after(cursor), limit=limit)
    return UserList(
        users=[UserDetail.model_validate(user) for user in users],
        next_cursor=next_cursor([user.id for user in users], limit=limit),
    )


@router.patch("/auth/users/{user_id}", response_model=UserDetail, responses=problems(401, 403, 404))
def update_user(user_id: Id, body: UserUpdate, session: SessionDep, caller: Admin) -> object:
    """Change a role, set a password, disable or enable (global admins)."""
    return service.update_user(session, caller=caller, user_id=user_id, change=body)
