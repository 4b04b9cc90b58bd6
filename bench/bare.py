"""The yardstick for HTTP: a FastAPI route that returns a Pydantic model of about 2 KB."""

from fastapi import FastAPI
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
