"""The yardstick for HTTP: FastAPI routes that return a Pydantic model of about 2 KB."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from jose import jwt
from jose.exceptions import JOSEError
from pydantic import BaseModel

from bench.store import document


class Bare(BaseModel):
    id: int
    name: str
    version: int
    config: dict[str, dict[str, str | int]]


app = FastAPI()
BARE = Bare(id=1, name="billing", version=1, config=document())


@app.get("/bare")
def read_bare() -> Bare:
    return BARE


def caller(request: Request) -> str:
    """Return who calls, by a token that is verified every time."""
    _, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        claims = jwt.decode(
            token,
            os.environ["SECRET_KEY"],
            algorithms=["HS256"],
            audience="configsync",
            issuer="configsync",
        )
    except JOSEError:
        raise HTTPException(401) from None
    return str(claims["sub"])


@app.get("/bare/jwt")
def read_bare_by_token(_: Annotated[str, Depends(caller)]) -> Bare:
    return BARE
